package values

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/store"
)

// bench is one group over a disk and a store that fails on demand. A record is the value alone.
type bench struct {
	t      *testing.T
	now    core.Time
	disk   *store.Memory
	shelf  *fake
	keeper *Keeper
	group  *Group
}

const second = core.Time(1e9)

// fake is a Memory that can be told to fail.
type fake struct {
	*Memory
	err error
}

func (f *fake) Get(name string) ([]byte, error) {
	if f.err != nil && !errors.Is(f.err, ErrFull) && !errors.Is(f.err, ErrTooLong) {
		return nil, f.err
	}
	return f.Memory.Get(name)
}

func (f *fake) Put(name string, value []byte) error {
	if f.err != nil {
		return f.err
	}
	return f.Memory.Put(name, value)
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, disk: store.NewMemory(store.MemoryOptions{}), shelf: &fake{Memory: NewMemory(1 << 20)}}
	b.boot()
	return b
}

// boot begins a life of the node.
func (b *bench) boot() {
	b.keeper = NewKeeper(Options{Store: b.shelf, Scope: "test", Now: func() core.Time { return b.now }})
	b.group = b.keeper.Group(7, b.disk.Group(7), b.disk.Group(Anteroom(7)), func([]byte) int { return 0 })
	b.keeper.Open(b.group)
}

func (b *bench) apply(changes ...core.Change) {
	b.t.Helper()
	if err := b.group.Apply(changes); err != nil {
		b.t.Fatal(err)
	}
}

func put(key, value string) core.Change {
	return core.Change{Kind: core.Put, Key: []byte("d" + key), Value: []byte(value)}
}

// pass lets time go by and does all that is to be done then.
func (b *bench) pass(d core.Time) {
	b.t.Helper()
	b.now += d
	each := func(next func() (Place, bool), do func(Place) error) {
		for p, ok := next(); ok; p, ok = next() {
			if err := do(p); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	each(b.keeper.Next, b.keeper.Upload)
	each(b.keeper.Stored, b.keeper.Settle)
	each(b.keeper.Due, b.keeper.Remove)
	for more := true; more; {
		var err error
		if more, err = b.keeper.Sweep(); err != nil {
			b.t.Fatal(err)
		}
	}
}

func place(key, value string) Place { return Place{7, "d" + key, kv.Refer([]byte(value))} }

func (b *bench) reads(key, value string, want Finding) {
	b.t.Helper()
	v, finding := b.keeper.Read(place(key, value))
	if finding != want || finding == Found && string(v) != value {
		b.t.Errorf("%s is read as %.20q, %d; want %d", key, v, finding, want)
	}
}

// inside says how many values lie on the disk, and outside how many in the store.
func (b *bench) inside() (n int) {
	b.disk.Group(Anteroom(7)).Scan([]byte{dataKind}, []byte{dataKind + 1}, func(_, _ []byte) bool { n++; return true })
	return n
}

func (b *bench) outside() int { return len(b.shelf.values) }

var one, two = strings.Repeat("one ", 50), strings.Repeat("two ", 50)

func TestValueLeavesTheDiskWhenTheStoreHasGivenItBack(t *testing.T) {
	b := newBench(t)
	b.apply(put("k", one), put("short", "short"))
	if raw, _ := b.disk.Group(7).Get([]byte("dshort")); string(raw) != "short" {
		t.Errorf("a short value is kept as %q", raw)
	}
	if raw, _ := b.disk.Group(7).Get([]byte("dk")); !bytes.Equal(raw, kv.Kept([]byte(one), kv.InsideMax)) {
		t.Errorf("a long value is kept as %.40q", raw)
	}
	b.reads("k", one, Found)
	b.pass(0)
	if b.inside() != 1 || b.outside() != 1 {
		t.Errorf("%d inside, %d outside after the store took it", b.inside(), b.outside())
	}
	b.pass(3 * second)
	if b.inside() != 0 || b.outside() != 1 {
		t.Errorf("%d inside, %d outside after the store gave it back", b.inside(), b.outside())
	}
	b.reads("k", one, Found)
	b.reads("k", two, Other)
}

func TestStoresThatDoNotTakeAValue(t *testing.T) {
	for _, c := range []struct {
		name    string
		err     error
		trouble bool
	}{{"too long", ErrTooLong, false}, {"full", ErrFull, true}, {"away", errors.New("refused"), true}} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.shelf.err = c.err
			b.apply(put("k", one))
			b.pass(0)
			b.reads("k", one, Found)
			if s := b.keeper.Stats(); (s.Trouble != "") != c.trouble || b.inside() != 1 {
				t.Errorf("%+v, %d inside", s, b.inside())
			}
			b.shelf.err = nil
			b.boot() // what the store never takes is tried again by the next life
			b.pass(2 * second)
			b.pass(4 * second)
			b.reads("k", one, Found)
			if b.inside() != 0 || b.outside() != 1 {
				t.Errorf("%d inside, %d outside", b.inside(), b.outside())
			}
		})
	}
}

