package store

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/gamutdb/gamut/core"
)

// everyStore runs a test of the state on all implementations.
func everyStore(t *testing.T, f func(t *testing.T, s Store)) {
	t.Run("Disk", func(t *testing.T) {
		d, _ := open(t, vfs.NewMem())
		defer d.Close()
		f(t, d)
	})
	t.Run("Oracle", func(t *testing.T) {
		o, _, err := OpenOracle("oracle", small(vfs.NewMem()))
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		f(t, o)
	})
	t.Run("Memory", func(t *testing.T) { f(t, NewMemory(MemoryOptions{})) })
}

func stagePair(key, value string) core.Change {
	return core.Change{Kind: core.Stage, Key: []byte(key), Value: []byte(value)}
}

func TestAGroupReadsWhatItWrote(t *testing.T) {
	everyStore(t, func(t *testing.T, s Store) {
		a, b := s.Group(0xff), s.Group(0x100)
		apply(t, a, put("da", "1"), put("db", "2"), put("dc", ""), put("x", "3"), applied(7))
		apply(t, b, put("da", "other"))
		apply(t, a, core.Change{Kind: core.Delete, Key: []byte("da")}, put("dd", "4"))
		want := map[string]string{"db": "2", "dc": "", "dd": "4", "x": "3", "ma": "\x00\x00\x00\x00\x00\x00\x00\x07"}
		if got := contents(t, a); !cmp.Equal(got, want) {
			t.Fatalf("group holds %q", got)
		}
		if v, ok := a.Get([]byte("dc")); !ok || v == nil || len(v) != 0 {
			t.Fatalf("an empty value reads as %v, %v", v, ok)
		}
		if v, ok := a.Get([]byte("da")); ok || v != nil {
			t.Fatalf("a deleted key reads as %v, %v", v, ok)
		}
		if v, ok, err := a.GetInto([]byte("x="), []byte("x")); string(v) != "x=3" || !ok || err != nil {
			t.Fatalf("GetInto gave %q, %v, %v", v, ok, err)
		}
		var keys []string
		a.Scan([]byte("db"), []byte("dd"), func(k, _ []byte) bool { keys = append(keys, string(k)); return true })
		if !cmp.Equal(keys, []string{"db", "dc"}) {
			t.Fatalf("scan gave %q", keys)
		}
		if a.Applied() != 7 || b.Applied() != 0 {
			t.Fatalf("applied %d and %d", a.Applied(), b.Applied())
		}
		apply(t, a, core.Change{Kind: core.DeleteRange, Key: []byte("d"), End: []byte("e")})
		if got := contents(t, a); len(got) != 2 || len(contents(t, b)) != 1 {
			t.Fatalf("after the range delete: %q", got)
		}
		apply(t, a, core.Change{Kind: core.DeleteRange, Key: []byte("m")})
		if got := s.GroupsWithState(); !cmp.Equal(got, []core.GroupID{0x100}) {
			t.Fatalf("groups with state: %v", got)
		}
	})
}

func TestInstallReplacesAGroupAndSnapshotsKeepTheOldOne(t *testing.T) {
	everyStore(t, func(t *testing.T, s Store) {
		g, neighbour := s.Group(1), s.Group(2)
		apply(t, g, put("da", "old"), put("dz", "old"))
		apply(t, neighbour, put("da", "kept"))
		snapshot := g.Snapshot()
		defer snapshot.Close()
		for i := range 1000 {
			apply(t, g, stagePair(fmt.Sprintf("d%04d", i), strings.Repeat("new", 10)))
		}
		if err := g.Apply([]core.Change{stagePair("d0500", "late")}); err == nil {
			t.Fatal("a key out of order was staged")
		}
		if len(contents(t, g)) != 2 {
			t.Fatal("what is staged can be seen")
		}
		apply(t, g, core.Change{Kind: core.Install})
		if got := contents(t, g); len(got) != 1000 || got["d0999"] != strings.Repeat("new", 10) {
			t.Fatalf("installed %d keys", len(got))
		}
		if got := contents(t, neighbour); !cmp.Equal(got, map[string]string{"da": "kept"}) {
			t.Fatalf("the neighbour holds %q", got)
		}
		if got := contents(t, snapshot); !cmp.Equal(got, map[string]string{"da": "old", "dz": "old"}) {
			t.Fatalf("the snapshot holds %q", got)
		}
		if v, ok := snapshot.Get([]byte("dz")); !ok || string(v) != "old" {
			t.Fatalf("the snapshot reads %q", v)
		}
		apply(t, g, stagePair("da", "1"))
		apply(t, g, core.Change{Kind: core.Unstage})
		apply(t, g, stagePair("d", "0"), stagePair("db", "2"))
		apply(t, g, core.Change{Kind: core.Install})
		if got := contents(t, g); !cmp.Equal(got, map[string]string{"d": "0", "db": "2"}) {
			t.Fatalf("installed %q", got)
		}
		apply(t, g, core.Change{Kind: core.Install})
		if err := s.Drop(2); err != nil || len(s.GroupsWithState()) != 0 {
			t.Fatalf("after an empty install and a drop: %v, %v", s.GroupsWithState(), err)
		}
	})
}

func TestAnInstalledStateSurvivesPowerLoss(t *testing.T) { // traps T1.13, T5.9
	fs := vfs.NewCrashableMem()
	d, _ := open(t, fs)
	g := d.Group(1)
	apply(t, g, put("da", "old"), applied(1))
	apply(t, g, stagePair("da", "new"), core.Change{Kind: core.Stage, Key: core.AppliedKey, Value: applied(9).Value})
	halfway := crash(fs, 100, 0)
	apply(t, g, core.Change{Kind: core.Install})
	d, _ = open(t, crash(fs, 0, 0))
	if got := contents(t, d.Group(1)); got["da"] != "new" || d.Group(1).DurableApplied() != 9 {
		t.Fatalf("after the power loss: %q", got)
	}
	if d, _ := open(t, halfway); len(contents(t, d.Group(1))) != 0 {
		t.Fatal("a state that was never installed can be seen")
	}
	if names, err := halfway.List("data/node3/staging"); err != nil || len(names) != 0 {
		t.Fatalf("the staging folder holds %q, %v", names, err)
	}
}

func TestDamagedStateIsNeverServed(t *testing.T) {
	fs := vfs.NewCrashableMem()
	d, _ := open(t, fs)
	changes := []core.Change{applied(1)}
	for i := range 500 {
		changes = append(changes, put(fmt.Sprintf("d%04d", i), strings.Repeat(fmt.Sprint(i, "value "), 10)))
	}
	apply(t, d.Group(1), changes...)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := fs.List("data/node3/state")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".sst") {
			data := read(t, fs, "data/node3/state/"+name)
			for i := 100; i < len(data)/2; i += 50 {
				data[i] ^= 0xff
			}
			write(t, fs, "data/node3/state/"+name, data)
		}
	}
	d, r := open(t, fs)
	if !r.AllSuspect || !strings.Contains(strings.Join(r.Reports, "\n"), "state.damaged-1") || len(d.GroupsWithState()) != 0 {
		t.Fatalf("the damage is not told: %+v", r)
	}
}
