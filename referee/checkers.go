package referee

import (
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

// Checkers are all of them, strongest promises first.
var Checkers = []Checker{
	{"linearizable", "each operation takes effect at one instant between its call and its return, key by key", func(r *Run) Verdict {
		return CheckLinearizable(r.History, r.search())
	}},
	{"versions", "the versions of a key grow with real time, and none stands for two values", func(r *Run) Verdict { return CheckVersions(r.History) }},
	{"durability", "no acknowledged write is lost, no refused one appears, none is there that nobody made", func(r *Run) Verdict {
		if r.Final == nil {
			return undecided("durability", "", "nobody looked at what was left at the end")
		}
		return CheckDurable(r.History, r.Final)
	}},
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

// Promised are the checkers that a consistency has to pass, by name; nil for a word that is none.
var Promised = map[string][]string{
	"linearizable": {"linearizable", "versions", "durability"},
}

// CheckAll applies every checker that the run's consistency has to pass.
func CheckAll(r *Run) (verdicts []Verdict) {
	for _, name := range Promised[r.Consistency] {
		if c, ok := CheckerNamed(name); ok {
			verdicts = append(verdicts, c.Check(r))
		}
	}
	return verdicts
}
