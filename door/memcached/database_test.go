package memcached

import (
	"bytes"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gamutdb/gamut/kv"
)

// fakeRecord is what the fake database holds for a key.
type fakeRecord struct {
	value       []byte
	flags       uint32
	version     uint64
	expireAt    int64
	stale, sent bool
}

// fakeDatabase does what package kv says of the operations that this door uses, over a map.
type fakeDatabase struct {
	kv.Database // transactions, which are not for this door

	mu      sync.Mutex
	spaces  map[string]*kv.Keyspace
	records map[string]map[string]*fakeRecord
	version uint64
	now     func() int64
	// notReady is what Ready answers.
	notReady error
	// answer, if set, answers instead of the map.
	answer  func(c *kv.Call) *kv.Result
	largest int
}

func newFake(names ...string) *fakeDatabase {
	db := &fakeDatabase{spaces: map[string]*kv.Keyspace{}, records: map[string]map[string]*fakeRecord{},
		now: func() int64 { return time.Now().UnixMilli() }}
	for _, name := range append(names, "default") {
		db.spaces[name] = &kv.Keyspace{Name: name, Shards: 2, ShardOf: func(key []byte) int { return len(key) % 2 }}
		db.records[name] = map[string]*fakeRecord{}
	}
	return db
}

func (db *fakeDatabase) Keyspace(name string) *kv.Keyspace { return db.spaces[name] }
func (db *fakeDatabase) Ready() error                      { return db.notReady }
func (db *fakeDatabase) Keyspaces() []*kv.Keyspace         { return nil }

func (db *fakeDatabase) Submit(b *kv.Batch) {
	b.Start()
	db.mu.Lock()
	defer db.mu.Unlock()
	db.largest = max(db.largest, len(b.Calls()))
	for _, c := range b.Calls() {
		if err := c.Command.Validate(); err != nil {
			c.Done(kv.Failed(err))
			continue
		}
		if db.answer != nil {
			if r := db.answer(c); r != nil {
				c.Done(*r)
				continue
			}
		}
		c.Done(db.execute(c))
	}
}

func (db *fakeDatabase) execute(c *kv.Call) (r kv.Result) {
	for i := range c.Command.Conds {
		cond := &c.Command.Conds[i]
		version := uint64(0)
		if rec := db.live(c, cond.Key); rec != nil {
			version = rec.version
		}
		if cond.Kind != kv.CondVersion {
			panic("a condition that the fake does not know")
		}
		if version != cond.Version {
			return kv.Result{Code: kv.ConditionFailed}
		}
	}
	for i := range c.Command.Ops {
		one := db.do(c, &c.Command.Ops[i])
		one.AsOf = db.now()
		if len(c.Command.Ops) == 1 {
			return one
		}
		r.Items = append(r.Items, one)
	}
	r.AsOf = db.now()
	return r
}

func (db *fakeDatabase) live(c *kv.Call, key []byte) *fakeRecord {
	rec := db.records[c.Keyspace.Name][string(key)]
	if rec == nil || rec.expireAt != 0 && rec.expireAt <= db.now() {
		return nil
	}
	return rec
}

func (db *fakeDatabase) store(c *kv.Call, o *kv.Op, rec fakeRecord) kv.Result {
	if rec.version = o.NewVersion; rec.version == 0 {
		db.version++
		rec.version = db.version
	}
	rec.value = bytes.Clone(rec.value)
	db.records[c.Keyspace.Name][string(o.Key)] = &rec
	return kv.Result{Version: rec.version, ExpireAt: rec.expireAt, Flags: rec.flags}
}

func (db *fakeDatabase) expiry(o *kv.Op, present int64) int64 {
	switch o.Expiry {
	case kv.ExpireKeep:
		return present
	case kv.ExpireAt:
		return o.Expire
	case kv.ExpireIn:
		return db.now() + o.Expire
	}
	return 0
}

func (db *fakeDatabase) read(o *kv.Op, rec *fakeRecord) kv.Result {
	r := kv.Result{Existed: true, Flags: rec.flags, Version: rec.version, ExpireAt: rec.expireAt, Value: rec.value}
	if rec.stale {
		r.Marks |= kv.MarkStale
	}
	if rec.sent {
		r.Marks |= kv.MarkSent
	}
	if o.Quiet {
		r.Value, r.Int = nil, int64(len(rec.value))
	}
	return r
}

func holds(o *kv.Op, rec *fakeRecord) kv.Code {
	switch o.When {
	case kv.Always:
		return kv.OK
	case kv.IfAbsent:
		if rec != nil {
			return kv.ConditionFailed
		}
		return kv.OK
	}
	if rec == nil {
		return kv.NotFound
	}
	if o.When == kv.IfVersion && rec.version != o.Version || o.When == kv.IfVersionOrOlder && o.Version > rec.version {
		return kv.ConditionFailed
	}
	return kv.OK
}

