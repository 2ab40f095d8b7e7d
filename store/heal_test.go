package store

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/go-cmp/cmp"

	"github.com/gamutdb/gamut/core"
)

const stateFolder = "data/node3/state/"

// twoTables is a closed disk whose state is in tables of different sizes, and what it holds by group. Its log does not
// reach back to the beginning any more.
func twoTables(t *testing.T) (*vfs.MemFS, map[core.GroupID]map[string]string) {
	fs := vfs.NewCrashableMem()
	d, _ := open(t, fs)
	want := map[core.GroupID]map[string]string{}
	for g := core.GroupID(1); g <= 2; g++ {
		appendItems(t, d, true, item(g, 0, "hard"), item(g, 1, "block"))
		changes := []core.Change{applied(1)}
		want[g] = map[string]string{string(core.AppliedKey): string(applied(1).Value)}
		for i := range 150 * int(g) {
			key, value := fmt.Sprintf("d%04d", i), strings.Repeat(fmt.Sprint(g, i, "value "), 10)
			changes = append(changes, put(key, value))
			want[g][key] = value
		}
		apply(t, d.Group(g), changes...)
		if err := d.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	appendItems(t, d, true, item(1, 0, "hard"), item(2, 0, "hard"))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return fs, want
}

func tables(t *testing.T, fs vfs.FS) (list []string) {
	t.Helper()
	names, err := fs.List(stateFolder)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".sst") {
			list = append(list, stateFolder+name)
		}
	}
	slices.Sort(list)
	return list
}

// foundOrWhole opens a damaged disk and reads all of it: what it reads must be right, or it must say that it is not. It
// returns whether the damage was found.
func foundOrWhole(t *testing.T, fs vfs.FS, want map[core.GroupID]map[string]string) (found bool) {
	t.Helper()
	options, told := small(fs), []error(nil)
	options.OnDamage = func(err error) { told = append(told, err) }
	d, r, err := Open("data/node3", testIdentity, options)
	if err != nil {
		t.Fatal(err)
	}
	if r.AllSuspect {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		return true
	}
	for g, pairs := range want {
		got := map[string]string{}
		err := d.Group(g).ScanErr(nil, nil, func(k, v []byte) bool {
			if pairs[string(k)] != string(v) {
				t.Fatalf("group %d: %q reads as %q", g, k, v)
			}
			got[string(k)] = string(v)
			return true
		})
		if err == nil && !maps.Equal(got, pairs) {
			t.Fatalf("group %d: %d of %d keys are there", g, len(got), len(pairs))
		}
		if err != nil && len(told) != 1 {
			t.Fatalf("%v: told %d times", err, len(told))
		}
	}
	if err := d.Close(); (err != nil) != (len(told) > 0) {
		t.Fatalf("close: %v, told %v", err, told)
	}
	var damage *DamageError
	if len(told) > 0 && (!errors.As(told[0], &damage) || !strings.Contains(told[0].Error(), "DAMAGED")) {
		t.Fatalf("told %v", told)
	}
	return len(told) > 0
}

