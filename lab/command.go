package lab

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/referee"
	"github.com/gamutdb/gamut/sim"
)

// client is someone who asks nodes. One that was attached to none asks the lowest-numbered node that runs.
type client struct {
	id    uint64
	nodes []core.NodeID
	// named says that a statement attached it, so that without nodes it can ask nobody.
	named bool
	// seen is what the client's session has seen of each keyspace that has sessions, or of each key, if sessions are per key.
	seen map[scope][]byte
	// open is the last write that ended as unknown and can be asked for; nil: there is none.
	open *openWrite
}

// scope is what a token is about: a keyspace, and in it a key or all of them.
type scope struct{ space, key string }

// job is a command on its way.
type job struct {
	number int // of a command in the background; 0: none
	text   string
	client *client
	space  *space
	op     *Operation
	record referee.Op
	render func(*kv.Result) string
	// context is the name that the statement gives to what was seen of siblings; replaced are those values, if it is a write.
	context  string
	replaced []string
}

func (r *runner) clientOf(id uint64) *client {
	c := r.clients[id]
	if c == nil {
		c = &client{id: id}
		r.clients[id] = c
	}
	return c
}

// ask gives a command to the node that the statement or its client names, and prints the answer, or lets it run on.
func (r *runner) ask(a args, op kv.Op, record referee.Op, render func(*kv.Result) string) error {
	j, err := r.begin(a, op, record, render)
	if err != nil || j == nil {
		return err
	}
	if r.statement.background {
		j.number = r.nextJob()
		r.jobs = append(r.jobs, j)
		r.print("[%d]", j.number)
		return nil
	}
	if err := r.world.Wait(r.ctx, j.op); err != nil {
		return err
	}
	r.finish(j)
	if text := j.render(&j.op.Result); text != "" {
		r.print("%s", text)
	}
	return nil
}

func (r *runner) nextJob() int {
	if len(r.jobs) == 0 {
		return 1
	}
	return r.jobs[len(r.jobs)-1].number + 1
}

// begin gives a command to a node; nil: the client could ask nobody, and that was printed.
func (r *runner) begin(a args, op kv.Op, record referee.Op, render func(*kv.Result) string) (*job, error) {
	s, err := r.space(a)
	if err != nil {
		return nil, err
	}
	c := r.current
	if who := a["CLIENT"]; len(who) > 0 {
		c = r.clientOf(uint64(who[0].(int)))
	} else if who := a["as"]; len(who) > 0 {
		c = r.clientOf(uint64(who[0].(int)))
	}
	node, err := r.askedNode(a, c)
	if err != nil {
		r.print("refused: %v", err)
		return nil, nil
	}
	level := orElse(a, "level", arg[kv.Level](a, "LEVEL"))
	request := Request{Node: node, Keyspace: s.name, Shard: s.shardOf(op.Key),
		Command: kv.Command{Level: level, Ops: []kv.Op{op}}, Timeout: orElse(a, "timeout", r.timeout())}
	request.Command.Token = c.seen[r.scope(s, op.Key)]
	if r.perKey() && level == kv.LevelDefault && !request.Command.ReadOnly() {
		// A client may always write, however far the server is behind (S3.42).
		request.Command.Level = kv.LevelEventual
	}
	j := &job{text: r.statement.text, client: c, space: s, record: record, render: render}
	if err := r.replaces(a, j, &request.Command); err != nil {
		return nil, err
	}
	if r.debug {
		r.print("-> node %d: %s", r.label(node), r.statement.text)
	}
	j.op = r.world.Begin(request)
	return j, nil
}

func (r *runner) timeout() time.Duration {
	if r.script.Timeout > 0 {
		return r.script.Timeout
	}
	return timeoutDefault
}

// askedNode is whom a client asks: the node that the statement names, or one of those that it is attached to.
func (r *runner) askedNode(a args, c *client) (core.NodeID, error) {
	if at := a["at"]; len(at) > 0 {
		return r.node(at[0].(target))
	}
	switch {
	case len(c.nodes) > 0:
		return c.nodes[r.rng.IntN(len(c.nodes))], nil
	case c.named:
		return 0, fmt.Errorf("client %d is attached to no node", c.id)
	}
	return r.firstUp(), nil
}

// MergeTokens is how the clients of any world put together what answers told them; nil: answers carry no tokens.
func MergeTokens(c kv.Consistency) func(a, b []byte) []byte { return keyspace.MergeTokens(c) }

