package node

import (
	"slices"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
)

// arenaKeep is the largest memory of encoded commands that is kept for the next submission.
const arenaKeep = 1 << 20

// submission is what one batch leaves for the loop: its commands, encoded in the connection's goroutine. It is used again
// when the last of them is answered; until then nobody touches the arena.
type submission struct {
	now      core.Time
	deadline core.Time
	entries  []entry
	arena    []byte
	written  []*shard // the shards that the batch writes to
	asked    []*shard // the shards of all entries
	left     int      // entries without an answer; the loop's
	// room is how many bytes of answers the batch may still collect.
	room int
	// stale says that the batch has waited long before it was submitted.
	stale bool
	// lent says that a command may have ended at its deadline while a replica still had it: its memory is left to it.
	lent bool
}

// answerBytes are the bytes of an answer's values.
func answerBytes(r *kv.Result) int {
	size := kv.ValueSize(r.Value)
	for i := range r.Items {
		size += kv.ValueSize(r.Items[i].Value)
	}
	return size
}

type entry struct {
	call     *kv.Call
	shard    *shard
	from, to int // in the arena
	read     bool
	again    bool
	// write says that the command went through the gate of its shard; ends, that it needed none, for it ends a transaction.
	write, ends bool
}

func (s *submission) reset() {
	clear(s.entries)
	clear(s.written)
	clear(s.asked)
	s.entries, s.written, s.asked = s.entries[:0], s.written[:0], s.asked[:0]
	if s.lent || cap(s.arena) > arenaKeep {
		s.arena = nil
	}
	s.arena, s.lent = s.arena[:0], false
}

// fit replaces an answer for which the batch has no room left: it waits in memory until the last one is there.
func (s *submission) fit(r *kv.Result, read bool) {
	size := answerBytes(r)
	if size == 0 {
		return
	}
	if s.room -= size; s.room < 0 {
		*r = kv.TooMuch(read)
	}
}

// Submit starts all calls of a batch. Reads under a valid permit are answered here, before it returns, and so is what there
// is no room for.
func (n *Node) Submit(b *kv.Batch) {
	b.Start()
	calls := b.Calls()
	if len(calls) == 0 {
		return
	}
	n.counters.requests.Add(uint64(len(calls)))
	n.serving.RLock()
	defer n.serving.RUnlock()
	// While the node closes, its own business with the catalog goes on: others are to take over from it.
	if n.silent || n.closing && calls[0].Keyspace.Name != keyspace.SystemName {
		n.refuseAll(calls, kv.Result{Code: kv.Unavailable, Detail: "the node is shutting down; ask another one"})
		return
	}
	if n.failed.Load() != nil {
		n.refuseAll(calls, kv.Result{Code: kv.Unavailable, Detail: "the node has failed and stops; ask another one"})
		return
	}
	// The clock is read after the requests have arrived: a permit that holds now covers them (rule R2).
	now := n.clocks.mono()
	s := n.submissions.Get().(*submission)
	s.now, s.stale = now, b.Waited > staleAfter
	s.deadline, s.room = now+core.Time(n.config.Timing.Request), kv.AnswerMax
	if !b.Deadline.IsZero() {
		s.deadline = now + core.Time(time.Until(b.Deadline))
	}
	if s.deadline <= now {
		n.submissions.Put(s)
		n.refuseAll(calls, kv.Result{Code: kv.Unavailable, Detail: "the deadline had passed before the request was sent"})
		return
	}
	n.sort(s, calls, now)
	n.post(s)
}

// post encodes what the loop has to do and hands it over.
func (n *Node) post(s *submission) {
	if len(s.entries) == 0 {
		s.reset()
		n.submissions.Put(s)
		return
	}
	for i := range s.entries {
		e := &s.entries[i]
		// A read must keep its place among the writes of its batch, before it or behind it: then the log orders it.
		e.read = e.read && !slices.Contains(s.written, e.shard)
		e.from = len(s.arena)
		s.arena = kv.AppendCommand(s.arena, &e.call.Command)
		e.to = len(s.arena)
		e.again = !e.call.Command.Session.IsZero() || e.call.Command.Tx != nil
	}
	s.left = len(s.entries)
	if !n.inbox.submit(s) {
		for i := range s.entries {
			n.refuse(s.entries[i].call, kv.Result{Code: kv.Unavailable, Detail: "the node has stopped; ask another one"})
		}
	}
}

