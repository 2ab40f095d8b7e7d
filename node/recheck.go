package node

import (
	"bytes"
	"math"
	"sync/atomic"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// A read that asks so few replicas that it may miss what was acknowledged (kv.Keyspace.Weak) cannot know how old it is. So some of
// these reads are made once more, of all replicas, behind the client's back: if that finds a newer record that was stamped before the
// read, the read had missed it. One that was stamped behind the read may hide what was missed, and such a check tells nothing.
// What is found is repaired, as by any read.

const (
	// recheckEvery is how long a keyspace rests on each node between two such reads: ten a second are a small part of what is read
	// where it matters, and enough to see one read in a hundred go wrong within a minute.
	recheckEvery = core.Time(100e6)
	// recheckWithin is how long all replicas have to answer.
	recheckWithin = 2 * time.Second
)

// rechecks is when a keyspace may be read once more; math.MaxInt64 while it is.
type rechecks struct{ next atomic.Int64 }

// begin says that a read may be made again now, by whoever is told so.
func (r *rechecks) begin(now core.Time) bool {
	next := r.next.Load()
	return int64(now) >= next && r.next.CompareAndSwap(next, math.MaxInt64)
}

// rechecked says whether reads of a keyspace at a level are read once more. Stamps that clients bring are no times.
func (s *space) rechecked(c *kv.Command) bool {
	return s.keyspace.Weak(c.Level) && len(c.Ops) == 1 && c.Ops[0].Kind == kv.OpGet && !s.descriptor.Terms.ClientStamps
}

// recheck reads once more what a call has shown, if it is its turn. The caller keeps the node from closing meanwhile.
func (n *Node) recheck(sh *shard, c *kv.Call, shown *kv.Result, now core.Time) {
	s := sh.space
	if shown.Code != kv.OK && shown.Code != kv.NotFound || !s.rechecked(&c.Command) || !s.rechecks.begin(now) {
		return
	}
	key, first, level := bytes.Clone(c.Command.Ops[0].Key), seenOf(shown), c.Command.Level
	n.workers.Add(1)
	go func() {
		defer n.workers.Done()
		if again, ok := n.readOfAll(s.keyspace, key); ok {
			if age, known := first.missed(again); known {
				s.ages.note(level, age)
			}
		}
		s.rechecks.next.Store(int64(n.clocks.mono() + recheckEvery))
	}()
}

func (n *Node) readOfAll(ks *kv.Keyspace, key []byte) (seen, bool) {
	var b kv.Batch
	b.Reset(time.Now().Add(recheckWithin))
	call := b.Add()
	call.Keyspace = ks
	call.Command.Level = kv.LevelAll
	call.Command.Ops = append(call.Command.Ops, kv.Op{Kind: kv.OpGet, Key: key, Quiet: true})
	n.Submit(&b)
	b.Wait()
	return seenOf(&call.Result), call.Result.Code == kv.OK || call.Result.Code == kv.NotFound
}

// seen is the stamp that a read has shown, and when.
type seen struct {
	stamp  kv.HLC
	origin uint32
	asOf   int64 // milliseconds
}

func seenOf(r *kv.Result) seen { return seen{kv.HLC(r.Version), r.Origin, r.AsOf} }

// missed is how long before a read the record had been stamped that it missed, as one of all replicas behind it shows; 0: it missed
// none. known is false if that cannot be told. Stamps are of other nodes' clocks, and as exact as those.
func (s seen) missed(again seen) (age core.Time, known bool) {
	newer := again.stamp > s.stamp || again.stamp == s.stamp && again.origin > s.origin
	late := s.asOf - again.stamp.UnixMilli()
	switch {
	case !newer:
		return 0, true
	case late < 0:
		return 0, false
	}
	return core.Time(max(late, 1)) * 1e6, true
}
