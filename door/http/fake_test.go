package http

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"sync"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

// fake is a node of one process: the real state machine over maps, one per shard, with errors on demand.
type fake struct {
	mu        sync.Mutex
	now       time.Time
	keyspaces map[string]*fakeKeyspace
	// refuse, if set, is asked before each call; a code other than OK is its answer.
	refuse func(c *kv.Call) kv.Result
	// answer, if set, answers each call.
	answer   func(c *kv.Call) kv.Result
	notReady error
	handoffs []string
}

type fakeKeyspace struct {
	kv.Keyspace
	shards []*fakeShard
}

type fakeShard struct {
	index   uint64
	machine machine.Machine
	pairs   map[string][]byte
}

func newFake() *fake {
	f := &fake{now: time.UnixMilli(1_700_000_000_000), keyspaces: map[string]*fakeKeyspace{}}
	f.add("default", 1)
	f.add("wide", 4)
	return f
}

func (f *fake) add(name string, shards int) {
	ks := &fakeKeyspace{Keyspace: kv.Keyspace{Name: name, ID: uint32(len(f.keyspaces) + 1), Consistency: kv.Linearizable, Shards: shards}}
	ks.ShardOf = func(key []byte) int {
		h := fnv.New32a()
		h.Write(key)
		return int(h.Sum32()) % shards
	}
	for range shards {
		ks.shards = append(ks.shards, &fakeShard{pairs: map[string][]byte{}})
	}
	f.keyspaces[name] = ks
}

func (f *fake) Keyspace(name string) *kv.Keyspace {
	f.mu.Lock()
	defer f.mu.Unlock()
	if ks := f.keyspaces[name]; ks != nil {
		return &ks.Keyspace
	}
	return nil
}

func (f *fake) Keyspaces() []*kv.Keyspace { panic("no handler asks for it") }

func (f *fake) Submit(b *kv.Batch) {
	b.Start()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range b.Calls() {
		if f.answer != nil {
			c.Done(f.answer(c))
			continue
		}
		c.Done(f.run(c))
	}
}

// Transact does all at once, since nobody else is let in.
func (f *fake) Transact(t *kv.Txn, _ time.Time) kv.TxnResult {
	f.mu.Lock()
	defer f.mu.Unlock()
	res := kv.TxnResult{ID: kv.TxID{Age: 1, Anchor: 2, Nonce: 3}, Groups: []uint64{2, 4}}
	if f.refuse != nil {
		if r := f.refuse(nil); r.Code != kv.OK {
			res.Code, res.Detail = r.Code, r.Detail
			return res
		}
	}
	ops := t.Then
	for i := range t.Conds {
		c := kv.Command{Conds: []kv.Cond{t.Conds[i].Cond}, Ops: []kv.Op{{Kind: kv.OpNone}}}
		if f.run(&kv.Call{Keyspace: t.Conds[i].Keyspace, Command: c}).Code == kv.OK {
			continue
		}
		if res.Cond = i; len(t.Else) == 0 {
			res.Code = kv.ConditionFailed
			return res
		}
		ops, res.Else = t.Else, true
		break
	}
	for i := range ops {
		res.Items = append(res.Items, f.run(&kv.Call{Keyspace: ops[i].Keyspace, Command: kv.Command{Ops: []kv.Op{ops[i].Op}}}))
	}
	return res
}

// Outcome knows one transaction.
func (f *fake) Outcome(id kv.TxID, _ time.Time) (kv.TxnOutcome, error) {
	if id.Nonce != 3 {
		return kv.TxnOutcome{}, kv.Errorf(kv.TooOld, "nobody remembers transaction %s", id)
	}
	return kv.TxnOutcome{ID: id.String(), Outcome: "committed", Participants: []uint64{2, 5}}, nil
}

func (f *fake) run(c *kv.Call) kv.Result {
	if f.refuse != nil {
		if r := f.refuse(c); r.Code != kv.OK {
			return r
		}
	}
	if err := c.Command.Validate(); err != nil {
		return kv.Failed(err)
	}
	shard := c.Shard
	c.Command.Keys(func(key []byte) { shard = c.Keyspace.ShardOf(key) })
	s := f.keyspaces[c.Keyspace.Name].shards[shard]
	s.index++
	s.machine.Begin(s, s.index, kv.HLCOf(f.now.UnixMilli()))
	s.machine.Expire()
	r := s.machine.Apply(kv.AppendCommand(nil, &c.Command), true)
	for _, change := range s.machine.Finish() {
		switch change.Kind {
		case core.Put:
			s.pairs[string(change.Key)] = slices.Clone(change.Value)
		case core.Delete:
			delete(s.pairs, string(change.Key))
		default:
			panic(fmt.Sprintf("change %d is not for this test", change.Kind))
		}
	}
	return r
}

func (s *fakeShard) Get(key []byte) ([]byte, bool) {
	v, ok := s.pairs[string(key)]
	return slices.Clone(v), ok
}

func (s *fakeShard) Scan(from, to []byte, f func(key, value []byte) bool) {
	var keys []string
	for k := range s.pairs {
		if k >= string(from) && (to == nil || k < string(to)) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		if !f([]byte(k), s.pairs[k]) {
			return
		}
	}
}

