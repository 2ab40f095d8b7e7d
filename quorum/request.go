package quorum

import (
	"fmt"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// Offers says whether a leaderless keyspace can honestly execute a command: nil, or why not and what would. How many replicas
// the level asks for, and whether the keyspace is atomic, is for the replica to judge.
func Offers(c *kv.Command) error {
	if c.Tx != nil || len(c.Ops) == 0 {
		return kv.Errorf(kv.Invalid, "a command of a quorum keyspace needs at least one operation")
	}
	switch c.Level.Kind() {
	case kv.LevelBounded:
		return kv.Errorf(kv.Unsupported, "a quorum keyspace cannot give level %s: nobody knows all that was acknowledged; linearizable and sequential keyspaces give it", c.Level)
	case kv.LevelSequential, kv.LevelSession, kv.LevelPrefix:
		return refusal("level %s needs one order of all writes", c.Level)
	}
	if len(c.Conds) > 0 {
		return refusal("conditions, MULTI and WATCH need one order of the writes, and here any replica takes them")
	}
	for i := range c.Ops {
		if err := offersOp(&c.Ops[i]); err != nil {
			return err
		}
		if o := &c.Ops[i]; len(c.Ops) > 1 && o.Kind != kv.OpGet && o.Kind != kv.OpDelete {
			return refusal("several changes at one instant, as of MULTI and MSET, are more than replicas without a leader can promise; send them one by one, in a pipeline")
		}
	}
	return nil
}

func refusal(format string, args ...any) error {
	return kv.Errorf(kv.Unsupported, "a quorum keyspace cannot do this: %s; a keyspace of consistency linearizable can", fmt.Sprintf(format, args...))
}

var changing = map[kv.OpKind]string{kv.OpIncr: "incr", kv.OpIncrFloat: "incr", kv.OpCounter: "incr and decr", kv.OpAppend: "append",
	kv.OpPrepend: "prepend", kv.OpSetRange: "setrange", kv.OpExpire: "changing an expiry (touch, expire, persist)", kv.OpRename: "rename",
	kv.OpCopy: "copy", kv.OpRecache: "recaching", kv.OpInvalidate: "invalidating"}

func offersOp(o *kv.Op) error {
	switch {
	case changing[o.Kind] != "":
		return refusal("%s depends on the record before it, and two replicas may each change another one", changing[o.Kind])
	case o.Kind == kv.OpClear:
		return refusal("a record that is on its way would survive the clearing; drop the keyspace instead")
	case o.Kind == kv.OpSet || o.Kind == kv.OpDelete:
		switch {
		case o.When != kv.Always:
			return refusal("a condition on the record (add, replace, cas, NX, XX, If-Match) would be judged on a replica that may be behind")
		case o.Old:
			return refusal("the value before a write is not the same for all replicas")
		case o.Expiry == kv.ExpireKeep:
			return refusal("keeping the expiry of the record before would be judged on a replica that may be behind")
		}
	}
	return nil
}

// level is how many replicas a command asks for (rule Q8), and by which name.
func (r *Replica) level(c *kv.Command) (need rank, met kv.Level, err error) {
	switch c.Level {
	case kv.LevelDefault, kv.LevelQuorum:
		need, met = needMajority, kv.LevelQuorum
	case kv.LevelLinearizable:
		if !r.config.Atomic {
			return 0, 0, kv.Errorf(kv.Unsupported, "this keyspace cannot give level linearizable; one that was created with --atomic can, and so can consistency linearizable")
		}
		need = needMajority
	case kv.LevelOne, kv.LevelEventual:
		need, met = needOne, c.Level
	case kv.LevelTwo:
		need, met = needTwo, c.Level
	case kv.LevelAll:
		need, met = needAll, c.Level
	default:
		return 0, 0, kv.Errorf(kv.Unsupported, "a quorum keyspace cannot give level %s; it gives one, two, quorum and all", c.Level)
	}
	for _, set := range r.writers() {
		n := set.count()
		switch {
		case n == 0:
		case need.of(n) > n:
			return 0, 0, kv.Errorf(kv.Unsupported, "level %s asks for more replicas than the keyspace has (%d)", c.Level, n)
		case r.config.Atomic && need.of(n) < needMajority.of(n):
			return 0, 0, kv.Errorf(kv.Unsupported, "level %s would break the promise of an atomic keyspace; it gives default, linearizable, quorum and all", c.Level)
		case r.config.Atomic && need.of(n) == needMajority.of(n):
			met = kv.LevelLinearizable
		}
	}
	return need, met, nil
}

// take begins what a client asks. Too few replicas that could answer are told at once, and then nothing was sent (rule Q5).
func (r *Replica) take(q core.Request) {
	c := &r.command
	err := kv.DecodeCommand(q.Command, c)
	if err != nil {
		err = kv.Errorf(kv.Invalid, "command: %v", err)
	} else if err = Offers(c); err == nil {
		err = r.begin(q, c)
	}
	if err != nil {
		// Early: nothing was done.
		r.out.ReplyEarly(q.ID, kv.Failed(err))
	}
}

var errOutside = kv.Errorf(kv.Unavailable, "this replica is no member of its group any more, or not yet; nothing was done, retry")

func (r *Replica) begin(q core.Request, c *kv.Command) error {
	if r.outside() {
		return errOutside
	}
	need, met, err := r.level(c)
	if err != nil {
		return err
	}
	read := c.ReadOnly() || c.Ops[0].Kind == kv.OpNone
	able, sets := r.up, r.writers()
	if read {
		sets = r.readers()
	}
	if read && r.disk.meta.Suspect {
		able &^= 1 << r.me
	}
	for _, set := range sets {
		if have, n := (able & set).count(), set.count(); n > 0 && have < need.of(n) {
			return kv.Errorf(kv.Unavailable, "%d of %d replicas can be reached, level %s needs %d; nothing was sent", have, n, met, need.of(n))
		}
	}
	if !read && r.Room() <= 0 {
		return kv.Errorf(kv.Busy, "there is more to write than can be written soon; retry after a pause")
	}
	if !read && r.writes.bytes+len(r.writes.gathered) > bytesMax {
		return kv.Errorf(kv.Busy, "the other replicas are slower than the writes; retry after a pause")
	}
	if len(c.Ops) == 1 {
		r.beginOp(q.ID, nil, &c.Ops[0], need, met)
		return nil
	}
	m := &multi{request: q.ID, read: read, left: len(c.Ops), items: make([]kv.Result, len(c.Ops)), room: kv.AnswerMax}
	for i := range c.Ops {
		r.beginOp(core.RequestID(i), m, &c.Ops[i], need, met)
	}
	return nil
}

// queueMin writes may always be under way.
const queueMin = 256

// Room is how many more writes this replica takes (rule F2).
func (r *Replica) Room() int { return r.load.Limit(queueMin) - r.writes.under }

func (r *Replica) beginOp(id core.RequestID, part *multi, o *kv.Op, need rank, met kv.Level) {
	switch o.Kind {
	case kv.OpNone:
		r.beginScan(id, &kv.Op{Kind: kv.OpNone, Key: nil, End: []byte{0}, Limit: 1}, need, met)
	case kv.OpScan:
		r.beginScan(id, o, need, met)
	case kv.OpGet:
		r.beginLatched(o.Key, waiting{read: &read{request: id, part: part, quiet: o.Quiet, need: need, level: met}})
	default:
		r.writes.under++
		r.load.Observe(r.in.Now)
		r.beginLatched(o.Key, waiting{op: *o, write: writeOp{need: need, request: id, part: part, result: kv.Result{Level: met}}})
	}
}

// then is the write that waits for the newest stamp of its key to be known (rule Q12).
type then struct {
	op    kv.Op
	write writeOp
}

// multi is a command of several operations, each on its own: they share an answer and nothing else.
type multi struct {
	request core.RequestID
	read    bool
	left    int
	items   []kv.Result
	room    int
}

// partDone takes the answer of one of them. The command ends with the worst outcome of any.
func (r *Replica) partDone(m *multi, i int, result kv.Result) {
	if m.room -= kv.ValueSize(result.Value); m.room < 0 {
		result = kv.TooMuch(true)
	}
	m.items[i] = result
	m.left--
	if m.left > 0 {
		return
	}
	all := kv.Result{Items: m.items, Level: m.items[0].Level, AsOf: r.in.Wall}
	for i := range m.items {
		if bad := &m.items[i]; bad.Code.Refused() || bad.Code == kv.Unknown {
			// One part may have been done where another was refused.
			all = kv.Result{Code: max(all.Code, bad.Code), Detail: bad.Detail}
		}
	}
	if m.mixed() {
		all.Code = kv.Unknown
	}
	// Early: as for each part.
	r.out.ReplyEarly(m.request, all)
}

// mixed reports whether some writes were refused and others were done.
func (m *multi) mixed() bool {
	refused, written := false, false
	for i := range m.items {
		refused = refused || m.items[i].Code.Refused()
		written = written || !m.read && m.items[i].Code == kv.OK
	}
	return refused && written
}

func cloneOp(o *kv.Op) kv.Op {
	c := *o
	c.Key, c.Value = append([]byte{}, o.Key...), append([]byte{}, o.Value...)
	return c
}
