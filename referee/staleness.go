package referee

import (
	"slices"
	"sort"
	"time"

	"github.com/gamutdb/gamut/kv"
)

// versionsAge is as of when a bound counts versions.
const versionsAge = time.Second

// bound is how old a read may be, and how many versions behind that; ok is false if it is not bounded.
func (o *Op) bound() (age time.Duration, versions uint64, ok bool) {
	l, err := kv.ParseLevel(o.Level)
	if err != nil || l.Kind() != kv.LevelBounded {
		return 0, 0, false
	}
	if age, versions = l.Bound(); versions > 0 {
		age = versionsAge
	}
	return age, versions, true
}

func bounded(o *Op) bool {
	_, _, ok := o.bound()
	return ok
}

// checkStaleness judges bounded reads: each shows what was acknowledged so long before its call as its level names, or
// something newer, or lacks no more versions than that.
func checkStaleness(r *Run) Verdict {
	const check = "bounded-staleness"
	if !slices.ContainsFunc(r.History, func(o Op) bool { return bounded(&o) }) {
		return undecided(check, "", "the run has no bounded reads")
	}
	l := newLedger(r.History, func(*Op) bool { return true })
	if v, found := l.faulty(check, "ThinAirRead", "G1a"); found {
		return v
	}
	judged := 0
	for _, k := range l.keys {
		reads := slices.DeleteFunc(slices.Clone(k.reads), func(i int32) bool { return !bounded(l.ops[l.reads[i].op]) })
		judged += len(reads)
		if v, found := l.stale(k, reads); found {
			v.Check, v.Judged = check, judged
			return v
		}
	}
	if text := l.unordered(); text != "" {
		v := undecided(check, "", "%s", text)
		v.Judged = judged
		return v
	}
	return Verdict{Check: check, Decision: Holds, Judged: judged}
}

// acknowledged are the writes of a key that are known to have happened, in the order of their ends.
type acknowledged struct {
	writes []int32
	// newest is, for each of them, the newest among it and those before.
	newest []int32
}

func (l *ledger) acknowledged(k *item) (a acknowledged) {
	a.writes = slices.DeleteFunc(slices.Clone(k.writes), func(w int32) bool { return l.ops[l.writes[w].op].Outcome != Done })
	sort.SliceStable(a.writes, func(i, j int) bool { return l.end(a.writes[i]) < l.end(a.writes[j]) })
	for i, w := range a.writes {
		if i > 0 && l.writes[a.newest[i-1]].pos >= l.writes[w].pos {
			w = a.newest[i-1]
		}
		a.newest = append(a.newest, w)
	}
	return a
}

func (l *ledger) end(w int32) int64 { return l.ops[l.writes[w].op].Return }

// stale looks for a read of a key that shows less than it may.
func (l *ledger) stale(k *item, reads []int32) (Verdict, bool) {
	acked := l.acknowledged(k)
	for _, i := range reads {
		r := &l.reads[i]
		o := l.ops[r.op]
		age, versions, _ := o.bound()
		n := sort.Search(len(acked.writes), func(i int) bool { return l.end(acked.writes[i]) >= o.Call-int64(age) })
		if n == 0 || r.high >= l.writes[acked.newest[n-1]].pos || l.apart(acked.writes[:n], r.high) <= versions && versions > 0 {
			continue
		}
		w := l.ops[l.writes[acked.newest[n-1]].op]
		return broken("", k.name, []Op{*w, *o}, "#%d was asked at level %s and shows less than #%d wrote, which had been acknowledged %.3f s before", o.ID, o.Level, w.ID, float64(o.Call-w.Return)/1e9), true
	}
	return Verdict{}, false
}

// apart counts writes behind a place of which each was called when the one before it had been acknowledged: no two of them
// can belong to one version of their shard.
func (l *ledger) apart(writes []int32, behind int32) (n uint64) {
	last := int64(-1 << 62)
	for _, w := range writes {
		if l.writes[w].pos > behind && l.ops[l.writes[w].op].Call >= last {
			n, last = n+1, l.end(w)
		}
	}
	return n
}
