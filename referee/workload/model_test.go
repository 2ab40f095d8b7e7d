package workload

import (
	"math/rand/v2"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/referee"
)

// store is a little database in a test: right by construction, or with a bug on purpose.
type store interface {
	// do executes a command at this instant, asked at a node in a session.
	do(node int, session string, c *kv.Command) kv.Result
	// settle lets replicas exchange what they have, and tells what each holds.
	settle() []referee.Replica
}

// unanswered stands before the session of a command whose answer will be lost.
const unanswered = "unanswered "

// bug is what a store does wrong now and then.
type bug string

// world runs a workload on a store: clients wait for their answers, which take time on both ways and sometimes get lost.
type world struct {
	rng      *rand.Rand
	workload Workload
	store    store
	now      int64
	loss     float64
	history  referee.History
	events   []event
}

type event struct {
	at int64
	do func()
}

const modelNodes = 3

// play runs a workload and returns what is known of it, the end included.
func play(seed uint64, d Definition, consistency string, s func(*rand.Rand) store, operations int) *referee.Run {
	rng := rand.New(rand.NewPCG(seed, 7))
	r := playOn(rng, d.New(rng, Options{Kinds: Offers[consistency], Levels: Levels(consistency)}), s(rng), operations)
	r.Consistency, r.Workload = consistency, d.Name
	return r
}

// playOn runs a workload on a store.
func playOn(rng *rand.Rand, workload Workload, s store, operations int) *referee.Run {
	w := &world{rng: rng, store: s, loss: 0.05, workload: workload}
	for c := range clientsUsual {
		w.after(func() { w.next(c, rng.IntN(modelNodes), operations/clientsUsual) })
	}
	for len(w.events) > 0 {
		first := 0
		for i := range w.events {
			if w.events[i].at < w.events[first].at {
				first = i
			}
		}
		e := w.events[first]
		w.events = append(w.events[:first], w.events[first+1:]...)
		w.now = e.at
		e.do()
	}
	r := &referee.Run{}
	w.workload.Describe(r)
	r.Replicas = w.store.settle()
	r.Final = referee.Final{}
	for _, step := range w.workload.Close() {
		w.now += 10
		op := step.Op
		op.Client, op.Call = clientsUsual, w.now
		res := w.store.do(0, "last", &step.Command)
		if op.Answer(w.now+5, &res); op.Code == kv.OK {
			r.Final[op.Key] = op.Got
		}
		w.history = append(w.history, op)
	}
	w.history.Sort()
	r.History = w.history
	return r
}

func (w *world) after(do func()) {
	w.events = append(w.events, event{w.now + 1 + w.rng.Int64N(1000), do})
}

// next lets a client do one step: the command arrives some time later, and its answer after that.
func (w *world) next(client, node, left int) {
	if left == 0 {
		return
	}
	step := w.workload.Next(client)
	if step.Move {
		node = w.rng.IntN(modelNodes)
	}
	op := step.Op
	op.Client, op.Node, op.Call = client, uint32(node+1), w.now
	session := op.Session
	if session == "" {
		session = strconv.Itoa(client)
	}
	answer := func(r kv.Result) {
		op.Answer(w.now, &r)
		w.history = append(w.history, op)
		w.workload.Observe(client, &op)
		w.after(func() { w.next(client, node, left-1) })
	}
	lost, done := w.rng.Float64() < w.loss, w.rng.IntN(2) == 0
	if lost {
		w.after(func() { answer(kv.Result{Code: kv.Unknown}) })
		// Its session has no answer to learn from, so what it did binds nothing; but it went with the session's token.
		session = unanswered + session
	}
	if !lost || done {
		w.after(func() {
			r := w.store.do(node, session, &step.Command)
			if !lost {
				w.after(func() { answer(r) })
			}
		})
	}
}

// logged is a store of one log, read by any replica at some place of it: linearizable, if it is always the end.
type logged struct {
	rng *rand.Rand
	bug bug
	// lag says that reads may be served from the past, as far as the session has not seen more.
	lag bool
	end uint64
	// commands are the places between which a command took effect as a whole.
	commands []uint64
	past     map[string][]entry
	tokens   map[string]uint64
}

type entry struct {
	version uint64
	value   string
	present bool
}

