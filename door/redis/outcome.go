package redis

import (
	"strconv"
	"strings"
	"time"

	"github.com/gamutdb/gamut/kv"
)

// executeAs executes the command behind a number under that number: sent again, it is executed once, and its outcome can be asked for
// although no answer came. A number is for one group, so the command has one key.
func (c *conn) executeAs(args [][]byte) {
	number, err := kv.ParseNumber(cText(args[1], 64))
	if err != nil {
		r := kv.Failed(err)
		c.fail(failureText(&r))
		return
	}
	inner, fault := lookup(args[2:])
	if fault == "" && (inner.plan == nil || inner.firstKey == 0 || inner.firstKey != inner.lastKey || !strings.HasPrefix(inner.flags, "write")) {
		fault = "ERR GAMUT.REQUEST is for writes of one key, not for '" + inner.name + "'"
	}
	if ks, bad := c.selected(); fault == "" && bad != "" {
		fault = bad
	} else if fault == "" && !ks.Tracked() {
		r := kv.Failed(ks.Untracked())
		fault = failureText(&r)
	}
	if fault != "" {
		c.fail(fault)
		return
	}
	c.number = number
	c.dispatch(args[2:])
	c.number = kv.Session{}
}

// runOutcome tells what became of a write or a transaction.
func runOutcome(c *conn, w *writer, args [][]byte) {
	answer, err := kv.AskOutcome(c.server.db, string(args[1]), time.Now().Add(c.server.options.RequestDeadline))
	if err != nil {
		r := kv.Failed(err)
		w.failure(&r)
		return
	}
	o, ok := answer.(kv.RequestOutcome)
	if !ok {
		w.mapping(1)
		w.text("outcome")
		w.text(answer.(kv.TxnOutcome).Outcome)
		return
	}
	fields := [][2]string{{"outcome", o.Outcome}}
	if o.Outcome == kv.OutcomeDone {
		fields = append(fields, [2]string{"result", o.Result}, [2]string{"int", strconv.FormatInt(o.Int, 10)})
	}
	w.mapping(len(fields))
	for _, f := range fields {
		w.text(f[0])
		w.text(f[1])
	}
}
