package node

import (
	"context"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/machine"
)

// Merges that nobody asked for: who leads a shard that came to be by such a split looks after it and the one before it, if there is a
// replica of that here, for that tells how much it executes and how large it is, whoever leads it.

// coldFor is how many looks in a row two neighbours must be cold before they are merged.
const coldFor = int(keyspace.MergeColdSeconds * time.Second / stewardEvery)

// coldness is how long a shard and the one before it have been cold.
type coldness struct {
	// left and right are how many commands were executed here as of the last look.
	left, right uint64
	looks       int
	group       core.GroupID
}

// note takes what both have executed, and reports whether they were cold for so many looks.
func (c *coldness) note(group core.GroupID, left, right uint64, limit int64, looks int) bool {
	busy := left < c.left || right < c.right || int64(left-c.left) >= limit || int64(right-c.right) >= limit
	if c.looks++; busy || group != c.group {
		c.looks = 0 // also at the first look: what was executed before says nothing
	}
	c.group, c.left, c.right = group, left, right
	return c.looks >= looks
}

// mergeCold begins merges of shards that are small, and do little for long.
func (n *Node) mergeCold(ctx context.Context, looks []look, known map[core.GroupID]*watched) {
	if n.table.Load().catalog.Level < keyspace.LevelMerges {
		return
	}
	for i := range looks {
		right := looks[i].shard
		limit, writes, ok := right.space.descriptor.MergeAt(right.index)
		w := known[right.group]
		if !ok || w == nil {
			continue
		}
		left := right.space.shards[right.index-1]
		cold := false
		if n.onLoop(ctx, func(host.Now) {
			l := n.host.Replica(left.group)
			if led, has := l.(core.Led); has && led.Leader() != 0 {
				cold = w.cold.note(left.group, keyspace.Executed(l), keyspace.Executed(n.host.Replica(right.group)), writes, n.config.coldLooks)
			}
		}) != nil {
			return
		}
		if !cold {
			continue
		}
		w.cold.looks = 0 // measured again after as long
		if size, ok := n.sizeOf(ctx, left, right); ok && size < limit {
			from, _ := right.space.keyspace.Range(right.index)
			_, err := n.beginMerge(ctx, right.space.keyspace.Name, from)
			n.log.Info("cold shards are merged", "keyspace", right.space.keyspace.Name, "into", left.group, "group", right.group, "bytes", size, "error", err)
		}
	}
}

// sizeOf is how many bytes the records of shards have.
func (n *Node) sizeOf(ctx context.Context, shards ...*shard) (size int64, ok bool) {
	err := guarded(func() {
		for _, sh := range shards {
			s := sh.state.Snapshot()
			bytes, _, _ := machine.Measure(s, func() bool { return ctx.Err() != nil })
			s.Close()
			size += bytes
		}
	})
	if err != nil {
		n.fail(err)
	}
	return size, err == nil && ctx.Err() == nil
}
