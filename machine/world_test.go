package machine

import (
	"bytes"
	"maps"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// world is a state in a map, and the machine that changes it, entry by entry.
type world struct {
	pairs   map[string][]byte
	machine Machine
	index   uint64
	now     int64 // log time, Unix milliseconds
}

const epoch = int64(1_700_000_000_000)

func newWorld() *world { return &world{pairs: map[string][]byte{}, now: epoch} }

func (w *world) Get(key []byte) ([]byte, bool) {
	v, ok := w.pairs[string(key)]
	return bytes.Clone(v), ok
}

func (w *world) Scan(from, to []byte, f func(key, value []byte) bool) {
	for _, k := range slices.Sorted(maps.Keys(w.pairs)) {
		if k >= string(from) && (to == nil || k < string(to)) && !f([]byte(k), w.pairs[k]) {
			return
		}
	}
}

func (w *world) Snapshot() core.Snapshot { return &world{pairs: maps.Clone(w.pairs)} }
func (w *world) Close()                  {}

func (w *world) stamp() kv.HLC { return kv.HLCOf(w.now) }

// entry applies commands as one log entry.
func (w *world) entry(commands ...kv.Command) []kv.Result {
	w.index++
	w.machine.Begin(w, w.index, w.stamp())
	var results []kv.Result
	for i := range commands {
		results = append(results, w.machine.Apply(kv.AppendCommand(nil, &commands[i]), true))
	}
	w.finish()
	return results
}

// do applies operations as one entry of one command each.
func (w *world) do(ops ...kv.Op) []kv.Result {
	var commands []kv.Command
	for _, o := range ops {
		commands = append(commands, kv.Command{Ops: []kv.Op{o}})
	}
	return w.entry(commands...)
}

func (w *world) one(o kv.Op) kv.Result { return w.do(o)[0] }

// expire applies an entry that ends what is past its time.
func (w *world) expire() {
	w.index++
	w.machine.Begin(w, w.index, w.stamp())
	w.machine.Expire()
	w.finish()
}

func (w *world) finish() {
	changes := w.machine.Finish()
	applied := append([]byte{0, 0, 0, 0, 0, 0, 0, byte(w.index)}, timeKey(int64(w.stamp()))...)
	changes = append(changes, core.Change{Kind: core.Put, Key: core.AppliedKey, Value: applied})
	for _, c := range changes {
		switch c.Kind {
		case core.Put:
			w.pairs[string(c.Key)] = bytes.Clone(c.Value)
		case core.Delete:
			delete(w.pairs, string(c.Key))
		case core.DeleteRange:
			maps.DeleteFunc(w.pairs, func(k string, _ []byte) bool { return k >= string(c.Key) && k < string(c.End) })
		}
	}
}

// left counts the state's keys of a kind.
func (w *world) left(kind byte) (n int) {
	for k := range w.pairs {
		if k[0] == kind {
			n++
		}
	}
	return n
}

func key(s string) []byte { return []byte(s) }

func get(k string) kv.Op    { return kv.Op{Kind: kv.OpGet, Key: key(k)} }
func set(k, v string) kv.Op { return kv.Op{Kind: kv.OpSet, Key: key(k), Value: key(v)} }
func del(k string) kv.Op    { return kv.Op{Kind: kv.OpDelete, Key: key(k)} }

// with changes an operation.
func with(o kv.Op, f func(*kv.Op)) kv.Op { f(&o); return o }
