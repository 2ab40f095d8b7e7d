package redis

import (
	"fmt"
	"strings"
	"time"

	"github.com/gamutdb/gamut/kv"
)

// reply is one answer that is owed: to a part of the batch's calls, or known already.
type reply struct {
	// render makes the answer of the results; nil: it stands in conn.literals[from:to].
	render   renderFunc
	from, to int32
	resp3    bool
	mute     bool
	// withConds means that the call has conditions beside those of its operations.
	withConds bool
	// options and number are what the renderer needs to know of the request.
	options uint32
	number  int64
	limit   int64
	// parts are the answers of a transaction's commands; their from and to are operations of the one call.
	parts []reply
}

// renderFunc makes an answer of the results of a command's operations, one each.
type renderFunc func(w *writer, o *reply, items []kv.Result)

// execute starts one command: what needs the database joins the batch, all else is answered.
func (c *conn) execute(args [][]byte) {
	c.executed++
	c.batchCount++
	c.muteThis = c.mute || c.muteNext
	c.muteNext = false
	c.dispatch(args)
}

// executeAt executes the command behind a level at that level.
func (c *conn) executeAt(args [][]byte) {
	level, err := kv.ParseLevel(cText(args[1], 64))
	if err != nil {
		c.fail("ERR " + err.Error())
		return
	}
	inner, fault := lookup(args[2:])
	if fault == "" && inner.plan == nil && !(inner.barrier && strings.HasPrefix(inner.flags, "readonly")) {
		fault = "ERR GAMUT.AT is for commands on keys, not for '" + inner.name + "'"
	}
	if fault != "" {
		c.fail(fault)
		return
	}
	usual := c.level
	c.level = level
	c.dispatch(args[2:])
	c.level = usual
}

func (c *conn) dispatch(args [][]byte) {
	cmd, fault := lookup(args)
	if fault == "" {
		c.last = cmd.name
	}
	if fault == "" && cmd.refusal != "" {
		fault = cmd.refusal
	}
	if fault == "" && c.transaction != nil && !cmd.controls && cmd.alone {
		fault = "ERR Command not allowed inside a transaction"
	}
	switch {
	case fault != "":
		c.spoilTransaction()
		c.fail(fault)
	case c.transaction != nil && !cmd.controls:
		c.enqueue(cmd, args)
	case cmd.name == "gamut.request":
		c.executeAs(args)
	case cmd.wraps:
		c.executeAt(args)
	case cmd.plan != nil:
		c.planOne(cmd, args)
	case cmd.name == "exec":
		c.exec()
	case cmd.barrier:
		c.flush()
		c.answerLocal(cmd, args)
		c.batch.Reset(time.Time{})
		c.flush()
	default:
		c.answerLocal(cmd, args)
	}
}

func (c *conn) answerLocal(cmd *command, args [][]byte) {
	from := len(c.literals.buf)
	cmd.local(c, &c.literals, args)
	c.owe(from)
}

// owe makes what was appended to the literals an owed answer.
func (c *conn) owe(from int) {
	c.owed = append(c.owed, reply{from: int32(from), to: int32(len(c.literals.buf)), mute: c.muteThis})
}

func (c *conn) answer(f func(w *writer)) {
	from := len(c.literals.buf)
	f(&c.literals)
	c.owe(from)
}

func (c *conn) fail(text string) {
	from := len(c.literals.buf)
	c.literals.fail(text)
	c.owe(from)
}

// planOne adds a command's operations to the batch.
func (c *conn) planOne(cmd *command, args [][]byte) {
	c.scratch.Conds, c.scratch.Ops, c.scratch.Context = c.scratch.Conds[:0], c.scratch.Ops[:0], nil
	c.owed = append(c.owed, reply{resp3: c.literals.resp3, mute: c.muteThis})
	o := &c.owed[len(c.owed)-1]
	fault := cmd.plan(args, &c.scratch, o)
	if fault == "" && cmd.stamped {
		fault = c.stamp(args[1])
	}
	if fault == "" {
		fault = c.checkSizes(0)
	}
	if fault == "" && !cmd.everyShard && c.across(nil) {
		alone := *o
		c.owed = c.owed[:len(c.owed)-1]
		if cmd.reads {
			c.batchReads += int64(len(c.scratch.Ops))
		}
		c.transactAcross(alone, nil)
		return
	}
	if fault == "" {
		fault = c.submit(cmd, o)
	}
	if fault != "" {
		c.owed, c.scratch.Context = c.owed[:len(c.owed)-1], nil
		c.fail(fault)
		return
	}
	for _, arg := range args {
		c.batchInput += len(arg)
	}
}

// stamp gives the planned operation a stamp of the client's own.
func (c *conn) stamp(text []byte) string {
	ks, fault := c.selected()
	if fault != "" {
		return fault
	}
	if len(text) == 0 {
		return faultSyntax
	}
	if err := ks.Stamped(&c.scratch.Ops[0], string(text)); err != nil {
		r := kv.Failed(err)
		return failureText(&r)
	}
	return ""
}

