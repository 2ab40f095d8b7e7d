package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/gamutdb/gamut/core"
)

// anyChange draws a change of a state that holds what is in model, and makes it there. Fresh is said only of what is.
func anyChange(rng *rand.Rand, model map[string]string) core.Change {
	key := fmt.Sprintf("d%03d", rng.IntN(300))
	switch _, had := model[key]; {
	case rng.IntN(100) == 0:
		end := fmt.Sprintf("d%03d", rng.IntN(300))
		for k := range model {
			if key <= k && k < end {
				delete(model, k)
			}
		}
		return core.Change{Kind: core.DeleteRange, Key: []byte(key), End: []byte(end)}
	case rng.IntN(3) == 0:
		delete(model, key)
		return core.Change{Kind: core.Delete, Key: []byte(key)}
	default:
		model[key] = fmt.Sprint(rng.IntN(1000))
		c := put(key, model[key])
		c.Fresh = !had && rng.IntN(2) == 0
		return c
	}
}

// sortedRange is what a scan of a model shows.
func sortedRange(model map[string]string, from, to string) (list []string) {
	for k, v := range model {
		if from <= k && k < to {
			list = append(list, k+"="+v)
		}
	}
	slices.Sort(list)
	return list
}

func scanned(v core.View, from, to string, each func()) (list []string) {
	v.Scan([]byte(from), []byte(to), func(k, v []byte) bool {
		list = append(list, string(k)+"="+string(v))
		each()
		return true
	})
	return list
}

// TestWhatIsHeldBackReadsAsTheState compares reads with a model, over changes of which some have gone to Pebble and some have not. A
// scan shows the moment at which it began, whatever is changed while it goes on.
func TestWhatIsHeldBackReadsAsTheState(t *testing.T) {
	for seed := range uint64(8) {
		d, _ := open(t, vfs.NewMem())
		rng := rand.New(rand.NewPCG(seed, 3))
		models := []map[string]string{{}, {}}
		for step := range 250 {
			g := rng.IntN(2)
			model, group := models[g], d.Group(core.GroupID(g+1))
			changes := []core.Change{}
			for range 1 + rng.IntN(8) {
				changes = append(changes, anyChange(rng, model))
			}
			apply(t, group, changes...)
			if rng.IntN(60) == 0 {
				if err := d.Flush(); err != nil {
					t.Fatal(err)
				}
			}
			from, to := fmt.Sprintf("d%03d", rng.IntN(300)), fmt.Sprintf("d%03d", rng.IntN(300))
			want := sortedRange(model, from, to)
			view, end := core.View(group), func() {}
			if rng.IntN(10) == 0 {
				kept := group.Snapshot()
				view, end = kept, kept.Close
			}
			if got := scanned(view, from, to, func() {
				if rng.IntN(4) == 0 {
					apply(t, group, anyChange(rng, model))
				}
			}); !cmp.Equal(got, want) {
				t.Fatalf("seed %d, step %d: a scan of %s to %s shows %q, not %q", seed, step, from, to, got, want)
			}
			end()
			key := fmt.Sprintf("d%03d", rng.IntN(300))
			value, ok := group.Get([]byte(key))
			if want, there := model[key]; ok != there || string(value) != want {
				t.Fatalf("seed %d, step %d: %s reads as %q, %v, not %q", seed, step, key, value, ok, want)
			}
		}
		d.Close()
	}
}

// TestReadersBesideSeeWholeChanges: two keys that are always changed together never differ for who scans meanwhile.
func TestReadersBesideSeeWholeChanges(t *testing.T) {
	d, _ := open(t, vfs.NewMem())
	defer d.Close()
	g := d.Group(1)
	apply(t, g, put("da", "0"), put("dz", "0"))
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				var values []string
				g.Scan([]byte("d"), []byte("e"), func(k, v []byte) bool {
					if len(k) == 2 {
						values = append(values, string(v))
					}
					return true
				})
				if len(values) != 2 || values[0] != values[1] {
					t.Errorf("a scan shows %q", values)
					return
				}
			}
		})
	}
	for i := range 1500 {
		text := fmt.Sprint(i)
		apply(t, g, put("da", text), put("dz", text), put("dm"+text, string(make([]byte, 100))))
	}
	close(done)
	readers.Wait()
}

