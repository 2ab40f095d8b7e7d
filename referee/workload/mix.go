package workload

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/gamutdb/gamut/referee"
)

// Mixed is the word for all workloads that a keyspace can run, at once.
const Mixed = "mixed"

// Select finds workloads by their names for a keyspace of a consistency; no name means Mixed. One that the keyspace cannot run
// honestly is an error that says what it lacks.
func Select(consistency string, names []string) (list []Definition, err error) {
	if len(names) == 0 {
		names = []string{Mixed}
	}
	for _, name := range names {
		more := For(consistency)
		if name != Mixed {
			d, ok := Named(name)
			if !ok {
				return nil, fmt.Errorf("there is no workload %q; there are %s, and %s for all that a keyspace can run", name, strings.Join(nameList(Table), ", "), Mixed)
			}
			if lacks := d.lacks(Offers[consistency]); len(lacks) > 0 {
				return nil, fmt.Errorf("workload %s needs %s, which a keyspace of consistency %s cannot give; it can run %s", name, words(lacks), consistency,
					strings.Join(nameList(more), ", "))
			}
			more = []Definition{d}
		}
		for _, d := range more {
			if !slices.ContainsFunc(list, func(e Definition) bool { return e.Name == d.Name }) {
				list = append(list, d)
			}
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("no workload is known for consistency %q", consistency)
	}
	return list, nil
}

func nameList(list []Definition) (names []string) {
	for i := range list {
		names = append(names, list[i].Name)
	}
	return names
}

func words(list []referee.Kind) string {
	var texts []string
	for _, k := range list {
		texts = append(texts, string(k))
	}
	return strings.Join(texts, ", ")
}

// roundLength is how many operations of all clients a workload gives before it goes on to other keys.
const roundLength = 150

// Mix runs several workloads at once: each client's next operation is one of any of them. After a round each of them goes on
// with keys that nobody has used, so that the history of a key stays short enough to be judged however many outcomes are
// unknown.
type Mix struct {
	rng         *rand.Rand
	options     Options
	definitions []Definition
	count       int
	// parts are all workloads that have begun, now those of this round, doing what each client does.
	parts, now, doing []*part
	// of tells whose key it is.
	of map[string]*part
}

// part is one workload of one round.
type part struct {
	Definition
	workload Workload
}

// NewMix begins the workloads; options are those of each.
func NewMix(rng *rand.Rand, o Options, list []Definition) *Mix {
	if o.Clients <= 0 {
		o.Clients = clientsUsual
	}
	return &Mix{rng: rng, options: o, definitions: list, doing: make([]*part, o.Clients), of: map[string]*part{}}
}

// begin begins a round.
func (m *Mix) begin() {
	round := len(m.parts) / len(m.definitions)
	m.now = nil
	for _, d := range m.definitions {
		o := m.options
		o.Prefix = fmt.Sprintf("%s%d.", o.Prefix, round)
		m.now = append(m.now, &part{d, d.New(m.rng, o)})
	}
	m.parts = append(m.parts, m.now...)
}

// Next is Workload's.
func (m *Mix) Next(client int) Step {
	if m.count%(roundLength*len(m.definitions)) == 0 {
		m.begin()
	}
	m.count++
	p := m.now[m.rng.IntN(len(m.now))]
	m.doing[client] = p
	s := p.workload.Next(client)
	for _, key := range keysOf(&s.Op) {
		m.of[key] = p
	}
	return s
}

func keysOf(o *referee.Op) (keys []string) {
	if o.Kind != referee.Txn {
		return []string{o.Key}
	}
	for i := range o.Subs {
		keys = append(keys, o.Subs[i].Key)
	}
	return keys
}

// Observe is Workload's.
func (m *Mix) Observe(client int, op *referee.Op) { m.doing[client].workload.Observe(client, op) }

// Close is Workload's: reads of the keys that were touched.
func (m *Mix) Close() (steps []Step) {
	for _, p := range m.parts {
		for _, s := range p.workload.Close() {
			if m.of[s.Op.Key] == p {
				steps = append(steps, s)
			}
		}
	}
	return steps
}

// Describe names the workloads. What the checkers of one of them must know is told by Judge.
func (m *Mix) Describe(r *referee.Run) { r.Workload = strings.Join(nameList(m.definitions), ",") }

// Judge applies to the run the checkers of what its keyspace promises: each to all operations of those workloads that are made
// for it. Parts that are judged one by one make one verdict, the worst.
func (m *Mix) Judge(r *referee.Run) (verdicts []referee.Verdict) {
	for _, name := range append(slices.Clone(referee.Promised[r.Consistency]), totals) {
		check, ok := referee.CheckerNamed(name)
		var judged []*part
		for _, p := range m.parts {
			if slices.Contains(p.Judges(r.Consistency), name) {
				judged = append(judged, p)
			}
		}
		if !ok || len(judged) == 0 {
			continue
		}
		if name != totals {
			verdicts = append(verdicts, check.Check(m.only(r, judged)))
			continue
		}
		verdicts = append(verdicts, m.totals(r, check, judged))
	}
	return verdicts
}

// totals judges each bank by itself.
func (m *Mix) totals(r *referee.Run, check referee.Checker, banks []*part) referee.Verdict {
	var all referee.Verdict
	for i, p := range banks {
		sub := m.only(r, []*part{p})
		p.workload.Describe(sub)
		if v := check.Check(sub); i == 0 || worse(v.Decision, all.Decision) {
			v.Judged += all.Judged
			all = v
		} else {
			all.Judged += v.Judged
		}
	}
	return all
}

// worse: a bank of which nobody read all accounts was not judged, and does not speak against those that were.
func worse(a, b referee.Decision) bool {
	return a == referee.Broken && b != referee.Broken || a == referee.Holds && b == referee.Undecided
}

// only is what a run shows of some parts.
func (m *Mix) only(r *referee.Run, parts []*part) *referee.Run {
	if len(parts) == len(m.parts) {
		return r
	}
	sub := *r
	in := func(key string) bool { return slices.Contains(parts, m.of[key]) }
	sub.History = nil
	for i := range r.History {
		if o := &r.History[i]; in(keysOf(o)[0]) {
			sub.History = append(sub.History, *o)
		}
	}
	if r.Final != nil {
		sub.Final = referee.Final{}
		for key, value := range r.Final { // order does not matter: one map becomes another
			if in(key) {
				sub.Final[key] = value
			}
		}
	}
	sub.Replicas = nil
	for _, p := range r.Replicas {
		records := map[string]referee.Record{}
		for key, record := range p.Records { // order does not matter: as above
			if in(key) {
				records[key] = record
			}
		}
		p.Records = records
		sub.Replicas = append(sub.Replicas, p)
	}
	return &sub
}
