package machine

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/coretest"
	"github.com/gamutdb/gamut/kv"
)

// side is one of the groups of a merge, without a log.
type side struct {
	t     *testing.T
	m     Machine
	state *coretest.State
	index uint64
	now   kv.HLC
}

func newSide(t *testing.T, index uint64, at int64) *side {
	return &side{t: t, state: coretest.NewState(), index: index, now: kv.HLCOf(at)}
}

// entry makes one entry of the log.
func (s *side) entry(f func(m *Machine)) {
	s.index++
	s.now += kv.HLCOf(1)
	s.m.Begin(s.state, s.index, s.now)
	f(&s.m)
	s.state.Apply(s.m.Finish())
}

func (s *side) apply(c kv.Command) (r kv.Result) {
	s.entry(func(m *Machine) { r = m.Apply(kv.AppendCommand(nil, &c), true) })
	return r
}

func (s *side) absorb(p Part) kv.Result {
	return s.apply(kv.Command{Ops: []kv.Op{{Kind: kv.OpAbsorb, Value: p.AppendTo(nil)}}})
}

// mergeTime is when sessions of these tests begin.
const mergeTime = 1_700_000_000_000

func mergeClient(seq uint64) kv.Session {
	s := kv.Session{Client: [16]byte{15: 7}, Seq: seq}
	copy(s.Client[:], timeKey(mergeTime<<16))
	return s
}

// mergeSides are two neighbours, of which the right one has more behind it, and has retired.
func mergeSides(t *testing.T) (left, right *side) {
	left, right = newSide(t, 10, mergeTime), newSide(t, 500, mergeTime)
	left.apply(kv.Command{Session: mergeClient(1), Ops: []kv.Op{{Kind: kv.OpIncr, Key: []byte("a"), Delta: 1}}})
	for i := range 20 {
		right.apply(kv.Command{Session: mergeClient(uint64(2 + i)), Ops: []kv.Op{{Kind: kv.OpIncr, Key: fmt.Appendf(nil, "n%02d", i), Delta: 2}}})
	}
	right.apply(kv.Command{Ops: []kv.Op{{Kind: kv.OpSet, Key: []byte("t"), Value: []byte("v"), Expiry: kv.ExpireIn, Expire: 50_000}}})
	right.entry(func(m *Machine) {
		if !m.Retire(Bounds{From: []byte("m")}) {
			t.Fatal("it does not retire")
		}
	})
	return left, right
}

func parts(right *side, limit int) (list []Part) {
	for start := []byte(nil); ; {
		p := PartOf(right.state, RetiredOf(right.state), start, limit)
		p.Merge, p.Group = 3, 9
		list = append(list, p)
		if start = p.Next; len(start) == 0 {
			return list
		}
	}
}

// TestPartsAreTakenInTheirOrder: each once, whoever sends them and how often, and the keys are the group's with the last.
func TestPartsAreTakenInTheirOrder(t *testing.T) {
	left, right := mergeSides(t)
	list := parts(right, 100)
	if len(list) < 5 {
		t.Fatalf("%d parts", len(list))
	}
	get := kv.Command{Ops: []kv.Op{{Kind: kv.OpGet, Key: []byte("n03")}}}
	for i, p := range list {
		if i > 0 {
			if r := left.absorb(list[len(list)-1]); i < len(list)-1 && (r.Existed || !bytes.Equal(r.Value, p.Start)) {
				t.Fatalf("part %d is wanted, and the last one is taken: %+v", i, r)
			}
			left.absorb(list[i-1])
		}
		if r := left.apply(get); i > 0 && i < len(list)-1 && r.Code != kv.Moved {
			t.Fatalf("before part %d: %+v", i, r)
		}
		left.absorb(p)
	}
	done := left.absorb(list[0])
	if !done.Existed || done.Position == 0 {
		t.Fatalf("at the end: %+v", done)
	}
	before, _ := right.state.Get([]byte("dn03"))
	after, _ := left.state.Get([]byte("dn03"))
	if r := left.apply(get); string(r.Value) != "2" || !bytes.Equal(before, after) {
		t.Errorf("n03: %+v", r)
	}
	if r := right.apply(get); r.Code != kv.Moved {
		t.Errorf("the group that has retired answers %+v", r)
	}
	again := left.apply(kv.Command{Session: mergeClient(5), Ops: []kv.Op{{Kind: kv.OpIncr, Key: []byte("n03"), Delta: 2}}})
	if string(again.Value) == "4" || again.Int == 4 {
		t.Errorf("a command that was executed before the merge is executed again: %+v", again)
	}
	old := mustDecode([]byte("n19"), must(right.state.Get([]byte("dn19")))).Version
	if r := left.apply(kv.Command{Ops: []kv.Op{{Kind: kv.OpSet, Key: []byte("n19")}}}); r.Version <= old {
		t.Errorf("version %d after %d", r.Version, old)
	}
	if at, ok := Next(left.state); !ok || at > mergeTime+60_000 {
		t.Errorf("what ends is not known: %d", at)
	}
}