// Bounded says that keyspaces of a consistency give bounded reads.
func Bounded(c kv.Consistency) bool {
	read := kv.Command{Level: kv.BoundedVersions(1), Ops: []kv.Op{{Kind: kv.OpGet}}}
	return keyspace.Offers(&kv.Keyspace{Consistency: c}, &read) == nil
}

// RecordOf is a key that a replica holds, as the referee takes it.
func RecordOf(item *kv.InspectItem) referee.Record { return sim.RecordOf(item) }

// perKey says that sessions hold key by key, which is the other reading of a Bayou course (S3.27).
func (r *runner) perKey() bool { return orText(r.options.Session, r.script.Session) == "per-key" }

func (r *runner) scope(s *space, key []byte) scope {
	if r.perKey() {
		return scope{s.name, string(key)}
	}
	return scope{space: s.name}
}

// learn keeps what an answer says that the client's session has seen. Key by key it takes the place of what was known.
func (r *runner) learn(c *client, s *space, request *Request, result *kv.Result) {
	merge := MergeTokens(s.consistency)
	if merge == nil || len(result.Token) == 0 {
		return
	}
	if c.seen == nil {
		c.seen = map[scope][]byte{}
	}
	at := r.scope(s, request.Command.Ops[0].Key)
	if r.perKey() {
		c.seen[at] = result.Token
		return
	}
	c.seen[at] = merge(c.seen[at], result.Token)
}

// finish takes an answer into the history.
func (r *runner) finish(j *job) {
	if r.debug {
		r.print("<- node %d: %s", r.label(j.op.Request.Node), told(&j.op.Result))
	}
	r.learn(j.client, j.space, &j.op.Request, &j.op.Result)
	r.keep(j)
	o := j.record
	o.Client, o.Node, o.Key = int(j.client.id), uint32(j.op.Request.Node), string(j.op.Request.Command.Ops[0].Key)
	switch level := j.op.Request.Command.Level; {
	case level != kv.LevelDefault:
		o.Level = level.String()
	case r.perKey():
		o.Level = kv.LevelEventual.String() // the referee knows sessions over all keys only
	}
	o.Call = int64(j.op.Called)
	o.Answer(int64(j.op.Returned), &j.op.Result)
	if j.space.siblings {
		var judged bool
		if o, judged = j.asParts(o); !judged {
			return
		}
	}
	j.space.history = append(j.space.history, o)
	j.client.leaveOpen(j)
}

// told is an answer with what the node says beside its code.
func told(r *kv.Result) string {
	if r.Detail != "" {
		return r.Code.String() + ": " + r.Detail
	}
	return r.Code.String()
}

// answer renders what every command has in common. Only the code: what a node says beside it may differ from world to world.
func answer(r *kv.Result) (text string, ended bool) {
	switch {
	case r.Code == kv.Unknown:
		return "unknown outcome", true
	case r.Code.Refused():
		return "refused: " + r.Code.String(), true
	case r.Code != kv.OK:
		return r.Code.String(), true
	}
	return "ok", false
}

func written(r *kv.Result) string {
	text, _ := answer(r)
	return text
}

func counted(r *kv.Result) string {
	text, ended := answer(r)
	if !ended {
		return fmt.Sprint(r.Int)
	}
	return text
}

func valued(r *kv.Result) string {
	text, ended := answer(r)
	if !ended {
		return string(r.Value)
	}
	return text
}

// spelled renders the answer to a read as Bayou courses do.
func spelled(key string) func(*kv.Result) string {
	return func(r *kv.Result) string {
		switch r.Code {
		case kv.OK:
			return key + ":" + string(r.Value)
		case kv.NotFound:
			return key + ":ERR_KEY"
		case kv.BehindSession:
			return key + ":ERR_DEP"
		}
		return key + ": " + written(r)
	}
}

// silent says only what went wrong.
func silent(r *kv.Result) string {
	if r.Code == kv.OK {
		return ""
	}
	return written(r)
}

func text(a args, name string) string { return arg[string](a, name) }

func setOf(a args, value string) (kv.Op, referee.Op) {
	v := text(a, value)
	return kv.Op{Kind: kv.OpSet, Key: []byte(text(a, "KEY")), Value: []byte(v)}, referee.Op{Kind: referee.Set, Value: v}
}

func (r *runner) get(a args) error {
	return r.ask(a, kv.Op{Kind: kv.OpGet, Key: []byte(text(a, "KEY"))}, referee.Op{Kind: referee.Get}, valued)
}

