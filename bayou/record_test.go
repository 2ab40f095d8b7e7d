package bayou

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/coretest"
	"github.com/gamutdb/gamut/kv"
)

// replicaOf is a record as one replica sees it, and what it has seen.
type replicaOf struct {
	rec  record
	seen Vector
	last kv.HLC
}

func (r *replicaOf) apply(w *Write) {
	c := cells{view: coretest.NewState()}
	one := c.cell([]byte("k"))
	one.rec = r.rec
	for i := range w.Ops {
		c.applyOp(w, &w.Ops[i], false)
	}
	r.rec = one.rec
	r.seen.Raise(w.Replica, w.Stamp)
	r.last = max(r.last, w.Stamp)
}

func (r *replicaOf) shown() string {
	value, ok := r.rec.show(1)
	return fmt.Sprintf("%q %t %s", value, ok, partsText(r.rec.parts))
}

func partsText(parts []part) (text string) {
	for _, p := range parts {
		text += fmt.Sprintf("%q by %v, ", p.value, p.Dot)
	}
	return text
}

// TestRecordsAreEqualInWhateverOrderWritesArrive lets three replicas write and hand each other writes in any causal order, by
// the log or by merging their records: those that have seen the same show the same (rules B4, B7).
func TestRecordsAreEqualInWhateverOrderWritesArrive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		replicas := make([]*replicaOf, 3)
		for i := range replicas {
			replicas[i] = &replicaOf{}
		}
		var all []pastWrite
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			at := rapid.IntRange(0, 2).Draw(t, "at")
			r := replicas[at]
			switch rapid.IntRange(0, 3).Draw(t, "do") {
			case 0: // the next writes of another one
				handOver(r, all, rapid.IntRange(1, 9).Draw(t, "count"))
			case 1:
				other := replicas[(at+1)%3]
				r.rec.merge(r.seen, &other.rec, other.seen)
				r.seen = append(Vector{}, r.seen...)
				r.seen.Merge(other.seen)
				r.last = max(r.last, other.last)
			default:
				w := &Write{Dot: Dot{r.last + kv.HLC(rapid.IntRange(1, 5).Draw(t, "later")), core.ReplicaID(at + 1)}}
				kind := rapid.SampledFrom([]OpKind{Set, Delete, Add, Include, Include, Exclude, Sibling}).Draw(t, "kind")
				op := Op{Kind: kind, Key: []byte("k"), Value: []byte("7"), Delta: 1}
				if kind == Include || kind == Exclude {
					op.Value = []byte(rapid.SampledFrom([]string{"x", "y"}).Draw(t, "member"))
				}
				w.Seen = append(Vector{}, r.seen...)
				op.Run, op.Sums = cmp.Or(r.rec.runOf(w.Replica), w.Stamp), r.rec.sums()
				w.Ops = []Op{op}
				all = append(all, pastWrite{w, append(Vector{}, r.seen...)})
				r.apply(w)
			}
		}
		for _, r := range replicas {
			handOver(r, all, len(all))
		}
		for _, r := range replicas[1:] {
			if !r.seen.Equal(replicas[0].seen) || r.shown() != replicas[0].shown() {
				t.Fatalf("%v shows %s, %v shows %s", r.seen, r.shown(), replicas[0].seen, replicas[0].shown())
			}
		}
		if got, want := partsText(replicas[0].rec.parts), partsText(surviving(all)); got != want {
			t.Fatalf("there are %s, want %s", got, want)
		}
	})
}

// pastWrite is a write and what its writer had seen.
type pastWrite struct {
	*Write
	past Vector
}

// surviving are the parts that nothing took away, by what each writer had seen alone (rule B11).
func surviving(all []pastWrite) (parts []part) {
	for _, w := range all {
		o := &w.Ops[0]
		if o.Kind != Include && o.Kind != Sibling {
			continue
		}
		p := part{Dot: w.Dot, member: o.Kind == Include, value: o.Value}
		if !slices.ContainsFunc(all, func(later pastWrite) bool { return later.past.Has(w.Dot) && later.takes(&p) }) {
			parts = append(parts, p)
		}
	}
	slices.SortFunc(parts, func(a, b part) int { return a.compare(&b) })
	return parts
}

// takes says that a write takes a part away that its writer had seen.
func (w *pastWrite) takes(p *part) bool {
	switch o := &w.Ops[0]; o.Kind {
	case Set, Delete, Sibling:
		return true
	case Include, Exclude:
		return p.member && string(o.Value) == string(p.value)
	}
	return false
}

// handOver applies up to count writes that a replica lacks, each after all that its writer had seen.
func handOver(r *replicaOf, all []pastWrite, count int) {
	for _, w := range all {
		if count > 0 && !r.seen.Has(w.Dot) && r.seen.Covers(w.past) {
			r.apply(w.Write)
			count--
		}
	}
}

func TestASumStopsAtItsEnds(t *testing.T) {
	rec := record{base: Dot{1, 1}, value: []byte("9223372036854775800"), runs: []run{{1, 2, 2, math.MaxInt64, 0}, {2, 2, 2, 100, 0}}}
	if n, ok := rec.number(1); n != math.MaxInt64 || !ok {
		t.Error(n, ok)
	}
	rec.runs[0].total, rec.runs[1].total = math.MinInt64, math.MinInt64
	if n, _ := rec.number(1); n != math.MinInt64 {
		t.Error(n)
	}
	rec.runs[0].total, rec.runs[1].total = -math.MaxInt64, -1
	if n, _ := rec.number(1); n != -8 {
		t.Error(n)
	}
}

func TestACounterThatEndedBeginsAnew(t *testing.T) {
	r := replicaOf{rec: record{base: Dot{kv.HLCOf(1), 1}, value: []byte("5"), expireAt: 10}}
	r.apply(&Write{Dot: Dot{kv.HLCOf(20), 2}, Ops: []Op{{Kind: Add, Key: []byte("k"), Delta: 3, Run: kv.HLCOf(20)}}})
	if got := r.shown(); got != `"3" true ` {
		t.Error(got)
	}
}