// sort answers what can be answered at once and lists the rest.
func (n *Node) sort(s *submission, calls []*kv.Call, now core.Time) {
	t := n.table.Load()
	stamp := n.clocks.stamp(now)
	for _, c := range calls {
		sh, bad := n.check(t, c)
		if sh == nil && bad.Code == kv.CrossShard && n.parted(c) {
			deadline := time.Now().Add(time.Duration(s.deadline - now))
			n.workers.Add(1) // the node is not closing: the caller has looked
			go func() {
				defer n.workers.Done()
				c.Done(n.again(c, deadline))
			}()
			continue
		}
		if sh == nil {
			n.refuse(c, bad)
			continue
		}
		c.Group = uint64(sh.group)
		read := c.Command.ReadOnly()
		// What the loop has to do comes first, a read that found no permit included: one that comes after may see no less.
		if read && !slices.Contains(s.asked, sh) {
			p := keyspace.Permit{Lease: sh.readUntil.Load() > int64(now), Safe: kv.HLC(sh.safe.Load()), Now: stamp, Fresh: *sh.fresh.Load(), Mono: now, Unlocked: !sh.locked.Load()}
			if sh.self != 0 && keyspace.Atomic(sh.space.keyspace.Consistency) {
				n.callForLease(now)
			}
			r, ok, needsLog := n.read(sh, c, p)
			if ok {
				if sh.space.counts(c.Command.Level) {
					sh.space.ages.note(c.Command.Level, ageOf(sh.space.keyspace.Consistency, &p))
				} else {
					n.recheck(sh, c, &r, now)
				}
				s.fit(&r, true)
				n.answer(sh, c, r, s.deadline)
				continue
			}
			// The rest of the batch must see what this one will do to the log.
			read = !needsLog
		}
		ends := c.Command.Tx.Ends()
		if !ends && !n.enters(s, sh, !read) {
			n.refuse(c, kv.Result{Code: kv.Busy, Detail: "there is more to do than can be done soon; retry after a pause"})
			continue
		}
		if !read && !slices.Contains(s.written, sh) {
			s.written = append(s.written, sh)
		}
		if !slices.Contains(s.asked, sh) {
			s.asked = append(s.asked, sh)
		}
		s.entries = append(s.entries, entry{call: c, shard: sh, read: read, write: !read, ends: ends})
	}
}

// read answers from the state as it stands. State that cannot be read ends the node.
func (n *Node) read(sh *shard, c *kv.Call, p keyspace.Permit) (r kv.Result, ok, needsLog bool) {
	err := guarded(func() { r, ok, needsLog = keyspace.Read(c.Keyspace, sh.state, &c.Command, p) })
	// Behind the read: what the group gives away later was still its own, whatever the state shows of it by then.
	if ok && !sh.bounds.Load().Whole(&c.Command) {
		return kv.Result{}, false, false
	}
	if err != nil {
		n.fail(err)
		return kv.Result{Code: kv.Unavailable, Detail: "this node cannot read its disk and stops; ask another one"}, true, false
	}
	return r, ok, needsLog
}

// check finds the shard of a call; nil: the answer says what is wrong with it.
func (n *Node) check(t *table, c *kv.Call) (*shard, kv.Result) {
	if err := c.Command.Validate(); err != nil {
		return nil, kv.Failed(err)
	}
	if err := keyspace.Offers(c.Keyspace, &c.Command); err != nil {
		return nil, kv.Failed(err)
	}
	if n.diskFull.Load() && !c.Command.ReadOnly() && !c.Command.Tx.Ends() {
		return nil, kv.Result{Code: kv.DiskFull, Detail: "this node keeps its last disk space for recovery; make room, or write through another node"}
	}
	return t.find(c)
}