func TestWhatTheStoreEvictsAtOnceStaysInside(t *testing.T) {
	b := newBench(t)
	b.apply(put("k", one))
	b.pass(0)
	clear(b.shelf.values)
	b.pass(3 * second)
	b.reads("k", one, Found)
	if b.inside() != 1 || b.keeper.Stats().Waiting != 1 {
		t.Errorf("%d inside, %+v", b.inside(), b.keeper.Stats())
	}
	b.pass(30 * second)
	if b.outside() != 1 {
		t.Error("it was not given to the store again")
	}
}

func TestWrongBytesAreMissing(t *testing.T) {
	b := newBench(t)
	b.apply(put("k", one))
	b.pass(0)
	b.pass(3 * second)
	for _, v := range b.shelf.values {
		v[0] ^= 1
	}
	b.reads("k", one, Absent)
	if s := b.keeper.Stats(); s.Wrong != 1 {
		t.Errorf("%+v", s)
	}
	if list, next := b.keeper.Missing(7, nil); len(list) != 1 || next != nil {
		t.Errorf("%v is missing, and more from %q", list, next)
	}
	if err := b.keeper.Restore(place("k", one), []byte(two)); err != nil || b.inside() != 0 {
		t.Error("a wrong value was put back", err)
	}
	if err := b.keeper.Restore(place("k", one), []byte(one)); err != nil {
		t.Fatal(err)
	}
	b.reads("k", one, Found)
}

func TestVerifyTellsMissingFromDamaged(t *testing.T) {
	b := newBench(t)
	var long []string
	for _, key := range []string{"a", "b", "c", "d"} {
		long = append(long, strings.Repeat(key+" is long ", 20))
		b.apply(put(key, long[len(long)-1]))
	}
	b.pass(0)
	b.pass(3 * second)
	b.apply(put("e", strings.Repeat("not yet there ", 20)), put("short", "x"))
	name := func(i int) string { p := place(string('a'+rune(i)), long[i]); return b.keeper.name(&p) }
	delete(b.shelf.values, name(1))
	b.shelf.values[name(2)][3] ^= 1
	var found []Bad
	pages, count := 0, 0
	for from, more := []byte(nil), true; more; pages++ {
		v := b.keeper.Verify(b.group, from, 2, 1<<20)
		found, count = append(found, v.Bad...), count+v.Values
		from, more = v.Next, v.Next != nil
	}
	want := []Bad{{place("b", long[1]), Missing}, {place("c", long[2]), Damaged}}
	if !slices.Equal(found, want) || count != 5 || pages != 3 {
		t.Errorf("%d values in %d pages, %v", count, pages, found)
	}
	if v := b.keeper.Verify(b.group, nil, 100, 1); v.Values != 1 || v.Next == nil {
		t.Errorf("one byte is %+v", v)
	}
	b.shelf.err = errors.New("no route")
	if v := b.keeper.Verify(b.group, nil, 1, 1<<20); len(v.Bad) != 1 || v.Bad[0].Fault != NotAsked {
		t.Errorf("a store that does not answer: %+v", v)
	}
}

func TestWhatIsReplacedStaysForAGrace(t *testing.T) {
	for _, c := range []struct {
		name   string
		change core.Change
	}{
		{"overwritten", put("k", two)}, {"deleted", core.Change{Kind: core.Delete, Key: []byte("dk")}},
		{"cleared", core.Change{Kind: core.DeleteRange, Key: []byte("d"), End: []byte("e")}},
		{"cleared to the end", core.Change{Kind: core.DeleteRange}}, {"made short", put("k", "short")},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.apply(put("k", one))
			b.pass(0)
			b.pass(3 * second)
			b.apply(c.change)
			b.pass(14 * second)
			b.reads("k", one, Found)
			b.pass(second)
			b.reads("k", one, Other)
			b.pass(4 * second)
			want := 0
			if c.name == "overwritten" {
				want = 1
			}
			if b.inside() != 0 || b.outside() != want {
				t.Errorf("%d inside, %d outside; want %d", b.inside(), b.outside(), want)
			}
		})
	}
}

func TestValueWrittenAgainIsNotRemoved(t *testing.T) {
	b := newBench(t)
	b.apply(put("k", one))
	b.pass(4 * second)
	b.apply(put("k", two))
	b.pass(4 * second)
	b.apply(put("k", one))
	for range 10 {
		b.pass(4 * second)
	}
	b.reads("k", one, Found)
	b.reads("k", two, Other)
	if b.inside() != 0 || b.outside() != 1 {
		t.Errorf("%d inside, %d outside", b.inside(), b.outside())
	}
}

