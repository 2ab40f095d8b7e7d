package node

import (
	"context"
	"slices"

	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

// rewritable reports whether a call was answered that a replica needs the present value for it, which is kept elsewhere, and
// can be executed by reading that value and writing the new one under the condition that the version is still the same. A
// command with a session is executed once by its number, so it cannot become several; one of several operations is one moment.
func rewritable(c *kv.Call, r *kv.Result) bool {
	command := &c.Command
	return machine.Elsewhere(r) && len(command.Ops) == 1 && len(command.Conds) == 0 && command.Session.IsZero() && command.Tx == nil &&
		command.Ops[0].Kind != kv.OpIncrFloat
}

// rewrite executes such a call, again and again while others write the key in between. r is the answer that called for it.
func (n *Node) rewrite(ctx context.Context, c *kv.Call, r kv.Result) kv.Result {
	command := c.Command
	o := command.Ops[0]
	for {
		if len(r.Token) > 0 {
			// The replica here may be behind the one that answered: what it shows must not be older than what that one saw.
			command.Token = r.Token
		}
		get := command
		get.Ops = []kv.Op{{Kind: kv.OpGet, Key: o.Key}}
		old := n.do(ctx, c.Keyspace, c.Shard, get)
		if old.Code == kv.Unknown {
			old.Code = kv.Unavailable // nothing was written
		}
		if old.Code.Refused() {
			return old
		}
		next, done := rewriteOp(&command, &old)
		if done != nil {
			return *done
		}
		r = n.do(ctx, c.Keyspace, c.Shard, next)
		r.Marks |= old.Marks & kv.MarkEvicted
		if answer, over := rewritten(&o, &next, &r); over {
			return answer
		}
	}
}

// rewriteOp is the command that does what was asked to the value as it was read; or the answer, if there is nothing to do.
func rewriteOp(c *kv.Command, old *kv.Result) (next kv.Command, done *kv.Result) {
	next = *c
	o := &c.Ops[0]
	if old.Code == kv.NotFound || len(old.Value) <= kv.InsideMax {
		return next, nil // the replicas can do it
	}
	if o.When == kv.IfVersion && o.Version != old.Version {
		return next, &kv.Result{Code: kv.ConditionFailed, Existed: true}
	}
	same := kv.Cond{Kind: kv.CondVersion, Key: o.Key, Version: old.Version}
	if o.Kind == kv.OpRename || o.Kind == kv.OpCopy {
		next.Conds = []kv.Cond{same}
		if o.When == kv.IfAbsent {
			next.Conds = append(next.Conds, kv.Cond{Kind: kv.CondAbsent, Key: o.Key2})
		}
		set := kv.Op{Kind: kv.OpSet, Key: o.Key2, Value: old.Value, Flags: old.Flags}
		if old.ExpireAt != 0 {
			set.Expiry, set.Expire = kv.ExpireAt, old.ExpireAt
		}
		next.Ops = []kv.Op{{Kind: kv.OpGet, Key: o.Key2, Quiet: true}, set}
		if o.Kind == kv.OpRename {
			next.Ops = append(next.Ops, kv.Op{Kind: kv.OpDelete, Key: o.Key})
		}
		return next, nil
	}
	value := changed(o, old.Value)
	if len(value) > kv.ValueMax {
		return next, &kv.Result{Code: kv.TooLong, Existed: true}
	}
	next.Ops = []kv.Op{{Kind: kv.OpSet, Key: o.Key, Value: value, Flags: old.Flags, Expiry: kv.ExpireKeep, When: kv.IfVersion,
		Version: old.Version, NewVersion: o.NewVersion}}
	return next, nil
}

// changed is a value with what an operation adds to it.
func changed(o *kv.Op, old []byte) []byte {
	switch o.Kind {
	case kv.OpAppend:
		return slices.Concat(old, o.Value)
	case kv.OpPrepend:
		return slices.Concat(o.Value, old)
	}
	value := make([]byte, max(int(o.Offset)+len(o.Value), len(old)))
	copy(value, old)
	copy(value[o.Offset:], o.Value)
	return value
}

// rewritten makes the answer of what was executed in the operation's stead; over is false if it has to be tried again.
func rewritten(o *kv.Op, next *kv.Command, r *kv.Result) (answer kv.Result, over bool) {
	switch {
	case machine.Elsewhere(r):
		return answer, false // it was short when it was read
	case next.Ops[0].Kind == o.Kind, r.Code.Refused(), r.Code == kv.Unknown:
		return *r, true
	case r.Code == kv.ConditionFailed && r.Int == 1 && len(next.Conds) == 2:
		return kv.Result{Code: kv.ConditionFailed, Existed: true}, true
	case r.Code != kv.OK:
		return answer, false
	case len(next.Conds) > 0:
		answer = r.Items[1]
		answer.Existed, answer.Token, answer.Level, answer.Position = r.Items[0].Existed, r.Token, r.Level, r.Position
		return answer, true
	}
	answer = *r
	answer.Int = int64(len(next.Ops[0].Value))
	return answer, true
}
