package sim

import (
	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/referee"
)

// openWrite is a write of a client that ended as unknown and carries a number, so that its client can ask what became of it. What it is
// told stands in the history from then on as if it had been answered then: done, with its result, or certainly not executed.
type openWrite struct {
	// at is the write's place in the client's history.
	at     int
	group  *group
	number kv.Session
	key    []byte
}

// keepOpen keeps a write whose outcome can be asked for: half of the time at once, and in the end in any case.
func (c *client) keepOpen(o *operation) {
	p := &c.w.options.Protocol
	if o.recorded && o.op.Outcome == referee.Unknown && !o.command.Session.IsZero() && !p.Sessionless && p.MergeTokens == nil && c.w.mix == nil {
		c.open = append(c.open, openWrite{len(c.history) - 1, o.group, o.command.Session, o.command.Ops[0].Key})
	}
}

// asks says that the client asks for an outcome next.
func (c *client) asks() bool {
	return len(c.open) > 0 && (c.wantsProof || c.rng.IntN(2) == 0)
}

// ask asks any node what became of the oldest open write.
func (c *client) ask() {
	w := &c.open[0]
	o := &operation{op: c.history[w.at], group: w.group, node: c.rng.IntN(c.w.options.Nodes), asks: true}
	o.command = kv.OutcomeCommand(kv.RequestID{Key: w.key, Session: w.number})
	o.encoded = kv.AppendCommand(nil, &o.command)
	c.current = o
	c.try(o)
}

// told takes the answer. What was not decided is asked for again later.
func (c *client) told(r *kv.Result) {
	asked := c.open[0]
	c.open = c.open[1:]
	op := &c.history[asked.at]
	switch {
	case r.Code == kv.TooOld || r.Code == kv.Invalid: // by the group's time, which a clock was far ahead of
	case r.Code != kv.OK:
		c.open = append(c.open, asked)
	case r.Existed:
		op.Answer(int64(c.w.now), &r.Items[0])
		c.w.stats.ToldDone++
		if op.Version > 0 && c.w.options.Protocol.SplitEvery == 0 {
			c.w.checks.acked(asked.group, op.Version, op)
		}
	default:
		op.Answer(int64(c.w.now), &kv.Result{Code: kv.Fenced})
		c.w.stats.ToldNotDone++
	}
	c.w.trace.tellf("client %d is told: %s", c.id, op)
	c.current = nil
	c.proven = len(c.proofs) == 0 && len(c.open) == 0
	c.w.after(core.Time(c.rng.ExpFloat64()*float64(c.think)), c.next)
}