func (n *Node) refuse(c *kv.Call, r kv.Result) {
	n.counters.refused.Add(1)
	c.Done(r)
}

func (n *Node) refuseAll(calls []*kv.Call, r kv.Result) {
	for _, c := range calls {
		n.refuse(c, r)
	}
}

// waiting is a call that the loop has not answered: the token's index finds it.
type waiting struct {
	call       *kv.Call
	shard      *shard
	submission *submission
}

// admit gives the commands of a submission to the host.
func (n *Node) admit(now host.Now, s *submission) {
	for i := range s.entries {
		e := &s.entries[i]
		if e.ends {
			e.shard.window.sent()
		} else {
			n.took(e.shard, e.write)
		}
		token := n.newToken(waiting{e.call, e.shard, s})
		n.host.Submit(now, host.Command{Token: token, Group: e.shard.group, Encoded: s.arena[e.from:e.to:e.to], Read: e.read,
			Again: e.again, Fixed: e.call.Fixed, Once: !e.shard.space.descriptor.Resends(), Nodes: e.shard.nodes, Deadline: s.deadline,
			Tracked: e.write && e.shard.space.keyspace.Tracked() && !e.call.Command.ReadOnly()})
	}
}

func (n *Node) newToken(w waiting) uint64 {
	if last := len(n.freeTokens) - 1; last >= 0 {
		token := n.freeTokens[last]
		n.freeTokens = n.freeTokens[:last]
		n.waiting[token] = w
		return token
	}
	n.waiting = append(n.waiting, w)
	return uint64(len(n.waiting) - 1)
}

// Reply answers a call of this node (host.Port).
func (n *Node) Reply(token uint64, r kv.Result) {
	w := n.waiting[token]
	n.waiting[token] = waiting{}
	n.freeTokens = append(n.freeTokens, token)
	n.gave(w.shard, r.Code == kv.Busy)
	if n.goesOn(w, &r) {
		return
	}
	switch {
	case r.Code.Refused():
		n.counters.refused.Add(1)
	case r.Code == kv.Unknown:
		n.counters.unknown.Add(1)
		w.call.NameRequest(&r)
	case w.call.Command.ReadOnly():
		n.noteStepped(w, &r)
	}
	n.finished(w, r)
}

// finished answers a call.
func (n *Node) finished(w waiting, r kv.Result) {
	w.submission.fit(&r, w.call.Command.ReadOnly())
	w.submission.lent = w.submission.lent || r.Code == kv.Unknown || r.Code == kv.Unavailable
	n.answer(w.shard, w.call, r, w.submission.deadline)
	w.submission.left--
	if w.submission.left == 0 {
		n.ended = append(n.ended, w.submission)
	}
}

// recycle gives back the submissions that ended in this pass. Not before its end: the host may have lent their memory
// to a replica for the rest of the pass.
func (n *Node) recycle() {
	for i, s := range n.ended {
		s.reset()
		n.submissions.Put(s)
		n.ended[i] = nil
	}
	n.ended = n.ended[:0]
}

// refuseInbox lets nothing more in and answers what the loop has not looked at.
func (n *Node) refuseInbox(got *arrivals) {
	n.inbox.close()
	var rest arrivals
	n.inbox.take(&rest)
	for _, s := range slices.Concat(got.submissions, rest.submissions) {
		for i := range s.entries {
			n.refuse(s.entries[i].call, kv.Result{Code: kv.Unavailable, Detail: "the node has stopped; ask another one"})
		}
	}
}

// abandon answers what is left when the loop ends.
func (n *Node) abandon() {
	for token, w := range n.waiting {
		if w.call != nil {
			n.Reply(uint64(token), kv.Result{Code: kv.Unknown, Detail: "the node stopped; the write may have happened or may happen yet"})
		}
	}
	n.recycle()
}