func (s *fakeShard) Snapshot() core.Snapshot { panic("not for this test") }

func (f *fake) CreateKeyspace(_ context.Context, spec kv.CreateKeyspace) error {
	if f.Keyspace(spec.Name) != nil {
		return kv.Errorf(kv.Exists, "keyspace %q is there already", spec.Name)
	}
	f.add(spec.Name, max(spec.Shards, 1))
	return nil
}

func (f *fake) DropKeyspace(_ context.Context, name string, _ bool) error {
	if f.Keyspace(name) == nil {
		return kv.Errorf(kv.NoKeyspace, "there is no keyspace %q", name)
	}
	delete(f.keyspaces, name)
	return nil
}

func (f *fake) DescribeKeyspaces() []kv.KeyspaceInfo {
	var out []kv.KeyspaceInfo
	for name, ks := range f.keyspaces {
		out = append(out, kv.KeyspaceInfo{CreateKeyspace: kv.CreateKeyspace{Name: name, Consistency: ks.Consistency, Shards: ks.Shards}, ID: ks.ID, Explain: []string{"reads see the newest write"}})
	}
	slices.SortFunc(out, func(a, b kv.KeyspaceInfo) int { return int(a.ID) - int(b.ID) })
	return out
}

func (f *fake) Status() kv.Status {
	return kv.Status{
		Cluster: "test", Node: 1, Ready: f.notReady == nil, Alarms: []string{"one"},
		Nodes:    []kv.NodeStatus{{Node: 1, Up: true}, {Node: 2, Up: true, RTTMicros: 1500, SkewMillis: -20}},
		Groups:   []kv.GroupStatus{{Group: 7, Keyspace: "default", Leader: 1, Commit: 10, Applied: 9, Last: 12, Match: map[string]uint64{"2": 5}}},
		Counters: kv.Counters{Requests: 42},
	}
}

func (f *fake) Ready() error { return f.notReady }

func (f *fake) Handoff(_ context.Context, group uint64, to uint32) error {
	f.handoffs = append(f.handoffs, fmt.Sprintf("%d to %d", group, to))
	return nil
}

func (f *fake) MoveGroup(_ context.Context, name string, group uint64, nodes []uint32) error {
	if f.Keyspace(name) == nil {
		return kv.Errorf(kv.NoKeyspace, "there is no keyspace %q", name)
	}
	return nil
}

func (f *fake) ReplaceNode(_ context.Context, node uint32) error { return nil }
func (f *fake) UnsafeRecover(_ context.Context, group uint64, nodes []uint32) error {
	return kv.Errorf(kv.Invalid, "group %d, nodes %d", group, nodes)
}
func (f *fake) SplitShard(_ context.Context, name string, key []byte) error {
	if f.Keyspace(name) == nil {
		return kv.Errorf(kv.NoKeyspace, "there is no keyspace %q", name)
	}
	return nil
}

func (f *fake) MergeShards(ctx context.Context, name string, key []byte) error {
	return f.SplitShard(ctx, name, key)
}

func (f *fake) DrainNode(_ context.Context, node uint32) error { return nil }

func (f *fake) LoseNode(_ context.Context, node uint32) error { return nil }

func (f *fake) RemoveNode(_ context.Context, node uint32) error {
	return kv.Errorf(kv.Busy, "node %d is not empty", node)
}

func (f *fake) Balance(context.Context) (kv.BalancePlan, error) {
	return kv.BalancePlan{Stuck: []string{"let a node join"}}, nil
}

func (f *fake) Checkpoint(context.Context, uint64) (uint64, error) { return 99, nil }

func (f *fake) StatePage(_ context.Context, group, index uint64, from []byte, limit int) (kv.StatePage, error) {
	return kv.StatePage{Items: []kv.StateItem{{Key: from, Record: fmt.Appendf(nil, "%d@%d/%d", group, index, limit)}}}, nil
}

func (f *fake) StateDigest(_ context.Context, _, index uint64) (kv.StateDigest, error) {
	if index != 99 {
		return kv.StateDigest{}, kv.Errorf(kv.Invalid, "no checkpoint at %d", index)
	}
	return kv.StateDigest{Node: 1, Index: index, Keys: 3, Digest: "abc"}, nil
}

func (f *fake) Repair(context.Context, uint64) error { return nil }

func (f *fake) StoredValues(_ context.Context, group uint64, from []byte, limit int) (kv.StoredPage, error) {
	return kv.StoredPage{Node: 1, Values: limit, Bad: []kv.StoredValue{{Key: from, Sum: fmt.Sprint(group), Fault: kv.ValueMissing}}}, nil
}

func (f *fake) Inspect(_ context.Context, _ uint64, from []byte, one bool, limit int) (kv.InspectPage, error) {
	return kv.InspectPage{Node: 1, Items: []kv.InspectItem{{Key: from, Value: []byte(fmt.Sprint(one, limit))}}}, nil
}

func (f *fake) Blocks(ctx context.Context, _, from uint64, limit int, payload bool) ([]kv.BlockInfo, error) {
	if limit == 0 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	b := kv.BlockInfo{Index: from, Intact: true}
	if payload {
		b.Summary = []string{"set a"}
	}
	return []kv.BlockInfo{b}, nil
}