// checkSizes checks the planned operations from one on.
func (c *conn) checkSizes(from int) string {
	if n := len(c.scratch.Ops); n > kv.OpsMax {
		return fmt.Sprintf("ERR command has %d operations, more than the limit of %d", n, kv.OpsMax)
	}
	for i := from; i < len(c.scratch.Ops); i++ {
		op := &c.scratch.Ops[i]
		if n := max(len(op.Key), len(op.Key2)); n > kv.KeyMax {
			return keyTooLong(n)
		}
	}
	return ""
}

func keyTooLong(n int) string {
	return fmt.Sprintf("ERR key has %d bytes, more than the limit of %d (4 KiB)", n, kv.KeyMax)
}

// submit adds the planned command to the batch: as one call if its keys share a shard, else as one call for each
// operation if the command may be split.
func (c *conn) submit(cmd *command, o *reply) string {
	ks, fault := c.selected()
	if fault != "" {
		return fault
	}
	if cmd.reads {
		c.batchReads += int64(len(c.scratch.Ops))
	}
	o.from = int32(len(c.batch.Calls()))
	o.to = o.from + 1
	o.withConds = len(c.scratch.Conds) > 0
	if cmd.everyShard {
		c.addToAll(ks)
		o.to = o.from + int32(ks.Shards)
		return ""
	}
	if _, one := oneShard(ks, &c.scratch); one {
		c.addCall(ks, 0)
		return ""
	}
	if !cmd.split {
		return crossShard(cmd.name)
	}
	for i := range c.scratch.Ops {
		call := c.batch.Add()
		c.ask(call, ks)
		call.Command.Ops = append(call.Command.Ops, c.scratch.Ops[i])
	}
	o.to = o.from + int32(len(c.scratch.Ops))
	return ""
}

// ask makes a call one of this connection: to a keyspace, at its level, as far as its session has come.
func (c *conn) ask(call *kv.Call, ks *kv.Keyspace) {
	call.Keyspace = ks
	call.Command.Level, call.Command.Token, call.Command.Receipt = c.level, c.sessions.Token(ks), c.receipt
	call.Command.Session, c.number = c.number, kv.Session{}
}

// addCall moves the planned command into a new call of the batch, in exchange for the call's empty one.
func (c *conn) addCall(ks *kv.Keyspace, shard int) *kv.Call {
	call := c.batch.Add()
	call.Shard = shard
	call.Command, c.scratch = c.scratch, call.Command
	c.ask(call, ks)
	return call
}

// addToAll adds the planned operation as one call for each shard.
func (c *conn) addToAll(ks *kv.Keyspace) {
	for shard := range ks.Shards {
		call := c.batch.Add()
		call.Shard = shard
		c.ask(call, ks)
		call.Command.Ops = append(call.Command.Ops, c.scratch.Ops...)
	}
}

// selected is the connection's keyspace.
func (c *conn) selected() (*kv.Keyspace, string) {
	if c.keyspace == nil {
		c.keyspace = c.server.db.Keyspace(c.keyspaceName)
	}
	if c.keyspace == nil {
		return nil, c.noKeyspace(c.keyspaceName, ": create it, or SELECT another one")
	}
	return c.keyspace, ""
}

// noKeyspace is why there is none of this name. A node that is still starting has yet to learn which there are.
func (c *conn) noKeyspace(name, advice string) string {
	if err := c.server.db.Ready(); err != nil {
		return failureText(&kv.Result{Code: kv.Unavailable, Detail: fmt.Sprintf("this node is not ready, and keyspace %q is not known to it: %v", name, err)})
	}
	return fmt.Sprintf("ERR no keyspace %q", name) + advice
}

// oneShard reports whether all keys of a command lie in one shard, and in which.
func oneShard(ks *kv.Keyspace, command *kv.Command) (shard int, one bool) {
	if ks.Shards == 1 || len(command.Ops) == 1 && len(command.Conds) == 0 && len(command.Ops[0].Key2) == 0 {
		return 0, true
	}
	shard, one = -1, true
	command.Keys(func(key []byte) {
		at := ks.ShardOf(key)
		one = one && (shard < 0 || shard == at)
		shard = at
	})
	return max(shard, 0), one
}

func crossShard(name string) string {
	return fmt.Sprintf("CROSSSHARD keys of '%s' lie in several shards of the keyspace, and a command is atomic in one shard only: "+
		"send one command for each key, or use a keyspace with one shard", name)
}

// flush submits the batch, waits for it and renders all that is owed.
func (c *conn) flush() {
	if len(c.owed) == 0 {
		return
	}
	calls := c.batch.Calls()
	if len(calls) > 0 {
		c.await()
	}
	for i := range c.owed {
		o := &c.owed[i]
		if c.writeFailed {
			break
		}
		c.renderOwed(o, calls)
		if len(c.out.buf) > outputFlush {
			c.letGo(o, calls)
			c.write()
		}
	}
	if len(calls) > batchCommands/8 || c.outputTaken > 0 {
		c.batch = &kv.Batch{}
	}
	c.settle()
	c.batch.Reset(time.Time{})
	clear(c.owed)
	c.owed, c.literals.buf = c.owed[:0], c.literals.buf[:0]
	if cap(c.owed) > batchCommands/8 {
		c.owed = nil
	}
	c.batchCount, c.batchInput, c.batchReads = 0, 0, 0
}

