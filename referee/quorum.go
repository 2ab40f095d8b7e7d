package referee

import (
	"fmt"
	"slices"
	"sort"

	"github.com/gamutdb/gamut/kv"
)

// reach is how many replicas a level asks: one (or some), a majority, or all.
type reach uint8

const (
	reachOne reach = iota
	reachQuorum
	reachAll
)

// reachOf is the level that an answer says it met, else the one that was asked for; a keyspace's own promise is a quorum.
func reachOf(o *Op) reach {
	level := o.Met
	if level == "" {
		level = o.Level
	}
	switch level {
	case "one", "two", "weak", "eventual":
		return reachOne
	case "all":
		return reachAll
	}
	return reachQuorum
}

// meets reports whether any replicas that one operation reached and those that another one reached have one in common.
func meets(a, b reach) bool {
	return a == reachAll || b == reachAll || (a == reachQuorum && b == reachQuorum)
}

// checkQuorum judges by stamps what quorums promise, without a search: an operation that meets the replicas of an earlier
// one shows its stamp or a newer one, whether that one wrote or read; no stamp stands for two values; at the end every
// acknowledged stamp has been kept or surpassed.
func checkQuorum(r *Run) Verdict {
	const check = "quorum"
	l := newLedger(r.History, func(*Op) bool { return true })
	if v, found := l.faulty(check, "ThinAirRead", "G1a"); found {
		return v
	}
	q := quorum{ledger: l, run: r}
	for key := range l.keys {
		q.shown = q.shown[:0]
		q.collect(int32(key))
		for _, rule := range []func(int32) (Verdict, bool){q.unique, q.growing, q.kept} {
			if v, found := rule(int32(key)); found {
				v.Judged = len(l.ops)
				return v
			}
		}
	}
	switch {
	case q.judged == 0:
		return undecided(check, "", "no answer carries a stamp")
	case q.unstamped > 0:
		v := undecided(check, "", "%d answers carry no stamp", q.unstamped)
		v.Judged = q.judged
		return v
	}
	return Verdict{Check: check, Decision: Holds, Judged: q.judged}
}

type quorum struct {
	*ledger
	run *Run
	// shown are the answers about the key at hand, in the order of calls.
	shown             []shown
	judged, unstamped int
}

// shown is what one answer told of a key: a stamp, or that it is missing (zero).
type shown struct {
	op      *Op
	stamp   Stamp
	value   string
	missing bool
	write   bool
}

// collect gathers what answers tell of a key. A read without a stamp shows that of the write whose value it shows.
func (q *quorum) collect(key int32) {
	k := q.keys[key]
	stampOf := func(rank rank) Stamp { return Stamp{kv.HLC(rank.high), uint32(rank.low - 1)} }
	add := func(s shown, rank rank) {
		switch {
		case rank.low != 0:
			s.stamp = stampOf(rank)
		case !s.missing:
			q.unstamped++
			return
		}
		q.judged++
		q.shown = append(q.shown, s)
	}
	for _, w := range k.writes {
		v := &q.writes[w]
		if o := q.ops[v.op]; o.Outcome == Done {
			add(shown{op: o, value: v.value, missing: v.gone, write: true}, v.rank)
		}
	}
	for _, i := range k.reads {
		d := &q.reads[i]
		rank := d.rank
		if rank.low == 0 && d.source >= 0 {
			rank = q.writes[d.source].rank
		}
		add(shown{op: q.ops[d.op], value: d.got, missing: d.absent}, rank)
	}
	sort.SliceStable(q.shown, func(i, j int) bool { return q.shown[i].op.Call < q.shown[j].op.Call })
}

// unique looks for a stamp of two values.
func (q *quorum) unique(key int32) (Verdict, bool) {
	first := map[Stamp]shown{}
	for _, s := range q.shown {
		if s.stamp.IsZero() {
			continue
		}
		other, ok := first[s.stamp]
		if !ok {
			first[s.stamp] = s
			continue
		}
		// A record that ended by itself is missing under the stamp that wrote it.
		if s.value != other.value && !s.missing && !other.missing || s.write && other.write {
			return broken("quorum", q.keys[key].name, []Op{*other.op, *s.op}, "stamp %s stands for two values, see #%d and #%d", s.stamp, other.op.ID, s.op.ID), true
		}
	}
	return Verdict{}, false
}

// growing looks for a read that shows less than what an operation that it must meet had shown before it was called.
func (q *quorum) growing(key int32) (Verdict, bool) {
	byReturn := slices.Clone(q.shown)
	sort.SliceStable(byReturn, func(i, j int) bool { return byReturn[i].op.end() < byReturn[j].op.end() })
	var newest [reachAll + 1]shown // by the reach of the reader that is bound
	next := 0
	for _, s := range q.shown {
		for ; next < len(byReturn) && byReturn[next].op.end() < s.op.Call; next++ {
			for reader := range newest {
				b := byReturn[next]
				if meets(reachOf(b.op), reach(reader)) && b.stamp.Compare(newest[reader].stamp) > 0 {
					newest[reader] = b
				}
			}
		}
		bound := newest[reachOf(s.op)]
		if s.write || bound.op == nil || s.stamp.Compare(bound.stamp) >= 0 || (s.stamp.IsZero() && q.deletedSince(key, bound.stamp)) {
			continue
		}
		what := "found nothing"
		if !s.stamp.IsZero() {
			what = "shows stamp " + s.stamp.String()
		}
		v := broken("quorum", q.keys[key].name, []Op{*bound.op, *s.op}, "#%d %s, although #%d had shown the newer stamp %s before and their replicas overlap",
			s.op.ID, what, bound.op.ID, bound.stamp)
		v.Links = []Link{{bound.op.ID, s.op.ID, RT, fmt.Sprintf("#%d had returned before #%d was called", bound.op.ID, s.op.ID)}}
		return v, true
	}
	return Verdict{}, false
}

// deletedSince reports whether some delete, or a write that ends by itself, may explain that a key is missing.
func (q *quorum) deletedSince(key int32, than Stamp) bool {
	k := q.keys[key]
	if k.open {
		return true
	}
	return slices.ContainsFunc(k.gone, func(w int32) bool {
		r := q.writes[w].rank
		return r.low == 0 || !r.less(rankOf(0, than))
	})
}

// kept compares every acknowledged stamp with what the replicas hold at the end.
func (q *quorum) kept(key int32) (Verdict, bool) {
	name := q.keys[key].name
	if len(q.run.Replicas) == 0 {
		return Verdict{}, false
	}
	var last Stamp
	for i := range q.run.Replicas {
		if s := q.run.Replicas[i].Records[name].Stamp; s.Compare(last) > 0 {
			last = s
		}
	}
	for _, s := range q.shown {
		if !s.write || s.stamp.Compare(last) <= 0 || (last.IsZero() && q.deletedSince(key, s.stamp)) {
			continue
		}
		v := broken("quorum", name, []Op{*s.op}, "#%d was acknowledged with stamp %s, but no replica holds that one or a newer one at the end", s.op.ID, s.stamp)
		v.Pattern = "lost write"
		return v, true
	}
	return Verdict{}, false
}