func newLogged(lag bool, b bug) func(*rand.Rand) store {
	return func(rng *rand.Rand) store {
		return &logged{rng: rng, bug: b, lag: lag, commands: []uint64{0}, past: map[string][]entry{}, tokens: map[string]uint64{}}
	}
}

func (s *logged) at(key string, position uint64) entry {
	list := s.past[key]
	n := sort.Search(len(list), func(i int) bool { return list[i].version > position })
	if n == 0 {
		return entry{}
	}
	return list[n-1]
}

func (s *logged) seldom() bool { return s.rng.IntN(15) == 0 }

func (s *logged) do(_ int, session string, c *kv.Command) kv.Result {
	position := s.end
	if c.ReadOnly() && s.lag {
		from := s.tokens[strings.TrimPrefix(session, unanswered)]
		if s.bug == "forget the token" {
			from = 0
		}
		position = max(from, s.commands[s.rng.IntN(len(s.commands))])
	}
	if c.ReadOnly() && s.bug == "read the past" && s.seldom() {
		position = s.commands[s.rng.IntN(len(s.commands))]
	}
	for i := range c.Conds {
		if e := s.at(string(c.Conds[i].Key), position); !e.present || e.value != string(c.Conds[i].Value) {
			return kv.Result{Code: kv.ConditionFailed}
		}
	}
	var items []kv.Result
	for i := range c.Ops {
		if i > 0 && s.bug == "do half" && s.seldom() {
			items = append(items, kv.Result{Version: s.end})
			continue
		}
		items = append(items, s.one(&c.Ops[i], position))
		if !c.ReadOnly() {
			position = s.end
		}
	}
	s.commands = append(s.commands, s.end)
	s.tokens[session] = max(s.tokens[session], position)
	if len(items) == 1 {
		return items[0]
	}
	return kv.Result{Items: items}
}

func (s *logged) one(o *kv.Op, position uint64) kv.Result {
	e := s.at(string(o.Key), position)
	put := func(value string, present bool) kv.Result {
		s.end++
		if s.bug != "lose a write" || !s.seldom() {
			s.past[string(o.Key)] = append(s.past[string(o.Key)], entry{s.end, value, present})
		}
		return kv.Result{Version: s.end}
	}
	switch {
	case o.Kind == kv.OpGet && !e.present, o.Kind == kv.OpDelete && !e.present, o.When == kv.IfValue && !e.present:
		return kv.Result{Code: kv.NotFound}
	case o.Kind == kv.OpGet:
		return kv.Result{Value: []byte(e.value), Version: e.version}
	case o.Kind == kv.OpDelete:
		return put("", false)
	case o.Kind == kv.OpAppend:
		return put(e.value+string(o.Value), true)
	case o.Kind == kv.OpIncr:
		n, _ := strconv.ParseInt(e.value, 10, 64)
		r := put(strconv.FormatInt(n+o.Delta, 10), true)
		r.Int = n + o.Delta
		return r
	case o.When == kv.IfAbsent && e.present, o.When == kv.IfValue && e.value != string(o.Expect):
		return kv.Result{Code: kv.ConditionFailed}
	}
	return put(string(o.Value), true)
}

func membersResult(members []string) (r kv.Result) {
	if len(members) == 0 {
		r.Code = kv.NotFound
	}
	for _, m := range members {
		r.Items = append(r.Items, kv.Result{Value: []byte(m)})
	}
	return r
}

func (s *logged) settle() (list []referee.Replica) {
	s.lag = false
	for n := range modelNodes {
		p := referee.Replica{Node: uint32(n + 1), Group: 1, Records: map[string]referee.Record{}}
		for key := range s.past {
			if e := s.at(key, s.end); e.present {
				p.Records[key] = referee.Record{Value: e.value, Version: e.version}
			}
		}
		if s.bug == "skip a replica" && n == 1 {
			for key := range p.Records {
				delete(p.Records, key)
			}
		}
		list = append(list, p)
	}
	return list
}

// stamped is a store without a leader: replicas hold writes of several origins, and the newest stamp wins.
type stamped struct {
	rng   *rand.Rand
	bug   bug
	nodes [modelNodes]replica
	// logs are the writes that each node took, in order.
	logs [modelNodes][]stampedWrite
	// places are where in its origin's log each key was written; stamps grow along it.
	places [modelNodes]map[string][]int
	tokens map[string][modelNodes]int
}

