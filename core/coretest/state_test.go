package coretest

import (
	"fmt"
	"testing"

	"github.com/gamutdb/gamut/core"
)

// shown is what a view holds from one key up to another.
func shown(v core.View, from, to []byte) (text string) {
	v.Scan(from, to, func(k, v []byte) bool {
		text += fmt.Sprintf("%s=%s ", k, v)
		return true
	})
	return text
}

func put(kind core.ChangeKind, keys ...string) (list []core.Change) {
	for _, k := range keys {
		list = append(list, core.Change{Kind: kind, Key: []byte(k), Value: []byte(k + k)})
	}
	return list
}

// TestStateChangesAsAStoreDoes holds each kind of change to what package core says of it.
func TestStateChangesAsAStoreDoes(t *testing.T) {
	for name, c := range map[string]struct {
		changes []core.Change
		want    string
	}{
		"nothing":               {nil, "a=aa b=bb c=cc "},
		"put":                   {put(core.Put, "d"), "a=aa b=bb c=cc d=dd "},
		"delete":                {put(core.Delete, "b", "x"), "a=aa c=cc "},
		"delete a range":        {[]core.Change{{Kind: core.DeleteRange, Key: []byte("a"), End: []byte("c")}}, "c=cc "},
		"delete up to the end":  {[]core.Change{{Kind: core.DeleteRange, Key: []byte("b")}}, "a=aa "},
		"stage":                 {put(core.Stage, "x", "y"), "a=aa b=bb c=cc "},
		"install":               {append(put(core.Stage, "x", "y"), core.Change{Kind: core.Install}), "x=xx y=yy "},
		"install of the latest": {append(append(put(core.Stage, "x"), core.Change{Kind: core.Unstage}), append(put(core.Stage, "y"), core.Change{Kind: core.Install})...), "y=yy "},
	} {
		s := NewState()
		s.Apply(put(core.Put, "b", "a", "c"))
		snapshot := s.Snapshot()
		s.Apply(c.changes)
		if got := shown(s, nil, nil); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
		if got := shown(snapshot, []byte("b"), []byte("c")); got != "b=bb " {
			t.Errorf("%s: the snapshot of what was before shows %s", name, got)
		}
	}
}

// TestStagedKeysComeInOrder: a store could not take them otherwise.
func TestStagedKeysComeInOrder(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("b was staged after c")
		}
	}()
	NewState().Apply(put(core.Stage, "c", "b"))
}