func TestReferenceOfAnotherReplicaIsWanted(t *testing.T) {
	b := newBench(t)
	came := put("k", string(kv.Kept([]byte(one), kv.InsideMax)))
	b.apply(came)
	if p, ok := b.keeper.Wanted(); !ok || p != place("k", one) {
		t.Errorf("%v, %v is wanted", p, ok)
	}
	b.reads("k", one, Absent)
	b.apply(came) // as when an expiry changes
	if p, ok := b.keeper.Wanted(); ok {
		t.Errorf("%v is wanted again", p)
	}
}

func TestSnapshotOfAnotherReplicaIsDoubted(t *testing.T) {
	b := newBench(t)
	b.apply(put("old", one))
	b.pass(4 * second)
	b.pass(4 * second)
	ref := string(kv.Kept([]byte(two), kv.InsideMax))
	b.apply(core.Change{Kind: core.Stage, Key: []byte("dnew"), Value: []byte(ref)})
	b.apply(core.Change{Kind: core.Install})
	if g, ok := b.keeper.Anew(); !ok || g != 7 {
		t.Errorf("group %d, %v is doubted", g, ok)
	}
	if list, _ := b.keeper.Missing(7, nil); len(list) != 1 || list[0] != place("new", two) {
		t.Errorf("%v is missing", list)
	}
	b.pass(16 * second)
	if b.outside() != 0 {
		t.Error("the store keeps what the state before referred to")
	}
}

func TestEmptiedStoreIsNoticed(t *testing.T) {
	b := newBench(t)
	b.keeper.Check()
	if _, ok := b.keeper.Anew(); !ok {
		t.Error("a new store is not looked through")
	}
	b.keeper.Check()
	if _, ok := b.keeper.Anew(); ok {
		t.Error("a store that is as it was is looked through")
	}
	clear(b.shelf.values)
	b.keeper.Check()
	if _, ok := b.keeper.Anew(); !ok {
		t.Error("an emptied store is not looked through")
	}
}

func TestDroppedGroupLeavesTheStore(t *testing.T) {
	b := newBench(t)
	b.apply(put("k", one))
	b.pass(0)
	b.keeper.Forget(7)
	b.pass(16 * second)
	if b.outside() != 0 {
		t.Error("values of a dropped group stay in the store")
	}
}

func TestMemoryThatIsBroughtInsideSurvives(t *testing.T) {
	b := newBench(t)
	b.apply(put("k", one))
	b.pass(4 * second)
	b.pass(4 * second)
	if err := b.keeper.BringInside(); err != nil {
		t.Fatal(err)
	}
	b.shelf.Memory = NewMemory(1 << 20)
	b.boot()
	b.reads("k", one, Found)
}

// TestCrashesLeaveEachValueSomewhere crashes a disk at any moment: whatever the state refers to then was never in neither place.
func TestCrashesLeaveEachValueSomewhere(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	b := newBench(t)
	b.disk = store.NewMemory(store.MemoryOptions{MemTableBytes: 600})
	b.boot()
	written := map[string]string{}
	for i := range 2000 {
		key, value := string(rune('a'+rng.IntN(4))), strings.Repeat(string(rune('A'+rng.IntN(3))), 70+rng.IntN(3))
		written[key+value] = value
		b.apply(put(key, value))
		if rng.IntN(3) == 0 {
			b.pass(core.Time(rng.Int64N(int64(4 * second))))
		}
		if rng.IntN(20) > 0 {
			continue
		}
		b.disk, _ = b.disk.Crash(rng, store.TailLost)
		b.boot()
		b.group.Scan([]byte("d"), []byte("e"), func(k, v []byte) bool {
			ref, _ := kv.ParseReference(v)
			if _, finding := b.keeper.Read(Place{7, string(k), ref}); finding != Found {
				t.Fatalf("after write %d the value of %q is nowhere", i, k)
			}
			return true
		})
	}
}

func TestMemoryIsBounded(t *testing.T) {
	m := NewMemory(1000)
	if err := m.Put("a", make([]byte, 700)); err != nil {
		t.Fatal(err)
	}
	if err := m.Put("b", make([]byte, 400)); !errors.Is(err, ErrFull) {
		t.Errorf("more than there is room for: %v", err)
	}
	if err := errors.Join(m.Put("a", make([]byte, 100)), m.Put("b", make([]byte, 400)), m.Delete("a"), m.Delete("a")); err != nil {
		t.Error(err)
	}
	if _, err := m.Get("a"); !errors.Is(err, ErrMissing) || m.bytes != 1+entryBytes+400 {
		t.Errorf("%v, %d bytes", err, m.bytes)
	}
}

