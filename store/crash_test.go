package store

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/go-cmp/cmp"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// crashingFS takes, at a chosen operation, a copy of the file system as after a power loss at that moment.
type crashingFS struct {
	vfs.FS
	mem *vfs.MemFS

	mu    sync.Mutex // Pebble writes from its own goroutines
	after int
	image *vfs.MemFS
}

// crashed is the copy, nil if the moment has not come.
func (c *crashingFS) crashed() *vfs.MemFS {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.image
}

func newCrashingFS(mem *vfs.MemFS, after, percent int, rng *rand.Rand) *crashingFS {
	c := &crashingFS{mem: mem, after: after}
	c.FS = errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && c.image == nil {
			if c.after--; c.after < 0 {
				c.image = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
			}
		}
		return nil
	}))
	return c
}

// appender is what the tests drive: Disk and Oracle.
type appender interface {
	Store
	Append(Batch) error
	Close() error
}

// world is a node with the simplest protocol there is: a record is a put, and the state is their fold.
type world struct {
	store   appender
	groups  map[core.GroupID]*worldGroup
	rng     *rand.Rand
	appends int
}

type worldGroup struct {
	pos     uint64
	waiting []core.Record // durable, not applied
	hard    string        // the record with Pos 0
}

func newWorld(seed uint64) *world {
	return &world{groups: map[core.GroupID]*worldGroup{}, rng: rand.New(rand.NewPCG(seed, 1))}
}

func (w *world) group(g core.GroupID) *worldGroup {
	if w.groups[g] == nil {
		w.groups[g] = &worldGroup{}
	}
	return w.groups[g]
}

// boot takes over what was recovered: the fold of the records behind the applied position.
func (w *world) boot(s appender, r Recovered) error {
	w.store, w.groups = s, map[core.GroupID]*worldGroup{}
	for g := core.GroupID(1); g <= 4; g++ {
		wg := w.group(g)
		wg.pos = s.Group(g).Applied()
		for _, rec := range r.Groups[g] {
			switch {
			case rec.Pos == 0:
				wg.hard = string(rec.Body)
			case rec.Pos == wg.pos+1:
				wg.pos = rec.Pos
				wg.waiting = append(wg.waiting, rec)
			case rec.Pos > wg.pos:
				return fmt.Errorf("group %d: record %d follows %d", g, rec.Pos, wg.pos)
			}
		}
	}
	return nil
}

func fold(rec core.Record) []core.Change {
	return []core.Change{put(fmt.Sprintf("d%02d", rec.Body[0]%32), string(rec.Body)), applied(rec.Pos)}
}

func (w *world) append() error {
	b := Batch{HLCUpper: kv.HLC(w.appends), Roll: w.store.NeedsRoll()}
	if b.Roll {
		for g := core.GroupID(1); g <= 4; g++ {
			b.Items = append(b.Items, item(g, 0, w.group(g).hard))
		}
	}
	type added struct {
		g   *worldGroup
		rec core.Record
	}
	var all []added
	for range w.rng.IntN(4) {
		g := core.GroupID(1 + w.rng.IntN(4))
		wg := w.group(g)
		if w.rng.IntN(4) == 0 {
			wg.hard = fmt.Sprintf("hard %d", w.appends)
			b.Items = append(b.Items, item(g, 0, wg.hard))
			continue
		}
		wg.pos++
		body := make([]byte, 1+w.rng.IntN(3000))
		for i := range body {
			body[i] = byte(w.rng.Uint32())
		}
		it := item(g, wg.pos, string(body))
		b.Items = append(b.Items, it)
		all = append(all, added{wg, it.Record})
	}
	if err := w.store.Append(b); err != nil {
		return err
	}
	for _, a := range all {
		a.g.waiting = append(a.g.waiting, a.rec)
	}
	w.appends++
	return nil
}

// step does one random thing; group 4 is applied rarely, so that its records hold segments back.
func (w *world) step() error {
	switch n := w.rng.IntN(20); {
	case n < 12:
		return w.append()
	case n < 18:
		g := core.GroupID(1 + w.rng.IntN(4))
		wg := w.group(g)
		if len(wg.waiting) == 0 || g == 4 && w.rng.IntN(10) > 0 {
			return nil
		}
		rec := wg.waiting[0]
		wg.waiting = wg.waiting[1:]
		return w.store.Group(g).Apply(fold(rec))
	case n == 18:
		return w.install(core.GroupID(1 + w.rng.IntN(3)))
	}
	return w.store.Flush()
}

// install replaces a group's state by itself, as a snapshot of a peer that has applied the same would.
func (w *world) install(g core.GroupID) error {
	if w.store.Group(g).Applied() == 0 {
		return nil
	}
	var changes []core.Change
	w.store.Group(g).Scan(nil, nil, func(k, v []byte) bool {
		changes = append(changes, core.Change{Kind: core.Stage, Key: append([]byte{}, k...), Value: append([]byte{}, v...)})
		return true
	})
	if err := w.store.Group(g).Apply(changes); err != nil {
		return err
	}
	return w.store.Group(g).Apply([]core.Change{{Kind: core.Install}})
}