// healed opens a disk with damage that was found: it is fresh, and stays suspect until the replicas have said that they are.
func healed(t *testing.T, fs vfs.FS) {
	t.Helper()
	for range 2 {
		d, r := open(t, fs)
		if !r.AllSuspect || !strings.Contains(strings.Join(r.Reports, "\n"), "refilled from peers") || len(d.GroupsWithState()) != 0 {
			t.Fatalf("opened with %v, all suspect %v, state of %v", r.Reports, r.AllSuspect, d.GroupsWithState())
		}
		for g := core.GroupID(1); g <= 2; g++ {
			if got := bodies(r.Groups[g]); len(got) == 0 || got[len(got)-1] != "hard" {
				t.Fatalf("group %d: recovered %q", g, got)
			}
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	d, _ := open(t, fs)
	appendItems(t, d, true, item(1, 0, "suspect"), item(2, 0, "suspect"))
	apply(t, d.Group(1), put("dx", "refilled"), applied(7))
	if err := errors.Join(d.Refilled(), d.Close()); err != nil {
		t.Fatal(err)
	}
	d, r := open(t, fs)
	if r.AllSuspect || len(r.Reports) != 0 || !cmp.Equal(bodies(r.Groups[2]), []string{"block", "suspect"}) && !cmp.Equal(bodies(r.Groups[2]), []string{"suspect"}) {
		t.Fatalf("refilled, and opened with %+v", r)
	}
	if v, ok := d.Group(1).Get([]byte("dx")); !ok || string(v) != "refilled" {
		t.Fatalf("refilled with %q", v)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestFlippedBytesOfTheStateAreFoundAndHealed(t *testing.T) {
	whole, want := twoTables(t)
	for n, path := range tables(t, whole) {
		size, found := len(read(t, whole, path)), 0
		for at := n; at < size; at += 211 {
			fs := crash(whole, 0, 0)
			data := read(t, fs, path)
			data[at] ^= 1 << (at % 8)
			write(t, fs, path, data)
			if foundOrWhole(t, fs, want) {
				found++
				if found%10 == 1 {
					healed(t, fs)
				}
			}
		}
		if found == 0 {
			t.Errorf("%s: no flipped byte was found", path)
		}
		// The footer is the last thing in a table.
		fs := crash(whole, 0, 0)
		data := read(t, fs, path)
		data[size-3] ^= 4
		write(t, fs, path, data)
		if !foundOrWhole(t, fs, want) {
			t.Errorf("%s: a damaged footer was not found", path)
		}
		healed(t, fs)
	}
}

func TestLostAndMisplacedTablesAreFoundAndHealed(t *testing.T) {
	whole, want := twoTables(t)
	all := tables(t, whole)
	if len(all) < 2 {
		t.Fatalf("tables %q", all)
	}
	kinds := map[string]func(t *testing.T, fs vfs.FS, path, other string){
		"cut": func(t *testing.T, fs vfs.FS, path, _ string) {
			data := read(t, fs, path)
			write(t, fs, path, data[:len(data)/2])
		},
		"empty": func(t *testing.T, fs vfs.FS, path, _ string) { write(t, fs, path, nil) },
		"zeroed": func(t *testing.T, fs vfs.FS, path, _ string) {
			write(t, fs, path, make([]byte, len(read(t, fs, path))))
		},
		"removed": func(t *testing.T, fs vfs.FS, path, _ string) {
			if err := fs.Remove(path); err != nil {
				t.Fatal(err)
			}
		},
		"swapped with another": func(t *testing.T, fs vfs.FS, path, other string) {
			mine, theirs := read(t, fs, path), slices.Clone(read(t, fs, other))
			write(t, fs, other, mine)
			write(t, fs, path, theirs)
		},
	}
	for kind, spoil := range kinds {
		for i, path := range all {
			t.Run(fmt.Sprint("table ", i, " ", kind), func(t *testing.T) {
				fs := crash(whole, 0, 0)
				// A table in the place of one of the very same size is beyond the fault model.
				other := slices.IndexFunc(all, func(p string) bool { return len(read(t, fs, p)) != len(read(t, fs, path)) })
				spoil(t, fs, path, all[other])
				if !foundOrWhole(t, fs, want) {
					t.Fatal("nobody noticed")
				}
				healed(t, fs)
			})
		}
	}
}

func TestADamagedListOfTablesIsFoundAndHealed(t *testing.T) {
	whole, want := twoTables(t)
	names, err := whole.List(stateFolder)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.HasPrefix(name, "MANIFEST") {
			continue
		}
		for at := range len(read(t, whole, stateFolder+name)) {
			if at%7 != 0 {
				continue
			}
			fs := crash(whole, 0, 0)
			data := read(t, fs, stateFolder+name)
			data[at] ^= 0x20
			write(t, fs, stateFolder+name, data)
			foundOrWhole(t, fs, want)
		}
	}
	for _, name := range names {
		if strings.HasPrefix(name, "MANIFEST") || strings.HasPrefix(name, "marker.manifest") {
			fs := crash(whole, 0, 0)
			if err := fs.Remove(stateFolder + name); err != nil {
				t.Fatal(err)
			}
			if !foundOrWhole(t, fs, want) {
				t.Fatalf("without %s nothing is missed", name)
			}
		}
	}
}

// A crash between any two steps of the healing leads there again.
func TestACrashWhileHealingLeadsBackToIt(t *testing.T) {
	for writes := range 60 {
		whole, want := twoTables(t)
		path := tables(t, whole)[0]
		data := read(t, whole, path)
		write(t, whole, path, data[:len(data)-1])
		if err := syncFolder(whole, "data/node3/state"); err != nil {
			t.Fatal(err)
		}
		fs := newCrashingFS(whole, writes, 50, rand.New(rand.NewPCG(uint64(writes), 5)))
		if d, _, err := Open("data/node3", testIdentity, small(fs)); err != nil {
			t.Fatal(err)
		} else if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		after := fs.crashed()
		if after == nil {
			after = crash(whole, 0, 0)
		}
		if !foundOrWhole(t, after, want) {
			t.Fatalf("after a crash at write %d the state looks whole", writes)
		}
		healed(t, after)
	}
}

// A want of file handles may meet all nodes at once, and goes away: it must cost none of them its state.
func TestARefusalOfTheSystemIsNotDamage(t *testing.T) {
	for _, cause := range []error{syscall.EMFILE, syscall.ENOSPC, syscall.EACCES} {
		mem, want := twoTables(t)
		refuse := true
		fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if refuse && strings.HasSuffix(op.Path, ".sst") && op.Kind == errorfs.OpOpen {
				return cause
			}
			return nil
		}))
		if d, r, err := Open("data/node3", testIdentity, small(fs)); err == nil {
			t.Errorf("%v: opened %v with %+v", cause, d, r)
		}
		refuse = false
		if foundOrWhole(t, fs, want) {
			t.Errorf("%v is taken for damage", cause)
		}
	}
}