func (r *runner) getSpelled(a args) error {
	key := text(a, "KEY")
	return r.ask(a, kv.Op{Kind: kv.OpGet, Key: []byte(key)}, referee.Op{Kind: referee.Get}, spelled(key))
}

func (r *runner) put(a args) error {
	op, record := setOf(a, "VALUE")
	return r.ask(a, op, record, written)
}

func (r *runner) putSpelled(a args) error {
	op, record := setOf(a, "VALUE")
	return r.ask(a, op, record, silent)
}

func (r *runner) create(a args) error {
	op, record := setOf(a, "VALUE")
	op.When, record.Kind = kv.IfAbsent, referee.Create
	return r.ask(a, op, record, written)
}

func (r *runner) cas(a args) error {
	op, record := setOf(a, "VALUE2")
	op.When, op.Expect = kv.IfValue, []byte(text(a, "VALUE1"))
	record.Kind, record.Expect = referee.Cas, text(a, "VALUE1")
	return r.ask(a, op, record, written)
}

func (r *runner) delete(a args) error {
	return r.ask(a, kv.Op{Kind: kv.OpDelete, Key: []byte(text(a, "KEY"))}, referee.Op{Kind: referee.Delete}, written)
}

func (r *runner) incr(a args) error {
	by := orElse(a, "DELTA", int64(1))
	return r.ask(a, kv.Op{Kind: kv.OpIncr, Key: []byte(text(a, "KEY")), Delta: by}, referee.Op{Kind: referee.Incr, Delta: by}, counted)
}

func (r *runner) append(a args) error {
	op, record := setOf(a, "VALUE")
	op.Kind, record.Kind = kv.OpAppend, referee.Append
	return r.ask(a, op, record, counted)
}

func (r *runner) scan(a args) error {
	s, err := r.space(a)
	if err != nil {
		return err
	}
	items, ok, err := r.scanAs(a, s)
	if err != nil || !ok {
		return err
	}
	for _, item := range items {
		r.print("%s:%s", item.Key, shown(&item))
	}
	return nil
}

// shown is a record of a scan on a line; of a set, its members.
func shown(item *kv.Result) string {
	if item.Marks&kv.MarkSet != 0 {
		return "{" + strings.Join(valuesOf(item), " ") + "}"
	}
	return string(item.Value)
}

func (r *runner) scanAs(a args, s *space) ([]kv.Result, bool, error) {
	node, err := r.askedNode(a, r.current)
	if err != nil {
		r.print("refused: %v", err)
		return nil, false, nil
	}
	items, bad, err := r.scanAt(node, s, arg[kv.Level](a, "level"), orElse(a, "timeout", r.timeout()))
	if bad != "" {
		r.print("%s", bad)
	}
	return items, bad == "", err
}

// scanAll reads a whole keyspace as a client does; ok is false if no node would answer.
func (r *runner) scanAll(s *space, timeout time.Duration) (items []kv.Result, ok bool, err error) {
	level := kv.LevelDefault
	if s.consistency == kv.Sequential {
		level = kv.LevelLinearizable // any replica may answer, and be a little behind; this is about the end of what was done
	}
	items, bad, err := r.scanAt(r.firstUp(), s, level, timeout)
	return items, bad == "" && err == nil, err
}

// scanAt reads a keyspace shard by shard, page by page. bad is the answer if it was not ok.
func (r *runner) scanAt(node core.NodeID, s *space, level kv.Level, timeout time.Duration) (items []kv.Result, bad string, err error) {
	for shard := range s.shards {
		op := kv.Op{Kind: kv.OpScan}
		for {
			request := Request{Node: node, Keyspace: s.name, Shard: shard, Command: kv.Command{Level: level, Ops: []kv.Op{op}}, Timeout: timeout}
			o := r.world.Begin(request)
			if err := r.world.Wait(r.ctx, o); err != nil {
				return nil, "", err
			}
			if text, ended := answer(&o.Result); ended {
				return nil, text, nil
			}
			items = append(items, o.Result.Items...)
			if o.Result.Key == nil {
				break
			}
			op.Key = o.Result.Key
		}
	}
	slices.SortFunc(items, func(a, b kv.Result) int { return strings.Compare(string(a.Key), string(b.Key)) })
	return items, "", nil
}

func (r *runner) wait(a args) error {
	if !a.has("NUMBER") {
		return r.waitAll()
	}
	n := int(arg[uint64](a, "NUMBER"))
	i := slices.IndexFunc(r.jobs, func(j *job) bool { return j.number == n })
	if i < 0 {
		return fmt.Errorf("no command %d runs in the background", n)
	}
	if err := r.waitFor(r.jobs[i]); err != nil {
		return err
	}
	r.jobs = slices.Delete(r.jobs, i, i+1)
	return nil
}