// await submits the batch's calls and waits for their answers.
func (c *conn) await() {
	began := time.Now()
	defer func() { c.server.observe(c.batch.Calls(), began) }()
	c.batch.Deadline, c.batch.Waited = began.Add(c.server.options.RequestDeadline), c.backlog.waited(began)
	if !c.takeOutput() {
		for _, call := range c.batch.Calls() {
			call.Result = kv.Result{Code: kv.Busy, Detail: busyOutput}
		}
		return
	}
	c.server.db.Submit(c.batch)
	c.batch.Wait()
	for _, call := range c.batch.Calls() {
		c.sessions.Learn(call.Keyspace, &call.Result)
	}
	c.weighOutput()
}

const busyOutput = "the node's memory for replies is in use"

func (c *conn) renderOwed(o *reply, calls []*kv.Call) {
	if o.mute {
		return
	}
	w := &c.out
	w.resp3 = o.resp3
	if o.render != nil || o.parts != nil {
		w.receipts(calls[o.from:o.to])
	}
	switch {
	case o.parts != nil:
		c.renderTransaction(o, calls)
	case o.render == nil:
		w.buf = append(w.buf, c.literals.buf[o.from:o.to]...)
	default:
		c.renderItems(w, o, c.items(calls[o.from:o.to]))
	}
}

// items are the results of the operations of a reply's calls, one each.
func (c *conn) items(calls []*kv.Call) []kv.Result {
	if len(calls) == 1 {
		call := calls[0]
		if len(call.Command.Ops) > 1 && call.Result.Items != nil {
			return call.Result.Items
		}
		c.single[0] = call.Result
		return c.single[:]
	}
	c.gather = c.gather[:0]
	for _, call := range calls {
		c.gather = append(c.gather, call.Result)
	}
	return c.gather
}

// renderItems answers with the first error among the results, or has the command render them. Of several errors an
// unknown outcome is told first: it is the one that the client must not overlook.
func (c *conn) renderItems(w *writer, o *reply, items []kv.Result) {
	var worst *kv.Result
	for i := range items {
		if code := items[i].Code; failures[code] != "" && (worst == nil || code == kv.Unknown) {
			worst = &items[i]
		}
	}
	if worst != nil {
		w.failure(worst)
		return
	}
	o.render(w, o, items)
}

// letGo drops the results that a reply was made of, since its client may take its time to read it.
func (c *conn) letGo(o *reply, calls []*kv.Call) {
	c.single[0] = kv.Result{}
	clear(c.gather)
	if o.render != nil || o.parts != nil {
		for _, call := range calls[o.from:o.to] {
			call.Result = kv.Result{}
		}
	}
}

// outputSmall is the size of a batch's replies below which they are not counted.
const outputSmall = 64 << 10

// takeOutput takes what the replies may need from the server's allowance. How large values are is known only when they
// are here, so a connection is trusted with what its last ones suggest, and with few at once to begin with.
func (c *conn) takeOutput() bool {
	need := min(c.batchReads*c.expect, c.server.options.OutputMaxConnection)
	if need <= outputSmall {
		return true
	}
	if !c.server.output.take(need, c.server.options.RequestDeadline) {
		return false
	}
	c.outputTaken += need
	return true
}

// reserve takes what a barrier's own replies may need in all.
func (c *conn) reserve(n int64) bool {
	need := n - c.outputTaken
	if need > 0 && !c.server.output.take(need, c.server.options.RequestDeadline) {
		return false
	}
	c.outputTaken = max(c.outputTaken, n)
	return true
}

// hold counts what has come, taken before or not.
func (c *conn) hold(n int64) {
	if n > c.outputTaken {
		c.server.output.force(n - c.outputTaken)
		c.outputTaken = n
	}
}

// weighOutput corrects what was taken by what has come.
func (c *conn) weighOutput() {
	if c.batchReads == 0 {
		return
	}
	var sum, largest int64
	weigh := func(r *kv.Result) {
		n := int64(len(r.Value))
		sum += n
		largest = max(largest, n)
	}
	for _, call := range c.batch.Calls() {
		weigh(&call.Result)
		for i := range call.Result.Items {
			weigh(&call.Result.Items[i])
		}
	}
	c.expect = max(4*largest, c.expect/16, 256)
	held := sum
	if held <= outputSmall {
		held = 0
	}
	c.server.output.force(held - c.outputTaken)
	c.outputTaken = held
	if sum > c.server.options.OutputMaxConnection {
		c.server.cut.Add(1)
		c.server.options.Logger.Warn("redis client cut off: replies to one batch exceed the limit of a connection",
			"client", c.remote, "id", c.id, "bytes", sum, "limit", c.server.options.OutputMaxConnection)
		c.writeFailed, c.closing = true, true
	}
}

// settle gives back what was taken for replies; those of a small batch may still wait to be written.
func (c *conn) settle() {
	if c.outputTaken > 0 {
		c.write()
		c.server.output.give(c.outputTaken)
		c.outputTaken = 0
	}
}
