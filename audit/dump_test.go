package audit

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

// shelf is a node whose replica keeps some records; only a leader's places marks.
type shelf struct {
	Reader
	leads bool
	items []kv.StateItem
}

func (s *shelf) Checkpoint(context.Context, uint64) (uint64, error) {
	if !s.leads {
		return 0, errors.New("it does not lead")
	}
	return 7, nil
}

func (s *shelf) StatePage(_ context.Context, _, index uint64, from []byte, _ int) (p kv.StatePage, err error) {
	if index != 7 {
		return p, errors.New("nothing is kept there")
	}
	at := slices.IndexFunc(s.items, func(i kv.StateItem) bool { return string(i.Key) >= string(from) })
	p.Items = s.items[at : at+1] // one at a time
	if at+1 < len(s.items) {
		p.Next = s.items[at+1].Key
	}
	return p, nil
}

// record is the raw record of a key whose value names it.
func record(key string) []byte {
	var m machine.Machine
	m.Begin(nothing{}, 1, kv.HLCOf(1))
	m.Apply(kv.AppendCommand(nil, &kv.Command{Ops: []kv.Op{{Kind: kv.OpSet, Key: []byte(key), Value: []byte("value of " + key)}}}), true)
	for _, c := range m.Finish() {
		if c.Key[0] == machine.DataKind {
			return c.Value
		}
	}
	panic("a set that sets nothing")
}

// nothing is an empty state.
type nothing struct{ core.View }

func (nothing) Get([]byte) ([]byte, bool) { return nil, false }

func TestDumpMergesShardsInKeyOrder(t *testing.T) {
	shard := func(keys ...string) Task {
		s := &shelf{leads: true}
		for _, key := range keys {
			s.items = append(s.items, kv.StateItem{Key: []byte(key), Record: record(key)})
		}
		return Task{Replicas: []Replica{{Node: 1, Reader: &shelf{}}, {Node: 2}, {Node: 3, Reader: s, Leads: true}}}
	}
	var got []string
	err := Dump(context.Background(), []Task{shard("b", "d", "e"), shard("a", "c", "f")}, func(key []byte, r machine.Record) error {
		if string(r.Value) != "value of "+string(key) {
			t.Errorf("key %s has %q", key, r.Value)
		}
		got = append(got, string(key))
		return nil
	})
	if err != nil || !slices.Equal(got, []string{"a", "b", "c", "d", "e", "f"}) {
		t.Errorf("%v, %v", got, err)
	}
	if err := Dump(context.Background(), []Task{{Replicas: []Replica{{Node: 1, Reader: &shelf{}}}}}, nil); err == nil {
		t.Error("a group whose leader is not there was dumped")
	}
}
