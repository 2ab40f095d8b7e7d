package referee

import (
	"maps"
	"slices"
	"time"
)

// Checker judges one promise.
type Checker struct {
	// Name is the promise; Doc says it in a line.
	Name, Doc string
	Check     func(*Run) Verdict
}

// searchMax bounds the search for a linear order of one key. It is far above what any history of a simulation takes.
const searchMax = 60 * time.Second

// Checkers are all of them.
var Checkers = []Checker{
	{"linearizable", "each operation takes effect at one instant between its call and its return, key by key",
		func(r *Run) Verdict { return CheckLinearizable(r.History, r.search()) }},
	{"strict-serializable", "one order of all transactions, over all keys, agrees with real time",
		func(r *Run) Verdict { return CheckStrictSerializable(r.History) }},
	{"serializable", "the transactions could have happened one after another (no G0, G1a-c, G-single, G2)",
		func(r *Run) Verdict { return CheckSerializable(r.History) }},
	{"totals", "whoever reads all accounts of a bank at once finds its total", checkTotals},
	{"sequential", "one order of all operations, over all keys and shards, keeps the order of each session",
		func(r *Run) Verdict { return CheckSequential(r.History) }},
	{"causal", "nobody sees an effect without its causes, and replicas can agree on one order of writes",
		func(r *Run) Verdict { return CheckCausal(r.History) }},
	{"read-your-writes", "a session's reads show what it wrote before, or newer", session("read-your-writes")},
	{"monotonic-reads", "a session's reads never show anything older than its reads before", session("monotonic-reads")},
	{"monotonic-writes", "a session's writes take effect everywhere in the order of its calls", session("monotonic-writes")},
	{"writes-follow-reads", "a session's writes take effect everywhere behind what it had read", session("writes-follow-reads")},
	{"quorum", "operations whose replicas overlap show growing stamps, and every acknowledged stamp is kept or surpassed", checkQuorum},
	{"atomic", "a write is on all replicas or on none, and nobody sees a part of a transaction", checkAtomic},
	{"bounded-staleness", "a bounded read shows all that was acknowledged by the time that it names", checkStaleness},
	{"versions", "the versions of a key grow with real time, and none stands for two values",
		func(r *Run) Verdict { return CheckVersions(r.History) }},
	{setsCheck, "a removal takes away what it had seen added and nothing else, for good", CheckSets},
	{CommitOrder, "what is committed has its place for good, the same on all nodes and behind all that its session had seen", CheckCommitOrder},
	{"convergence", "after the last heal all replicas of a group hold the same", checkConvergence},
	{"durability", "no acknowledged write is lost, no refused one appears, none is there that nobody made", checkDurability},
}

func session(name string) func(*Run) Verdict {
	return func(r *Run) Verdict { return CheckSession(r.History, name) }
}

func checkDurability(r *Run) Verdict {
	if r.Final == nil {
		return undecided(durable, "", "nobody looked at what was left at the end")
	}
	return checkDurable(r.History, r.Final, r.Consistency == CommitOrder)
}

func (r *Run) search() time.Duration {
	if r.Search > 0 {
		return r.Search
	}
	return searchMax
}

// CheckerNamed finds a checker by its promise; ok is false if there is none.
func CheckerNamed(name string) (c Checker, ok bool) {
	i := slices.IndexFunc(Checkers, func(c Checker) bool { return c.Name == name })
	if i < 0 {
		return Checker{}, false
	}
	return Checkers[i], true
}

// Promised are the names of the checkers that a keyspace of each consistency has to pass.
var Promised = map[string][]string{
	"linearizable": {"linearizable", "strict-serializable", "versions", "durability"},
	"sequential": {"sequential", "serializable", "read-your-writes", "monotonic-reads", "monotonic-writes", "writes-follow-reads",
		"durability"},
	"atomic": {"atomic", "linearizable", "versions", "convergence", "durability"},
	"quorum": {"quorum", "convergence", "durability"},
	"causal": {"causal", "read-your-writes", "monotonic-reads", "monotonic-writes", "writes-follow-reads", "sets", "convergence",
		"durability"},
	"eventual":  {"sets", "convergence", "durability"},
	CommitOrder: {CommitOrder, "convergence", "durability"},
}

// CheckAll applies every checker that the run's consistency has to pass, and those of a bank and of bounded reads if there
// are any.
func CheckAll(r *Run) (verdicts []Verdict) {
	names := slices.Clone(Promised[r.Consistency])
	if r.Bank != nil {
		names = append(names, "totals")
	}
	if slices.ContainsFunc(r.History, func(o Op) bool { return bounded(&o) }) {
		names = append(names, "bounded-staleness")
	}
	sets, others := r.apart()
	for _, name := range names {
		c, ok := CheckerNamed(name)
		switch {
		case !ok:
		case name == setsCheck:
			verdicts = append(verdicts, c.Check(sets))
		default:
			verdicts = append(verdicts, c.Check(others))
		}
	}
	return verdicts
}

// apart parts what was done to sets from all else, which knows nothing of members. What replicas hold goes with both.
func (r *Run) apart() (sets, others *Run) {
	isSet := map[string]bool{}
	for i := range r.History {
		for _, o := range r.History[i : i+1].flat() {
			if o.Kind == Include || o.Kind == Exclude || o.Kind == Members {
				isSet[o.Key] = true
			}
		}
	}
	if len(isSet) == 0 {
		return &Run{Consistency: r.Consistency}, r
	}
	one, two := *r, *r
	one.History, two.History = nil, nil
	for i := range r.History {
		if o := &r.History[i]; isSet[r.History[i : i+1].flat()[0].Key] {
			one.History = append(one.History, *o)
		} else {
			two.History = append(two.History, *o)
		}
	}
	if r.Final != nil {
		two.Final = maps.Clone(r.Final)
		maps.DeleteFunc(two.Final, func(key, _ string) bool { return isSet[key] })
	}
	return &one, &two
}
