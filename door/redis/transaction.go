package redis

import (
	"fmt"

	"github.com/gamutdb/gamut/kv"
)

// transaction is what stands between MULTI and EXEC.
type transaction struct {
	commands []queuedCommand
	bytes    int
	// spoiled: a command was refused, so EXEC must not execute the others.
	spoiled bool
}

type queuedCommand struct {
	command *command
	args    [][]byte
}

// watch is a key and the version that it had when it was watched; 0: missing.
type watch struct {
	keyspace string
	key      []byte
	version  uint64
}

// watchesMax bounds the conditions of one transaction.
const watchesMax = 1024

func (c *conn) spoilTransaction() {
	if c.transaction != nil {
		c.transaction.spoiled = true
	}
}

// enqueue keeps a copy of a command for EXEC: its arguments point into the input buffer.
func (c *conn) enqueue(cmd *command, args [][]byte) {
	t := c.transaction
	size := 0
	for _, arg := range args {
		size += len(arg)
	}
	if t.bytes+size > requestMax || len(t.commands) >= kv.OpsMax {
		t.spoiled = true
		c.fail(fmt.Sprintf("ERR transaction is larger than the limit of %d bytes or %d commands", requestMax, kv.OpsMax))
		return
	}
	t.bytes += size + 64*len(args)
	copied := make([][]byte, len(args))
	room := make([]byte, 0, size)
	for i, arg := range args {
		from := len(room)
		room = append(room, arg...)
		copied[i] = room[from:len(room):len(room)]
	}
	t.commands = append(t.commands, queuedCommand{cmd, copied})
	c.answer(func(w *writer) { w.simple("QUEUED") })
}

func runMulti(c *conn, w *writer, args [][]byte) {
	if c.transaction != nil {
		w.fail("ERR MULTI calls can not be nested")
		return
	}
	c.transaction = &transaction{}
	w.ok()
}

func runDiscard(c *conn, w *writer, args [][]byte) {
	if c.transaction == nil {
		w.fail("ERR DISCARD without MULTI")
		return
	}
	c.transaction, c.watched = nil, nil
	w.ok()
}

func runUnwatch(c *conn, w *writer, args [][]byte) {
	c.watched = nil
	w.ok()
}

// runWatch reads the versions of keys: EXEC makes them conditions.
func runWatch(c *conn, w *writer, args [][]byte) {
	if c.transaction != nil {
		w.fail("ERR WATCH inside MULTI is not allowed")
		return
	}
	ks, fault := c.selected()
	if fault == "" && len(c.watched)+len(args)-1 > watchesMax {
		fault = fmt.Sprintf("ERR more than the limit of %d keys are watched", watchesMax)
	}
	for _, key := range args[1:] {
		if len(key) > kv.KeyMax {
			fault = keyTooLong(len(key))
		}
	}
	if fault != "" {
		w.fail(fault)
		return
	}
	for _, key := range args[1:] {
		c.scratch.Ops = append(c.scratch.Ops[:0], kv.Op{Kind: kv.OpGet, Key: key, Quiet: true})
		c.scratch.Conds = c.scratch.Conds[:0]
		c.addCall(ks, 0)
	}
	c.await()
	for _, call := range c.batch.Calls() {
		if failures[call.Result.Code] != "" {
			w.failure(&call.Result)
			return
		}
	}
	for i, call := range c.batch.Calls() {
		c.watchKey(ks.Name, args[1+i], call.Result.Version)
	}
	w.ok()
}

// watchKey remembers a version, unless the key is watched already: the older one says more.
func (c *conn) watchKey(keyspace string, key []byte, version uint64) {
	for _, old := range c.watched {
		if old.keyspace == keyspace && string(old.key) == string(key) {
			return
		}
	}
	c.watched = append(c.watched, watch{keyspace, append([]byte(nil), key...), version})
}

