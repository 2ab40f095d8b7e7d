package bayou

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gamutdb/gamut/core/wire"
	"github.com/gamutdb/gamut/machine"
)

// TestMessagesDoNotNameWhoHasLeft: one member after the other leaves, and each of them has put something into the set that all use.
// What members say to each other afterwards, and what a removal says of what its writer had seen, is not longer for it.
func TestMessagesDoNotNameWhoHasLeft(t *testing.T) {
	c := newCluster(3, Options{KeepWrites: 1000})
	const last = 8
	for id := 3; id < last; id++ {
		c.Run("include", []string{fmt.Sprint(id), "s", "set", fmt.Sprint("member", id)})
		c.Run("exclude", []string{fmt.Sprint(id), "s", "set", fmt.Sprint("member", id-1)})
		c.Run("settle", nil)
		c.Run("catalog", []string{fmt.Sprint(2*id + 1), fmt.Sprintf("1,2,%d,%d", id, id+1), fmt.Sprintf("leaving=%d", id)})
		c.Run("around", nil)
		c.Run("around", nil)
		c.Run("catalog", []string{fmt.Sprint(2*id + 2), fmt.Sprintf("1,2,%d", id+1)})
		c.Run("around", nil)
	}
	if s := c.Member(1).Replica.Status(); len(s.Held) < last-1 || len(s.Vector) > 3 {
		t.Fatalf("it holds what %v wrote, and tells its peers %v", s.Held, s.Vector)
	}
	c.Run("include", []string{"1", "s", "set", "x"})
	c.Run("settle", nil)
	c.Run("exclude", []string{"1", "s", "set", "x"})
	c.Run("begin", []string{"1"})
	c.Run("end", []string{"1"})
	removals := 0
	c.Drop(func(p packet) bool {
		if m, ok := p.Message.(Writes); ok {
			short(t, "a message", m.Vector)
			short(t, "the base of a message", m.Base)
			for _, w := range m.List {
				removals++
				short(t, "a removal", w.Seen)
			}
		}
		return false
	})
	if removals == 0 {
		t.Error("no removal is on its way")
	}
}

func short(t *testing.T, what string, v Vector) {
	t.Helper()
	if len(v) > 3 {
		t.Errorf("%s names %v", what, v)
	}
}

// TestCutsNameOnlyWhoHasWrittenSince: a cut says how far it goes on from the one before, and no more.
func TestCutsNameOnlyWhoHasWrittenSince(t *testing.T) {
	c := newClusterOf(3, Config{Ordered: true}, Options{KeepWrites: 1000})
	for round, writer := range []string{"1", "2", "3", "2"} {
		c.Run("put", []string{writer, "s", "k", fmt.Sprint(round)})
		for range 4 {
			c.Run("around", nil)
			for _, m := range c.Members {
				c.decide(m, false)
			}
		}
	}
	c.Run("around", nil)
	var names strings.Builder
	for number := uint64(1); number <= 4; number++ {
		raw, _ := c.companion.state.Get(append([]byte{machine.DataKind}, cutName(number)...))
		rec, err := machine.DecodeRecord(raw)
		if err != nil {
			t.Fatalf("cut %d: %v", number, err)
		}
		in := reader{wire.Reader{B: rec.Value}}
		for _, e := range in.vector() {
			fmt.Fprint(&names, e.Replica)
		}
		names.WriteString(";")
	}
	if names.String() != "1;2;3;2;" {
		t.Errorf("the cuts name %s", names.String())
	}
	for _, m := range c.Members {
		if o := m.Replica.Status().Order; o.Cut != 4 || o.Committed != 4 || o.Tentative != 0 {
			t.Errorf("replica %d has %d cuts, %d writes committed and %d tentative", m.ID, o.Cut, o.Committed, o.Tentative)
		}
	}
}