func (r *runner) waitAll() error {
	for len(r.jobs) > 0 {
		if err := r.waitFor(r.jobs[0]); err != nil {
			return err
		}
		r.jobs = r.jobs[1:]
	}
	return nil
}

func (r *runner) waitFor(j *job) error {
	if err := r.world.Wait(r.ctx, j.op); err != nil {
		return err
	}
	r.finish(j)
	r.print("[%d] %s", j.number, orText(j.render(&j.op.Result), "ok"))
	return nil
}

// space is the keyspace that a statement is about. The keyspace default is made when it is first needed.
func (r *runner) space(a args) (*space, error) {
	name := orElse(a, "in", r.using)
	if s := r.spaces[name]; s != nil {
		return s, nil
	}
	if name != defaultKeyspace {
		return nil, fmt.Errorf("there is no keyspace %q; make it with: keyspace %s", name, name)
	}
	return r.makeSpace(kv.CreateKeyspace{Name: name, Consistency: r.promise(), Replicas: r.everywhere()})
}

const defaultKeyspace = "default"

// everywhere is how many replicas a keyspace has that has as many as it can: where each takes writes alone, one on every node.
func (r *runner) everywhere() int {
	n := len(r.world.Nodes())
	if c := r.promise(); c == kv.Causal || c == kv.Eventual {
		return n
	}
	return min(n, keyspace.ReplicasMax)
}

// promise is the consistency of the keyspace that no statement makes.
func (r *runner) promise() kv.Consistency {
	switch {
	case r.options.Consistency != "":
		return r.options.Consistency
	case r.script.Consistency != "":
		return r.script.Consistency
	case r.script.joins():
		return kv.Causal
	}
	return kv.Linearizable
}

func (r *runner) makeSpace(spec kv.CreateKeyspace) (*space, error) {
	if err := r.checkReadings(spec); err != nil {
		return nil, err
	}
	err := r.world.CreateKeyspace(r.ctx, spec)
	var e *kv.Error
	if errors.As(err, &e) && e.Code == kv.Exists && spec.Name == defaultKeyspace {
		err = nil // a live cluster begins with it
	}
	if err != nil {
		return nil, fmt.Errorf("keyspace %s: %w", spec.Name, err)
	}
	s := &space{name: spec.Name, consistency: spec.Consistency, siblings: spec.Conflict == "siblings", commitOrder: spec.CommitOrder}
	if s.shards, s.shardOf, err = keyspace.Sharding(spec); err != nil {
		return nil, err
	}
	r.spaces[spec.Name] = s
	return s, nil
}

// checkReadings refuses readings of Bayou for a keyspace that has none.
func (r *runner) checkReadings(spec kv.CreateKeyspace) error {
	weak := spec.Consistency == kv.Causal || spec.Consistency == kv.Eventual
	switch {
	case orText(r.options.Tie, r.script.Tie) != "" && !weak:
		return fmt.Errorf("tie is for causal and eventual keyspaces; %s is %s", spec.Name, spec.Consistency)
	case orText(r.options.Session, r.script.Session) != "" && spec.Consistency != kv.Causal:
		return fmt.Errorf("session is for causal keyspaces; %s is %s", spec.Name, spec.Consistency)
	}
	return nil
}

func (r *runner) keyspace(a args) error {
	spec := kv.CreateKeyspace{Name: text(a, "KEYSPACE"), Consistency: orElse(a, "consistency", r.promise()),
		Shards: arg[int](a, "shards"), Replicas: arg[int](a, "replicas"), Lease: text(a, "lease"),
		Partitioner: text(a, "partitioner"), Atomic: text(a, "atomic") == "on", MinMembers: arg[int](a, "min-members"), Conflict: text(a, "conflict"),
		CommitOrder: text(a, "commit-order") == "on"}
	if splits := text(a, "splits"); splits != "" {
		spec.Splits = strings.Split(splits, ",")
	}
	s, err := r.makeSpace(spec)
	if err != nil {
		return err
	}
	r.using = s.name
	return nil
}

func (r *runner) use(a args) error {
	name := text(a, "KEYSPACE")
	if name != defaultKeyspace && r.spaces[name] == nil {
		return fmt.Errorf("there is no keyspace %q; make it with: keyspace %s", name, name)
	}
	r.using = name
	return nil
}
