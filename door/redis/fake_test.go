package redis

import (
	"hash/fnv"
	"math"
	"sort"
	"strconv"
	"sync"
	"time"

	"github.com/gamutdb/gamut/kv"
)

// fakeDatabase is a kv.Database in memory that does what kv's documentation says of each operation, and can be told to
// fail. It answers before Submit returns.
type fakeDatabase struct {
	transactions int // over several shards
	mu           sync.Mutex
	keyspaces    []*kv.Keyspace
	shards       map[shardName]*fakeShard
	version      uint64
	now          func() int64
	// notReady is what Ready answers.
	notReady error
	// fail, if it returns a code other than OK, answers a call in place of its execution.
	fail func(*kv.Call) kv.Result
	// calls counts what was submitted; hold, if not nil, is called before each batch is executed.
	calls   int
	batches int
	hold    func()
}

type shardName struct {
	keyspace string
	shard    int
}

type fakeShard struct{ records map[string]*fakeRecord }

type fakeRecord struct {
	set      map[string]bool // nil: it is a value
	value    []byte
	flags    uint32
	version  uint64
	expireAt int64
}

// newFake has the keyspaces "default" and "7" with one shard and "wide" with four.
func newFake() *fakeDatabase {
	d := &fakeDatabase{shards: map[shardName]*fakeShard{}, now: func() int64 { return time.Now().UnixMilli() }}
	for _, spec := range []struct {
		name   string
		shards int
	}{{"7", 1}, {"default", 1}, {"wide", 4}} {
		d.keyspaces = append(d.keyspaces, &kv.Keyspace{
			Name: spec.name, ID: uint32(len(d.keyspaces) + 1), Consistency: kv.Linearizable, Shards: spec.shards,
			ShardOf: func(key []byte) int {
				h := fnv.New32a()
				h.Write(key)
				return int(h.Sum32() % uint32(spec.shards))
			},
		})
		for i := range spec.shards {
			d.shards[shardName{spec.name, i}] = &fakeShard{records: map[string]*fakeRecord{}}
		}
	}
	return d
}

func (d *fakeDatabase) Ready() error { return d.notReady }

func (d *fakeDatabase) Keyspace(name string) *kv.Keyspace {
	for _, ks := range d.keyspaces {
		if ks.Name == name {
			return ks
		}
	}
	return nil
}

func (d *fakeDatabase) Keyspaces() []*kv.Keyspace { return d.keyspaces }