func (db *fakeDatabase) do(c *kv.Call, o *kv.Op) kv.Result {
	if o.Kind == kv.OpClear {
		for key := range db.records[c.Keyspace.Name] {
			if c.Keyspace.ShardOf([]byte(key)) == c.Shard {
				delete(db.records[c.Keyspace.Name], key)
			}
		}
		return kv.Result{}
	}
	rec := db.live(c, o.Key)
	made := o.Kind == kv.OpCounter && o.HasInitial && rec == nil
	if code := holds(o, rec); code != kv.OK && !made {
		return kv.Result{Code: code, Existed: rec != nil}
	}
	switch o.Kind {
	case kv.OpSet:
		return db.set(c, o, rec)
	case kv.OpCounter:
		return db.counter(c, o, rec)
	case kv.OpAppend, kv.OpPrepend:
		return db.extend(c, o, rec)
	case kv.OpRecache:
		if rec == nil && o.HasInitial {
			r := db.store(c, o, fakeRecord{sent: true, expireAt: db.expiry(o, 0)})
			r.Marks = kv.MarkWon
			return r
		}
	}
	if rec == nil {
		return kv.Result{Code: kv.NotFound}
	}
	return db.change(c, o, rec)
}

// change does what needs a record.
func (db *fakeDatabase) change(c *kv.Call, o *kv.Op, rec *fakeRecord) kv.Result {
	r := db.read(o, rec)
	switch o.Kind {
	case kv.OpGet:
	case kv.OpDelete:
		delete(db.records[c.Keyspace.Name], string(o.Key))
	case kv.OpExpire:
		rec.expireAt = db.expiry(o, rec.expireAt)
		r.ExpireAt = rec.expireAt
	case kv.OpRecache:
		ends := o.Delta > 0 && rec.expireAt != 0 && rec.expireAt-db.now() < o.Delta
		if (rec.stale || ends) && !rec.sent {
			rec.sent = true
			r.Marks |= kv.MarkWon
		}
	case kv.OpInvalidate:
		next := *rec
		next.stale, next.sent, next.expireAt = true, false, db.expiry(o, rec.expireAt)
		if o.KeysOnly {
			next.value, next.flags = nil, 0
		}
		return db.store(c, o, next)
	default:
		panic("an operation that the fake does not know: " + strconv.Itoa(int(o.Kind)))
	}
	return r
}

func (db *fakeDatabase) set(c *kv.Call, o *kv.Op, rec *fakeRecord) kv.Result {
	next := fakeRecord{value: o.Value, flags: o.Flags}
	if rec != nil {
		next.expireAt = rec.expireAt
	}
	if rec != nil && o.When == kv.IfVersionOrOlder && o.Version < rec.version {
		next.stale, next.sent = true, rec.sent
	} else {
		next.expireAt = db.expiry(o, next.expireAt)
	}
	return db.store(c, o, next)
}

func (db *fakeDatabase) extend(c *kv.Call, o *kv.Op, rec *fakeRecord) kv.Result {
	next := fakeRecord{flags: o.Flags, expireAt: db.expiry(o, 0)}
	if rec != nil {
		next = fakeRecord{value: rec.value, flags: rec.flags, expireAt: rec.expireAt}
	}
	parts := [][]byte{next.value, o.Value}
	if o.Kind == kv.OpPrepend {
		parts[0], parts[1] = parts[1], parts[0]
	}
	next.value = bytes.Join(parts, nil)
	if len(next.value) > kv.ValueMax {
		return kv.Result{Code: kv.TooLong}
	}
	r := db.store(c, o, next)
	r.Int = int64(len(next.value))
	return r
}

func (db *fakeDatabase) counter(c *kv.Call, o *kv.Op, rec *fakeRecord) (r kv.Result) {
	if rec == nil {
		if !o.HasInitial {
			return kv.Result{Code: kv.NotFound}
		}
		r = db.store(c, o, fakeRecord{value: strconv.AppendUint(nil, o.Initial, 10), flags: o.Flags, expireAt: db.expiry(o, 0)})
		r.Value = strconv.AppendUint(nil, o.Initial, 10)
		return r
	}
	n, err := strconv.ParseUint(strings.TrimRight(string(rec.value), " "), 10, 64)
	if err != nil {
		return kv.Result{Code: kv.NotInteger, Existed: true}
	}
	switch {
	case !o.Down:
		n += o.Magnitude
	case o.Magnitude > n:
		n = 0
	default:
		n -= o.Magnitude
	}
	next := fakeRecord{value: strconv.AppendUint(nil, n, 10), flags: rec.flags, expireAt: rec.expireAt}
	if !o.HasInitial || o.Touch {
		next.expireAt = db.expiry(o, rec.expireAt)
	}
	r = db.store(c, o, next)
	r.Value, r.Existed = next.value, true
	return r
}