// replica holds a prefix of each origin's writes.
type replica struct {
	clock uint64
	held  [modelNodes]int
}

type stampedWrite struct {
	key   string
	value string
	// delta is what it adds; keys that are counted with are never set.
	delta int64
	gone  bool
	stamp referee.Stamp
	// kind is what it does to a set, seen what its node held then.
	kind kv.OpKind
	seen [modelNodes]int
}

func stampedResult(c kv.Code, value string, s referee.Stamp) kv.Result {
	return kv.Result{Code: c, Value: []byte(value), Version: uint64(s.Time), Origin: s.Origin}
}

func newStamped(b bug) func(*rand.Rand) store {
	return func(rng *rand.Rand) store {
		s := &stamped{rng: rng, bug: b, tokens: map[string][modelNodes]int{}}
		for i := range s.places {
			s.places[i] = map[string][]int{}
		}
		return s
	}
}

// pull takes over all that another replica has.
func (s *stamped) pull(node, from int) {
	n, m := &s.nodes[node], &s.nodes[from]
	for o := range n.held {
		if s.bug == "leave an origin out" && o != from {
			continue
		}
		n.held[o] = max(n.held[o], m.held[o])
	}
	if s.bug != "do not merge clocks" {
		n.clock = max(n.clock, m.clock)
	}
}

func (s *stamped) do(node int, session string, c *kv.Command) kv.Result {
	if s.rng.IntN(3) == 0 {
		s.pull(node, s.rng.IntN(modelNodes))
	}
	token := s.tokens[strings.TrimPrefix(session, unanswered)]
	for o := range token {
		if s.nodes[node].held[o] < token[o] && s.bug != "forget the token" {
			for from := range modelNodes {
				s.pull(node, from)
			}
		}
	}
	r := s.one(node, &c.Ops[0])
	for o := range token {
		token[o] = max(token[o], s.nodes[node].held[o])
	}
	s.tokens[session] = token
	return r
}

// newest is the write of a key that stands at a replica.
func (s *stamped) newest(node int, key string) (best stampedWrite) {
	for o, held := range s.nodes[node].held {
		list := s.places[o][key]
		n := sort.SearchInts(list, held)
		if n > 0 && s.logs[o][list[n-1]].stamp.Compare(best.stamp) > 0 {
			best = s.logs[o][list[n-1]]
		}
	}
	if best.delta != 0 {
		best.value = strconv.FormatInt(s.sum(node, key), 10)
	}
	return best
}

// sum is what all additions to a key give that a replica holds.
func (s *stamped) sum(node int, key string) (sum int64) {
	for o, held := range s.nodes[node].held {
		for _, place := range s.places[o][key] {
			if place < held {
				sum += s.logs[o][place].delta
			}
		}
	}
	return sum
}

func (s *stamped) one(node int, o *kv.Op) kv.Result {
	present := s.newest(node, string(o.Key))
	if o.Kind == kv.OpGet {
		if present.gone || present.stamp.IsZero() {
			return stampedResult(kv.NotFound, "", present.stamp)
		}
		return stampedResult(kv.OK, present.value, present.stamp)
	}
	members := s.members(node, string(o.Key))
	switch {
	case o.Kind == kv.OpMembers:
		return membersResult(members)
	case o.Kind == kv.OpExclude && !slices.Contains(members, string(o.Value)):
		return kv.Result{Code: kv.NotFound}
	}
	n := &s.nodes[node]
	n.clock++
	w := stampedWrite{key: string(o.Key), value: string(o.Value), delta: o.Delta, gone: o.Kind == kv.OpDelete,
		stamp: referee.Stamp{Time: kv.HLC(n.clock), Origin: uint32(node + 1)}, kind: o.Kind, seen: n.held}
	if s.bug == "lose a write" && s.rng.IntN(15) == 0 {
		return stampedResult(kv.OK, "", w.stamp)
	}
	s.places[node][w.key] = append(s.places[node][w.key], len(s.logs[node]))
	s.logs[node] = append(s.logs[node], w)
	n.held[node] = len(s.logs[node])
	r := stampedResult(kv.OK, "", w.stamp)
	r.Int = s.sum(node, w.key)
	return r
}

