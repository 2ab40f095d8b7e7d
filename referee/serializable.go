package referee

import (
	"strconv"

	"github.com/gamutdb/gamut/kv"
)

// CheckSerializable judges whether the transactions could have happened one after another, by the cycles of Adya's thesis
// (1999), found as Elle does (Kingsbury and Alvaro, VLDB 2020). The verdict names the least that is wrong: G1a and G1b are reads of
// what was never or not yet there, G0 is a cycle of writes, G1c one of writes and reads, G-single one that is closed by one
// read of something older, G2 by several.
func CheckSerializable(h History) Verdict {
	const check = "serializable"
	l := newLedger(h, strong)
	if v, found := l.faulty(check); found {
		return v
	}
	g := newGraph(len(l.ops))
	l.data(g, rf|ww|rw)
	g.freeze()
	for _, p := range []struct {
		name, why string
		find      func() []edge
	}{
		{"G0", "each of these wrote something before the next one did, in a circle", func() []edge { return g.cycle(ww) }},
		{"G1c", "each of these was seen or overwritten by the next one, in a circle", func() []edge { return g.cycle(ww | rf) }},
		{"G-single", "one transaction read something older than what it also saw, or wrote over what it had not seen", func() []edge { return g.single(rw, ww|rf) }},
		{"G2", "several transactions each missed what another one wrote, in a circle", func() []edge { return g.cycle(ww | rf | rw) }},
	} {
		if c := p.find(); c != nil {
			return l.verdict(check, p.name, c, "no order of the transactions explains what they saw: "+p.why)
		}
	}
	return l.verdict(check, "", nil, "")
}

// checkTotals judges a bank: whoever reads all accounts at once finds the total.
func checkTotals(r *Run) Verdict {
	const check = "totals"
	if r.Bank == nil {
		return undecided(check, "", "the run has no bank")
	}
	judged := 0
	for i := range r.History {
		o := &r.History[i]
		sum, all := r.Bank.sum(o)
		if !all {
			continue
		}
		judged++
		if sum != r.Bank.Total {
			v := broken(check, "", []Op{*o}, "#%d read all accounts at once and found %d in them, not %d", o.ID, sum, r.Bank.Total)
			v.Judged = judged
			return v
		}
	}
	if r.Final != nil {
		sum := int64(0)
		for _, a := range r.Bank.Accounts {
			n, _ := strconv.ParseInt(r.Final[a], 10, 64)
			sum += n
		}
		if sum != r.Bank.Total {
			return Verdict{Check: check, Decision: Broken, Judged: judged, Why: "the accounts hold " + strconv.FormatInt(sum, 10) +
				" together at the end, not " + strconv.FormatInt(r.Bank.Total, 10)}
		}
	}
	if judged == 0 {
		return undecided(check, "", "no transaction read all accounts")
	}
	return Verdict{Check: check, Decision: Holds, Judged: judged}
}

// sum is what a transaction found in the accounts; all reports whether it read each of them and wrote none.
func (b *Bank) sum(o *Op) (sum int64, all bool) {
	if o.Kind != Txn || !o.Executed() || o.Writes() {
		return 0, false
	}
	seen := map[string]string{}
	for _, s := range o.Subs {
		if s.Kind == Get && s.Code == kv.OK {
			seen[s.Key] = s.Got
		}
		if s.Kind == Get && s.Code == kv.NotFound {
			seen[s.Key] = "0"
		}
	}
	for _, a := range b.Accounts {
		n, err := strconv.ParseInt(seen[a], 10, 64)
		if err != nil {
			return 0, false
		}
		sum += n
	}
	return sum, true
}
