package referee

import (
	"slices"
	"sort"
	"strings"
)

// checkStaleness judges bounded reads: each shows what was acknowledged Run.Stale before its call, or something newer.
func checkStaleness(r *Run) Verdict {
	const check = "bounded-staleness"
	bounded := func(o *Op) bool { return strings.HasPrefix(o.Level, "bounded") }
	if r.Stale <= 0 || !slices.ContainsFunc(r.History, func(o Op) bool { return bounded(&o) }) {
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
		if v, found := l.stale(k, reads, int64(r.Stale)); found {
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

// stale looks for a read of a key, in the order of calls, that shows less than it may.
func (l *ledger) stale(k *item, reads []int32, old int64) (Verdict, bool) {
	acked := slices.DeleteFunc(slices.Clone(k.writes), func(w int32) bool { return l.ops[l.writes[w].op].Outcome != Done })
	end := func(w int32) int64 { return l.ops[l.writes[w].op].Return }
	sort.SliceStable(acked, func(i, j int) bool { return end(acked[i]) < end(acked[j]) })
	next, newest := 0, int32(-1)
	for _, i := range reads {
		r := &l.reads[i]
		o := l.ops[r.op]
		for ; next < len(acked) && end(acked[next]) < o.Call-old; next++ {
			if newest < 0 || l.writes[acked[next]].pos > l.writes[newest].pos {
				newest = acked[next]
			}
		}
		if newest >= 0 && r.high < l.writes[newest].pos {
			w := l.ops[l.writes[newest].op]
			return broken("", k.name, []Op{*w, *o}, "#%d shows less than #%d wrote, which had been acknowledged %.3f s before", o.ID, w.ID, float64(o.Call-w.Return)/1e9), true
		}
	}
	return Verdict{}, false
}