// settle applies all that waits and returns everything that can be seen.
func (w *world) settle() (map[string]string, error) {
	all := map[string]string{}
	for g := core.GroupID(1); g <= 4; g++ {
		wg := w.group(g)
		for _, rec := range wg.waiting {
			if err := w.store.Group(g).Apply(fold(rec)); err != nil {
				return nil, err
			}
		}
		wg.waiting = nil
		w.store.Group(g).Scan(nil, nil, func(k, v []byte) bool { all[fmt.Sprintf("%d/%s", g, k)] = string(v); return true })
		all[fmt.Sprintf("%d hard", g)] = wg.hard
	}
	return all, nil
}

// TestDiskAndOracleRecoverTheSame lets Disk lose its power at a random write, several times over, and compares what it
// recovers with an oracle that did the same appends, up to the last one that Disk acknowledged or had begun.
func TestDiskAndOracleRecoverTheSame(t *testing.T) {
	for seed := range uint64(25) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { compareWithOracle(t, seed) })
	}
}

func compareWithOracle(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 2))
	mem := vfs.NewCrashableMem()
	var got map[string]string
	for life := range uint64(4) {
		percent := []int{0, 20, 50, 90, 100}[rng.IntN(5)]
		fs := newCrashingFS(mem, rng.IntN(400), percent, rand.New(rand.NewPCG(seed, life)))
		candidates := liveUntilCrash(t, fs, seed*10+life, got)
		if mem = fs.crashed(); mem == nil {
			mem = fs.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
		}
		d, r := open(t, mem)
		if len(r.Reports) != 0 || r.AllSuspect || len(r.Suspect) != 0 {
			t.Fatalf("life %d: a power loss looks like damage: %v", life, r.Reports)
		}
		w := newWorld(0)
		if err := w.boot(d, r); err != nil {
			t.Fatalf("life %d: %v", life, err)
		}
		var err error
		if got, err = w.settle(); err != nil {
			t.Fatal(err)
		}
		if len(candidates) > 0 && !cmp.Equal(got, candidates[0]) && !cmp.Equal(got, candidates[len(candidates)-1]) {
			t.Fatalf("life %d: recovered neither what was acknowledged nor that and the batch in flight:\n%s", life, cmp.Diff(candidates[0], got))
		}
		for g := core.GroupID(1); g <= 4; g++ { // what was settled above is folded again in the next life
			if a, b := d.Group(g).Applied(), w.group(g).pos; a != b {
				t.Fatalf("group %d: applied %d of %d", g, a, b)
			}
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// liveUntilCrash runs the world on Disk and, the same steps, on the oracle. It returns what the oracle recovers after the
// last append that Disk acknowledged before the crash, and after the one that was in flight.
func liveUntilCrash(t *testing.T, fs *crashingFS, seed uint64, before map[string]string) (candidates []map[string]string) {
	t.Helper()
	d, r, err := Open("data/node3", testIdentity, small(fs))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	oracleFS := vfs.NewCrashableMem()
	o, _, err := OpenOracle("oracle", small(oracleFS))
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	wd, wo := newWorld(seed), newWorld(seed)
	if err := wd.boot(d, r); err != nil {
		t.Fatal(err)
	}
	if fs.crashed() != nil {
		if before == nil {
			return nil
		}
		return []map[string]string{before} // while opening
	}
	copyState(t, d, o)
	if err := wo.boot(o, r); err != nil {
		t.Fatal(err)
	}
	see := func() map[string]string {
		all := map[string]string{}
		for g := core.GroupID(1); g <= 4; g++ {
			wg := wo.group(g)
			o.Group(g).Scan(nil, nil, func(k, v []byte) bool { all[fmt.Sprintf("%d/%s", g, k)] = string(v); return true })
			for _, rec := range wg.waiting {
				for _, c := range fold(rec) {
					all[fmt.Sprintf("%d/%s", g, c.Key)] = string(c.Value)
				}
			}
			all[fmt.Sprintf("%d hard", g)] = wg.hard
		}
		return all
	}
	defer func() { checkOracle(t, oracleFS, wo, r) }()
	for range 150 {
		candidates = []map[string]string{see()}
		wo.store = rolling{o, d.NeedsRoll()}
		errD, errO := wd.step(), wo.step()
		if errD != nil || errO != nil {
			t.Fatal(errD, errO)
		}
		if fs.crashed() != nil {
			return append(candidates, see())
		}
	}
	return []map[string]string{see()}
}

// checkOracle lets the oracle lose its power, too: what it recovers must be what it had.
func checkOracle(t *testing.T, fs *vfs.MemFS, w *world, first Recovered) {
	o, r, err := OpenOracle("oracle", small(crash(fs, 0, 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	again := newWorld(0)
	for g, records := range first.Groups { // what was recovered before the oracle began is not in its log
		r.Groups[g] = append(records[:len(records):len(records)], r.Groups[g]...)
	}
	if err := again.boot(o, r); err != nil {
		t.Fatal(err)
	}
	got, err := again.settle()
	if err != nil {
		t.Fatal(err)
	}
	want, err := w.settle()
	if err != nil {
		t.Fatal(err)
	}
	if !cmp.Equal(got, want) {
		t.Fatalf("the oracle recovered something else than it had:\n%s", cmp.Diff(want, got))
	}
}

// rolling makes the oracle's batches equal to the disk's.
type rolling struct {
	*Oracle
	roll bool
}

func (r rolling) NeedsRoll() bool { return r.roll }

func copyState(t *testing.T, from, to Store) {
	for g := core.GroupID(1); g <= 4; g++ {
		from.Group(g).Scan(nil, nil, func(k, v []byte) bool { apply(t, to.Group(g), put(string(k), string(v))); return true })
	}
}