func must(b []byte, ok bool) []byte {
	if !ok {
		panic("missing")
	}
	return b
}

// TestOneEntryTakesAll: what stands behind the last part in its entry has versions above those of the other group.
func TestOneEntryTakesAll(t *testing.T) {
	left, right := mergeSides(t)
	p := parts(right, 1<<20)[0]
	absorb := kv.Command{Ops: []kv.Op{{Kind: kv.OpAbsorb, Value: p.AppendTo(nil)}}}
	set := kv.Command{Ops: []kv.Op{{Kind: kv.OpSet, Key: []byte("n01")}}}
	var r kv.Result
	left.now = right.now
	left.entry(func(m *Machine) {
		m.Apply(kv.AppendCommand(nil, &absorb), true)
		r = m.Apply(kv.AppendCommand(nil, &set), true)
	})
	if r.Code != kv.OK || Position(r.Version) <= p.Was.Place {
		t.Errorf("%+v, and the other group's place was %d", r, p.Was.Place)
	}
	if want := p.Was.Place + 1 - left.index; LiftOf(left.state) != want {
		t.Errorf("lift %d, not %d", LiftOf(left.state), want)
	}
}

// TestKeysDoNotComeToAnEarlierTime: the last part waits for it.
func TestKeysDoNotComeToAnEarlierTime(t *testing.T) {
	left, right := mergeSides(t)
	p := parts(right, 1<<20)[0]
	left.now = p.Was.Time - kv.HLCOf(1)
	if r := left.absorb(p); r.Code != kv.Busy {
		t.Errorf("at the same time: %+v", r)
	}
	if r := left.absorb(p); !r.Existed {
		t.Errorf("later: %+v", r)
	}
}

// TestWhatIsTooLateDoesNothing: parts of an earlier merge, and splits that were over before the merge.
func TestWhatIsTooLateDoesNothing(t *testing.T) {
	left, right := mergeSides(t)
	list := parts(right, 100)
	split := func(child uint64) (done bool) {
		left.entry(func(m *Machine) { done = m.Split(child, []byte("n10"), nil) })
		return done
	}
	left.absorb(list[0])
	if split(20) {
		t.Error("a group is split while it absorbs another one")
	}
	left.now = right.now
	for _, p := range list[1:] {
		left.absorb(p)
	}
	if split(9) || split(8) {
		t.Error("a group is split into one that it has absorbed, or an older one")
	}
	p := list[0]
	p.Merge, p.Group = 2, 8
	if r := left.absorb(p); r.Code != kv.Invalid {
		t.Errorf("a part of an earlier merge: %+v", r)
	}
	if !split(10) {
		t.Error("a group that has absorbed another one is not split any more")
	}
	again := list[0]
	again.Merge, again.Group = 4, 10
	if r := left.absorb(again); r.Code != kv.Busy {
		t.Errorf("a merge while something is laid aside: %+v", r)
	}
	// The child's versions run as far ahead as its parent's.
	lift := false
	if err := Birth(left.state, 10, func(key, value []byte) error {
		lift = lift || bytes.Equal(key, liftKey)
		return nil
	}); err != nil || !lift {
		t.Errorf("the child does not know of the lift: %v", err)
	}
}

// TestRetiredStateStays: nothing ends there, and nothing is proposed for it.
func TestRetiredStateStays(t *testing.T) {
	_, right := mergeSides(t)
	before := parts(right, 1<<20)[0].AppendTo(nil)
	if at, ok := Next(right.state); ok {
		t.Errorf("something is to end at %d", at)
	}
	right.now += kv.HLCOf(3 * sessionIdle)
	right.entry((*Machine).Expire)
	right.apply(kv.Command{Session: mergeClient(90), Ops: []kv.Op{{Kind: kv.OpSet, Key: []byte("n01")}}})
	if after := parts(right, 1<<20)[0].AppendTo(nil); !bytes.Equal(before, after) {
		t.Error("the state has changed")
	}
}

// FuzzDecodePart: whatever comes, it is refused or is a part.
func FuzzDecodePart(f *testing.F) {
	p := Part{Merge: 1, Group: 2, Was: Retired{Bounds: Bounds{From: []byte("m")}, Place: 3, Time: 4}, Start: []byte("dm"), Next: []byte("dn")}
	p.pairs = []core.Change{{Kind: core.Put, Key: []byte("dm"), Value: []byte("x")}}
	f.Add(p.AppendTo(nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := DecodePart(b)
		if err != nil {
			return
		}
		again, err := DecodePart(p.AppendTo(nil))
		if err != nil || !bytes.Equal(again.AppendTo(nil), p.AppendTo(nil)) {
			t.Errorf("%x does not come back: %v", b, err)
		}
	})
}