// TestDiskFallsBackToAPrefixOverAllGroups: what is held back of several groups goes to Pebble as of one moment.
func TestDiskFallsBackToAPrefixOverAllGroups(t *testing.T) {
	fallen := 0
	for seed := range uint64(5) {
		fs := vfs.NewCrashableMem()
		d, _ := open(t, fs)
		rng := rand.New(rand.NewPCG(seed, 4))
		const steps = 600
		var at [steps + 1][3]uint64 // what each group holds behind each step
		for step := 1; step <= steps; step++ {
			g := rng.IntN(3)
			at[step] = at[step-1]
			at[step][g] = uint64(step)
			apply(t, d.Group(core.GroupID(g+1)), applied(uint64(step)), put(fmt.Sprint("d", step), string(make([]byte, rng.IntN(2000)))))
			if rng.IntN(200) == 0 {
				if err := d.Flush(); err != nil {
					t.Fatal(err)
				}
			}
		}
		d, _ = open(t, crash(fs, 0, 0))
		var got [3]uint64
		for g := range got {
			got[g] = d.Group(core.GroupID(g + 1)).Applied()
		}
		if !slices.Contains(at[:], got) {
			t.Fatalf("seed %d: after the power loss the groups stand at %d, which they never did", seed, got)
		}
		if last := slices.Max(got[:]); last > 0 && last < steps {
			fallen++
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if fallen == 0 {
		t.Error("no state ever fell back")
	}
}

// TestWhatIsFreshAndGoesLeavesNothing: Pebble hears neither of it nor of its end.
func TestWhatIsFreshAndGoesLeavesNothing(t *testing.T) {
	d, _ := open(t, vfs.NewMem())
	defer d.Close()
	g := d.Group(1)
	written := func(changes ...core.Change) int {
		apply(t, g, changes...)
		n := d.state.recent.now[1].Len()
		if err := d.state.settle(); err != nil {
			t.Fatal(err)
		}
		return n
	}
	fresh, gone := put("dk", "1"), core.Change{Kind: core.Delete, Key: []byte("dk")}
	fresh.Fresh = true
	if n := written(fresh, put("dk", "2"), gone); n != 0 {
		t.Errorf("%d changes were written", n)
	}
	if n := written(put("dk", "1"), gone); n == 0 {
		t.Error("the end of what may have been there before was not written")
	}
	if n := written(fresh); n == 0 {
		t.Error("nothing was written")
	}
	// Not fresh for Pebble, for which it has not gone yet.
	if written(gone, fresh, gone); len(contents(t, g)) != 0 {
		t.Errorf("it came back: %q", contents(t, g))
	}
}

// TestAStoreThatCannotWriteSaysSoForEver: what failed to go to Pebble is still read, and nothing goes there behind it.
func TestAStoreThatCannotWriteSaysSoForEver(t *testing.T) {
	d, _ := open(t, vfs.NewMem())
	defer d.release()
	g := d.Group(1)
	apply(t, g, put("dk", "1"))
	d.state.recent.failed = errBroken
	if err := d.Flush(); err == nil {
		t.Fatal("a flush says that it made durable what it could not write")
	}
	big := put("dl", string(bytes.Repeat([]byte{1}, d.state.recent.max)))
	if err := g.Apply([]core.Change{big}); err == nil {
		t.Fatal("the failure is not told")
	}
	if v, ok := g.Get([]byte("dk")); !ok || string(v) != "1" {
		t.Fatalf("what was applied reads as %q, %v", v, ok)
	}
}

var errBroken = errors.New("broken")
