package referee

import "slices"

// weaker are the levels of reads that ask for less than their keyspace's promise: what they show binds nobody.
var weaker = []string{"eventual", "prefix", "one", "two"}

// strong reports whether an operation was asked for with the promises of its keyspace.
func strong(o *Op) bool {
	return !slices.Contains(weaker, o.Level) && !bounded(o)
}

// CheckSequential judges whether all operations, over all keys and shards, fit one order that keeps the order of each
// session. With the order of writes known from their versions this takes no search (Gibbons and Korach, 1997): there is
// such an order if and only if program order, reads-from, write order and read-before-write make no cycle.
func CheckSequential(h History) Verdict {
	const check = "sequential"
	l := newLedger(h, strong)
	if v, found := l.faulty(check); found {
		return v
	}
	g := newGraph(len(l.ops))
	l.data(g, rf|ww|rw)
	l.program(g)
	g.freeze()
	return l.verdict(check, "", g.cycle(rf|ww|rw|po), "no single order of all operations keeps the order of each session: each of these must come before the next, and the last before the first")
}

// CheckStrictSerializable judges whether all transactions, and the operations outside of them, over all keys, fit one
// order that agrees with real time. For operations on single keys it is a second opinion on linearizability, one that
// needs no search.
func CheckStrictSerializable(h History) Verdict {
	const check = "strict-serializable"
	l := newLedger(h, func(o *Op) bool { return strong(o) && o.Level != "sequential" })
	if v, found := l.faulty(check); found {
		return v
	}
	g := newGraph(len(l.ops))
	l.data(g, rf|ww|rw)
	l.realTime(g)
	g.freeze()
	return l.verdict(check, "", g.cycle(rf|ww|rw|rt), "no single order of all operations agrees with real time: each of these must come before the next, and the last before the first")
}