// members are those of a set that a replica holds: what was put there, but for what was taken away by who had seen it.
func (s *stamped) members(node int, key string) (list []string) {
	var held []stampedWrite
	var places [][2]int // origin and place of each
	for o, n := range s.nodes[node].held {
		for _, place := range s.places[o][key] {
			if place < n {
				held, places = append(held, s.logs[o][place]), append(places, [2]int{o, place})
			}
		}
	}
	for i, w := range held {
		taken := slices.ContainsFunc(held, func(x stampedWrite) bool {
			takes := x.kind == kv.OpDelete || x.kind == kv.OpExclude && x.value == w.value
			return takes && (x.seen[places[i][0]] > places[i][1] || s.bug == "take unseen")
		})
		if w.kind == kv.OpInclude && (!taken || s.bug == "revive") {
			list = append(list, w.value)
		}
	}
	slices.Sort(list)
	return list
}

func (s *stamped) settle() (list []referee.Replica) {
	for range modelNodes {
		for n := range modelNodes {
			for from := range modelNodes {
				if s.bug != "do not converge" || n != 1 {
					s.pull(n, from)
				}
			}
		}
	}
	for n := range modelNodes {
		p := referee.Replica{Node: uint32(n + 1), Group: 1, Records: map[string]referee.Record{}}
		for _, places := range s.places {
			for key := range places {
				w := s.newest(n, key)
				p.Records[key] = referee.Record{Value: w.value, Deleted: w.gone, Stamp: w.stamp}
			}
		}
		list = append(list, p)
	}
	return list
}

// majority is a store of replicas that are written and read by majorities.
type majority struct {
	rng   *rand.Rand
	bug   bug
	held  [modelNodes]map[string]stampedWrite
	clock [modelNodes]uint64
}

func newMajority(b bug) func(*rand.Rand) store {
	return func(rng *rand.Rand) store {
		s := &majority{rng: rng, bug: b}
		for i := range s.held {
			s.held[i] = map[string]stampedWrite{}
			s.clock[i] = uint64(rng.IntN(50)) // clocks differ
		}
		return s
	}
}

func (s *majority) put(node int, w stampedWrite) {
	if w.stamp.Compare(s.held[node][w.key].stamp) > 0 || s.bug == "store without comparing" {
		s.held[node][w.key] = w
	}
}

func (s *majority) do(node int, _ string, c *kv.Command) kv.Result {
	o := &c.Ops[0]
	asked := s.rng.Perm(modelNodes)[:2+s.rng.IntN(2)]
	if o.Kind != kv.OpGet {
		s.clock[node] += 1 + s.rng.Uint64N(20)
		w := stampedWrite{key: string(o.Key), value: string(o.Value), gone: o.Kind == kv.OpDelete, stamp: referee.Stamp{Time: kv.HLC(s.clock[node]), Origin: uint32(node + 1)}}
		if s.bug == "count a hint" {
			asked = asked[:1]
		}
		for _, n := range asked {
			s.put(n, w)
		}
		return stampedResult(kv.OK, "", w.stamp)
	}
	if s.bug == "read one" {
		asked = asked[:1]
	}
	var best stampedWrite
	for _, n := range asked {
		if w := s.held[n][string(o.Key)]; w.stamp.Compare(best.stamp) > 0 {
			best = w
		}
	}
	if best.stamp.IsZero() {
		return stampedResult(kv.NotFound, "", best.stamp)
	}
	for _, n := range asked {
		s.put(n, best)
	}
	if best.gone {
		return stampedResult(kv.NotFound, "", best.stamp)
	}
	return stampedResult(kv.OK, best.value, best.stamp)
}

func (s *majority) settle() (list []referee.Replica) {
	for n := range s.held {
		for from := range s.held {
			for _, w := range s.held[from] {
				s.put(n, w)
			}
		}
		// What the first ones lack of the last one they get in the second round.
	}
	for n := range s.held {
		p := referee.Replica{Node: uint32(n + 1), Group: 1, Records: map[string]referee.Record{}}
		for from := range s.held {
			for _, w := range s.held[from] {
				s.put(n, w)
			}
		}
		for key, w := range s.held[n] {
			p.Records[key] = referee.Record{Value: w.value, Deleted: w.gone, Stamp: w.stamp}
		}
		list = append(list, p)
	}
	return list
}