// meanwhile is a state in which something is done right before the changes of an Apply are there.
type meanwhile struct {
	store.Group
	do func()
}

func (m meanwhile) Apply(changes []core.Change) error {
	m.do()
	return m.Group.Apply(changes)
}

// TestValueIsWrittenAgainWhileItIsRemoved: what nothing refers to any more is removed by another goroutine, between the moment when
// the value is put onto the disk once more and the one when the state refers to it.
func TestValueIsWrittenAgainWhileItIsRemoved(t *testing.T) {
	b := newBench(t)
	b.apply(put("k", one))
	b.pass(0)
	b.pass(3 * second)
	b.apply(core.Change{Kind: core.Delete, Key: []byte("dk")})
	b.now += 15 * second
	p, due := b.keeper.Due()
	if !due {
		t.Fatal("nothing is to be removed")
	}
	removed := false
	b.group.Group = meanwhile{b.group.Group, func() {
		if removed = true; b.keeper.Remove(p) != nil {
			t.Error("the value cannot be removed")
		}
	}}
	b.apply(put("k", one))
	if !removed {
		t.Fatal("nothing was removed meanwhile")
	}
	b.reads("k", one, Found)
	b.pass(0)
	b.pass(3 * second)
	b.reads("k", one, Found)
	if b.outside() != 1 {
		t.Errorf("%d values are outside", b.outside())
	}
}

// TestGroupIsWholeWhenNothingIsLookedFor: what was taken to be looked for counts until the search is over.
func TestGroupIsWholeWhenNothingIsLookedFor(t *testing.T) {
	b := newBench(t)
	whole := func(want bool) {
		t.Helper()
		if got := b.keeper.Whole(7); got != want {
			t.Errorf("the group is whole: %v", got)
		}
	}
	whole(true)
	b.apply(put("k", string(kv.Kept([]byte(one), kv.InsideMax))))
	whole(false)
	p, _ := b.keeper.Wanted()
	whole(false)
	if !b.keeper.Holds(p) {
		t.Error("the state refers to nothing")
	}
	b.apply(put("k", "short"))
	if b.keeper.Holds(p) {
		t.Error("the state refers to what was overwritten")
	}
	b.keeper.Sought(7)
	whole(true)
	b.keeper.Doubt(7)
	whole(false)
	b.keeper.Anew()
	whole(false)
	b.keeper.Sought(7)
	whole(true)
}

// TestNothingThatIsToBeDoneIsForgotten ends the node at each step of what is to be done about a value: it is done by the next life. A note
// that is done is taken back.
func TestNothingThatIsToBeDoneIsForgotten(t *testing.T) {
	b := newBench(t)
	notes := func() (n int) {
		b.disk.Group(Anteroom(7)).Scan(nil, []byte{dataKind}, func(_, _ []byte) bool { n++; return true })
		return n
	}
	b.apply(put("k", one), put("l", one))
	b.pass(0)
	b.pass(3 * second)
	b.apply(put("k", two), core.Change{Kind: core.Delete, Key: []byte("dl")})
	b.pass(0)
	b.boot()
	b.pass(0)
	if b.outside() != 3 || notes() != 2 {
		t.Errorf("%d values outside and %d notes before the time of grace is over", b.outside(), notes())
	}
	b.pass(15 * second)
	if b.outside() != 1 || notes() != 0 {
		t.Errorf("%d values outside and %d notes when it is", b.outside(), notes())
	}

	b.apply(put("m", string(kv.Kept([]byte(one), kv.InsideMax))))
	b.boot()
	p, ok := b.keeper.Wanted()
	if !ok || p != place("m", one) {
		t.Errorf("after a crash %+v is looked for", p)
	}
	if err := b.keeper.Restore(p, []byte(one)); err != nil || b.keeper.Ended(p) != nil {
		t.Error(err)
	}
	b.boot()
	if _, ok := b.keeper.Wanted(); ok || notes() != 0 {
		t.Errorf("what was found is looked for again; %d notes", notes())
	}

	b.apply(core.Change{Kind: core.Stage, Key: []byte("dn"), Value: kv.Kept([]byte(two), kv.InsideMax)})
	b.apply(core.Change{Kind: core.Install})
	b.boot()
	if id, ok := b.keeper.Anew(); !ok || id != 7 {
		t.Error("what an installed state refers to is not looked for after a crash")
	}
	if err := b.keeper.Filled(7); err != nil {
		t.Error(err)
	}
	b.boot()
	if _, ok := b.keeper.Anew(); ok {
		t.Error("a group that was filled is looked through again")
	}
}