func (d *fakeDatabase) Submit(b *kv.Batch) {
	b.Start()
	d.mu.Lock()
	hold := d.hold
	d.mu.Unlock()
	if hold != nil {
		hold()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.batches++
	for _, call := range b.Calls() {
		d.calls++
		if d.fail != nil {
			if r := d.fail(call); r.Code != kv.OK {
				call.Done(r)
				continue
			}
		}
		call.Done(d.execute(call))
	}
}

// Transact does all at once, since nobody else is let in.
func (d *fakeDatabase) Transact(t *kv.Txn, _ time.Time) kv.TxnResult {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.transactions++
	if d.fail != nil {
		if r := d.fail(&kv.Call{Keyspace: t.Then[0].Keyspace}); r.Code != kv.OK {
			return kv.TxnResult{Code: r.Code, Detail: r.Detail}
		}
	}
	d.version++
	step := func(ks *kv.Keyspace, key []byte) *fakeStep {
		return &fakeStep{shard: d.shards[shardName{ks.Name, ks.ShardOf(key)}], now: d.now(), version: d.version}
	}
	for i := range t.Conds {
		if c := &t.Conds[i]; !step(c.Keyspace, c.Key).holds(&c.Cond) {
			return kv.TxnResult{Code: kv.ConditionFailed, Cond: i}
		}
	}
	res := kv.TxnResult{Groups: []uint64{2, 4}, ID: kv.TxID{Nonce: 7}}
	for i := range t.Then {
		o := &t.Then[i]
		res.Items = append(res.Items, step(o.Keyspace, o.Key).run(&o.Op))
	}
	return res
}

func (d *fakeDatabase) Outcome(kv.TxID, time.Time) (kv.TxnOutcome, error) {
	panic("no command asks for it")
}

func (d *fakeDatabase) execute(call *kv.Call) kv.Result {
	shard, found := call.Shard, false
	crossed := false
	call.Command.Keys(func(key []byte) {
		at := call.Keyspace.ShardOf(key)
		crossed = crossed || found && at != shard
		shard, found = at, true
	})
	if crossed {
		return kv.Result{Code: kv.CrossShard}
	}
	if len(call.Command.Ops) > kv.OpsMax {
		return kv.Result{Code: kv.Invalid}
	}
	d.version++
	s := d.shards[shardName{call.Keyspace.Name, shard}]
	step := fakeStep{shard: s, now: d.now(), version: d.version}
	for i := range call.Command.Conds {
		if !step.holds(&call.Command.Conds[i]) {
			return kv.Result{Code: kv.ConditionFailed, AsOf: step.now}
		}
	}
	if len(call.Command.Ops) == 1 {
		r := step.run(&call.Command.Ops[0])
		r.AsOf = step.now
		return r
	}
	all := kv.Result{AsOf: step.now}
	for i := range call.Command.Ops {
		r := step.run(&call.Command.Ops[i])
		r.AsOf = step.now
		all.Items = append(all.Items, r)
	}
	return all
}

// fakeStep is one command at one instant.
type fakeStep struct {
	shard   *fakeShard
	now     int64
	version uint64
}

func (s *fakeStep) get(key []byte) *fakeRecord {
	r := s.shard.records[string(key)]
	if r != nil && r.expireAt != 0 && r.expireAt <= s.now {
		delete(s.shard.records, string(key))
		return nil
	}
	return r
}

func (s *fakeStep) holds(c *kv.Cond) bool {
	r := s.get(c.Key)
	switch c.Kind {
	case kv.CondAbsent:
		return r == nil
	case kv.CondPresent:
		return r != nil
	case kv.CondVersion:
		return r == nil && c.Version == 0 || r != nil && r.version == c.Version
	}
	return r != nil && string(r.value) == string(c.Value)
}

func (s *fakeStep) run(op *kv.Op) kv.Result {
	old := s.get(op.Key)
	result := kv.Result{Existed: old != nil}
	if op.Old && old != nil {
		result.Value, result.Flags = append([]byte{}, old.value...), old.flags
	}
	switch op.Kind {
	case kv.OpNone:
		return kv.Result{}
	case kv.OpScan:
		return s.scan(op)
	case kv.OpClear:
		clear(s.shard.records)
		return kv.Result{}
	case kv.OpGet:
		return describe(old, op)
	case kv.OpSet:
		if result.Code = condition(op.When, old); result.Code == kv.OK {
			s.put(op.Key, op, old, op.Value)
		}
	case kv.OpDelete:
		if old == nil {
			result.Code = kv.NotFound
		}
		delete(s.shard.records, string(op.Key))
	case kv.OpIncr:
		s.add(op, old, &result)
	case kv.OpIncrFloat:
		s.addFloat(op, old, &result)
	case kv.OpAppend, kv.OpSetRange:
		s.edit(op, old, &result)
	case kv.OpExpire:
		return s.expire(op, old)
	case kv.OpRename, kv.OpCopy:
		s.move(op, old, &result)
	case kv.OpInclude, kv.OpExclude, kv.OpMembers, kv.OpMember:
		return s.set(op, old)
	default:
		panic("fake: operation " + strconv.Itoa(int(op.Kind)))
	}
	return result
}

func describe(r *fakeRecord, op *kv.Op) kv.Result {
	switch {
	case r == nil:
		return kv.Result{Code: kv.NotFound}
	case r.set != nil && op.Quiet:
		return kv.Result{Existed: true, Marks: kv.MarkSet}
	case r.set != nil:
		return kv.Result{Code: kv.WrongType}
	}
	result := kv.Result{Existed: true, Flags: r.flags, Version: r.version, ExpireAt: r.expireAt, Int: int64(len(r.value))}
	if !op.Quiet {
		result.Value = r.value
	}
	return result
}

func condition(when kv.When, old *fakeRecord) kv.Code {
	if when == kv.IfAbsent && old != nil {
		return kv.ConditionFailed
	}
	if when == kv.IfPresent && old == nil {
		return kv.NotFound
	}
	return kv.OK
}

func (s *fakeStep) put(key []byte, op *kv.Op, old *fakeRecord, value []byte) {
	r := &fakeRecord{value: append([]byte{}, value...), flags: op.Flags, version: s.version}
	switch op.Expiry {
	case kv.ExpireKeep:
		if old != nil {
			r.expireAt = old.expireAt
		}
	case kv.ExpireAt:
		r.expireAt = op.Expire
	case kv.ExpireIn:
		r.expireAt = s.now + op.Expire
	}
	s.shard.records[string(key)] = r
}

func (s *fakeStep) keep(key []byte, old *fakeRecord, value []byte) {
	s.put(key, &kv.Op{Expiry: kv.ExpireKeep}, old, value)
}

func (s *fakeStep) add(op *kv.Op, old *fakeRecord, result *kv.Result) {
	n := int64(0)
	if old != nil {
		var ok bool
		if n, ok = parseInt(old.value); !ok {
			result.Code = kv.NotInteger
			return
		}
	}
	if op.Delta > 0 && n > math.MaxInt64-op.Delta || op.Delta < 0 && n < math.MinInt64-op.Delta {
		result.Code = kv.Overflow
		return
	}
	result.Int = n + op.Delta
	s.keep(op.Key, old, strconv.AppendInt(nil, result.Int, 10))
}

func (s *fakeStep) addFloat(op *kv.Op, old *fakeRecord, result *kv.Result) {
	f := 0.0
	if old != nil {
		var ok bool
		if f, ok = parseFloat(old.value); !ok {
			result.Code = kv.NotFloat
			return
		}
	}
	f += op.Float
	if math.IsInf(f, 0) || math.IsNaN(f) {
		result.Code = kv.Overflow
		return
	}
	result.Float, result.Value = f, strconv.AppendFloat(nil, f, 'f', -1, 64)
	s.keep(op.Key, old, result.Value)
}

func (s *fakeStep) edit(op *kv.Op, old *fakeRecord, result *kv.Result) {
	var value []byte
	if old != nil {
		value = append(value, old.value...)
	}
	at := len(value)
	if op.Kind == kv.OpSetRange {
		at = int(op.Offset)
	}
	if at+len(op.Value) > kv.ValueMax {
		result.Code = kv.TooLong
		return
	}
	for len(value) < at+len(op.Value) {
		value = append(value, 0)
	}
	copy(value[at:], op.Value)
	result.Int = int64(len(value))
	s.keep(op.Key, old, value)
}

func (s *fakeStep) expire(op *kv.Op, old *fakeRecord) kv.Result {
	if old == nil {
		return kv.Result{Code: kv.NotFound}
	}
	next := int64(0)
	switch op.Expiry {
	case kv.ExpireAt:
		next = op.Expire
	case kv.ExpireIn:
		next = s.now + op.Expire
	}
	none := old.expireAt == 0
	held := true
	switch op.ExpireWhen {
	case kv.ExpireIfNone:
		held = none
	case kv.ExpireIfSome:
		held = !none
	case kv.ExpireIfGreater:
		held = !none && next > old.expireAt
	case kv.ExpireIfLess:
		held = none || next < old.expireAt
	case kv.ExpireIfSomeAndLess:
		held = !none && next < old.expireAt
	}
	if !held {
		return kv.Result{Code: kv.ConditionFailed, Existed: true}
	}
	if next != 0 && next <= s.now {
		delete(s.shard.records, string(op.Key))
		return describe(old, op)
	}
	changed := *old
	changed.expireAt, changed.version = next, s.version
	s.shard.records[string(op.Key)] = &changed
	return describe(&changed, op)
}

func (s *fakeStep) move(op *kv.Op, old *fakeRecord, result *kv.Result) {
	switch {
	case old == nil:
		result.Code = kv.NotFound
		return
	case op.When == kv.IfAbsent && s.get(op.Key2) != nil:
		result.Code = kv.ConditionFailed
		return
	}
	moved := *old
	moved.version = s.version
	if op.Kind == kv.OpRename {
		delete(s.shard.records, string(op.Key))
	}
	s.shard.records[string(op.Key2)] = &moved
}

func (s *fakeStep) scan(op *kv.Op) kv.Result {
	var keys []string
	for key := range s.shard.records {
		if s.get([]byte(key)) != nil && key >= string(op.Key) && (len(op.End) == 0 || key < string(op.End)) {
			keys = append(keys, key)
		}
	}
	sort.Strings(keys)
	limit := int(op.Limit)
	if limit == 0 || limit > kv.ScanMax {
		limit = kv.ScanMax
	}
	var result kv.Result
	for i, key := range keys {
		if i == limit {
			result.Key = []byte(key)
			break
		}
		item := kv.Result{Key: []byte(key)}
		if !op.KeysOnly {
			item.Value = s.shard.records[key].value
		}
		result.Items = append(result.Items, item)
	}
	return result
}