// exec sends all queued commands as one kv.Command, under the condition that no watched key has changed.
func (c *conn) exec() {
	t, watched := c.transaction, c.watched
	if t == nil {
		c.fail("ERR EXEC without MULTI")
		return
	}
	c.transaction, c.watched = nil, nil
	if t.spoiled {
		c.fail("EXECABORT Transaction discarded because of previous errors.")
		return
	}
	c.scratch.Conds, c.scratch.Ops = c.scratch.Conds[:0], c.scratch.Ops[:0]
	o := reply{resp3: c.literals.resp3, mute: c.muteThis, parts: make([]reply, 0, len(t.commands))}
	for _, queued := range t.commands {
		o.parts = append(o.parts, c.planPart(queued))
	}
	if len(c.scratch.Ops) <= kv.OpsMax && (len(c.scratch.Ops) > 0 || len(watched) > 0) {
		c.padTransaction(watched)
		c.scratch.Conds = c.conditions(watched)
		across := c.across(watched)
		c.scratch.Conds = c.scratch.Conds[:0]
		if across {
			c.transactAcross(o, watched)
			return
		}
	}
	if fault := c.submitTransaction(&o, watched); fault != "" {
		c.fail(fault)
		return
	}
	c.batchInput += t.bytes
	c.owed = append(c.owed, o)
}

// planPart plans one queued command behind those in front of it. One that is wrong is answered so and changes nothing,
// while the others are executed: that is Redis' way.
func (c *conn) planPart(queued queuedCommand) reply {
	part := reply{resp3: c.literals.resp3}
	if queued.command.plan == nil {
		from := len(c.literals.buf)
		queued.command.local(c, &c.literals, queued.args)
		part.from, part.to = int32(from), int32(len(c.literals.buf))
		return part
	}
	first := len(c.scratch.Ops)
	fault := queued.command.plan(queued.args, &c.scratch, &part)
	if fault == "" && len(c.scratch.Ops) <= kv.OpsMax {
		fault = c.checkSizes(first)
	}
	if fault != "" {
		c.scratch.Ops = c.scratch.Ops[:first]
		from := len(c.literals.buf)
		c.literals.fail(fault)
		return reply{from: int32(from), to: int32(len(c.literals.buf))}
	}
	part.from, part.to = int32(first), int32(len(c.scratch.Ops))
	if queued.command.reads {
		c.batchReads += int64(len(c.scratch.Ops) - first)
	}
	return part
}

func (c *conn) submitTransaction(o *reply, watched []watch) string {
	if len(c.scratch.Ops) == 0 && len(watched) == 0 {
		return ""
	}
	ks, fault := c.selected()
	if fault == "" {
		fault = c.checkSizes(0)
	}
	if fault != "" {
		return fault
	}
	for _, w := range watched {
		if w.keyspace != ks.Name {
			return "CROSSSHARD watched keys lie in another keyspace, and of those only linearizable ones have transactions together"
		}
	}
	c.scratch.Conds = c.conditions(watched)
	shard, one := oneShard(ks, &c.scratch)
	for i := range c.scratch.Ops {
		one = one && (ks.Shards == 1 || c.scratch.Ops[i].Kind != kv.OpClear)
	}
	if !one {
		return crossShard("exec")
	}
	o.from = int32(len(c.batch.Calls()))
	o.to = o.from + 1
	o.withConds = len(watched) > 0
	c.addCall(ks, shard)
	return ""
}

// conditions are those that no watched key has changed.
func (c *conn) conditions(watched []watch) []kv.Cond {
	list := c.scratch.Conds[:0]
	for _, w := range watched {
		list = append(list, kv.Cond{Key: w.key, Kind: kv.CondVersion, Version: w.version})
	}
	return list
}

// padTransaction puts a second operation beside a single one under conditions: its result could not be told from theirs.
func (c *conn) padTransaction(watched []watch) {
	for len(watched) > 0 && len(c.scratch.Ops) < 2 {
		c.scratch.Ops = append(c.scratch.Ops, kv.Op{Kind: kv.OpGet, Key: watched[0].key, Quiet: true})
	}
}

func (c *conn) renderTransaction(o *reply, calls []*kv.Call) {
	var items []kv.Result
	w := &c.out
	if o.to > o.from {
		result := &calls[o.from].Result
		switch {
		case o.withConds && result.Code == kv.ConditionFailed:
			w.nullArray()
			return
		case result.Code >= kv.Unavailable || result.Code == kv.Aborted:
			w.failure(result)
			return
		}
		items = c.items(calls[o.from:o.to])
	}
	w.array(len(o.parts))
	for i := range o.parts {
		part := &o.parts[i]
		if part.render == nil {
			w.buf = append(w.buf, c.literals.buf[part.from:part.to]...)
			continue
		}
		c.renderItems(w, part, items[part.from:part.to])
	}
}
