package node

import (
	"context"
	"sync"

	"github.com/gamutdb/gamut/kv"
)

// An evictable keyspace is a cache. A value that no replica's store has any more is deleted there, by a command of the log and under the
// condition that the key was not written since, and the read that found it missing is made again. So a miss is what the state shows:
// all replicas agree on it, conditions go by it, and what was written meanwhile is read.

// lostValues are the keys, with their versions, whose values a read has found nowhere.
type lostValues struct {
	mu   sync.Mutex
	list []lostValue
}

type lostValue struct {
	key     []byte
	version uint64
}

func (l *lostValues) add(key []byte, version uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, lostValue{key, version})
}

// resolved is an answer with values in the place of references. Most changes keep their error for a value that is lost, since they were
// executed over a key that was there; so does a step of a transaction.
func (n *Node) resolved(ctx context.Context, sh *shard, c *kv.Call, r kv.Result) kv.Result {
	var lost lostValues
	n.resolve(ctx, sh, &c.Command, &r, &lost)
	if len(lost.list) == 0 || !sh.space.descriptor.Terms.Evictable || !repeatable(&c.Command) {
		return r
	}
	return n.readWithout(ctx, sh, c, lost.list)
}

// repeatable reports whether a command may be executed once more: a read, or one that reads and sets the time to live.
func repeatable(c *kv.Command) bool {
	touch := len(c.Ops) == 1 && c.Ops[0].Kind == kv.OpExpire && len(c.Conds) == 0 && c.Session.IsZero()
	return (c.ReadOnly() || touch) && c.Tx == nil
}

// readWithout evicts values and reads again. What a weak level showed may be older than the eviction: then the keyspace's own promise,
// which is more, is what is read at.
func (n *Node) readWithout(ctx context.Context, sh *shard, c *kv.Call, lost []lostValue) kv.Result {
	command := c.Command
	switch command.Level.Kind() {
	case kv.LevelEventual, kv.LevelPrefix, kv.LevelBounded:
		command.Level, command.Token = kv.LevelDefault, nil
	}
	for _, v := range lost {
		r := n.do(ctx, c.Keyspace, c.Shard, kv.Command{Token: command.Token,
			Ops: []kv.Op{{Kind: kv.OpDelete, Key: v.key, When: kv.IfVersion, Version: v.version}}})
		switch {
		case r.Code == kv.OK:
			n.values.of(sh.space.descriptor).NoteEvicted()
		case r.Code.Refused() || r.Code == kv.Unknown:
			return kv.Result{Code: kv.Unavailable, Detail: "no replica's store has the value any more, and the key could not be deleted: " + r.Detail}
		}
		if len(r.Token) > 0 {
			command.Token = r.Token
		}
	}
	r := n.do(ctx, c.Keyspace, c.Shard, command)
	if r.Code == kv.NotFound || r.Code == kv.OK && len(command.Ops) > 1 || command.Ops[0].Kind == kv.OpScan {
		r.Marks |= kv.MarkEvicted
	}
	return r
}
