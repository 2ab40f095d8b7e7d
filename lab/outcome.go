package lab

import (
	"fmt"

	"github.com/gamutdb/gamut/kv"
)

// openWrite is a write that ended as unknown, and under which number it was sent.
type openWrite struct {
	space *space
	// at is its place in the keyspace's history, where what its client is told takes the place of what was not known.
	at  int
	key []byte
	id  kv.RequestID
}

// leaveOpen keeps a write that ended as unknown, if it can be asked for.
func (c *client) leaveOpen(j *job) {
	r := &j.op.Result
	if r.Code != kv.Unknown || r.Request == nil {
		return
	}
	key := j.op.Request.Command.Ops[0].Key
	c.open = &openWrite{j.space, len(j.space.history) - 1, key, kv.RequestID{Keyspace: j.space.name, Key: key, Session: *r.Request}}
}

// outcome asks what became of the client's last unknown write.
func (r *runner) outcome(a args) error {
	c := r.current
	if who := a["as"]; len(who) > 0 {
		c = r.clientOf(uint64(who[0].(int)))
	}
	if c.open == nil {
		return fmt.Errorf("client %d has no write of unknown outcome that its node gave a number", c.id)
	}
	node, err := r.askedNode(a, c)
	if err != nil {
		r.print("refused: %v", err)
		return nil
	}
	w := c.open
	o := r.world.Begin(Request{Node: node, Keyspace: w.space.name, Shard: w.space.shardOf(w.key), Command: kv.OutcomeCommand(w.id),
		Timeout: orElse(a, "timeout", r.timeout())})
	if err := r.world.Wait(r.ctx, o); err != nil {
		return err
	}
	if text, ended := answer(&o.Result); ended {
		r.print("%s", text)
		return nil
	}
	c.open = nil
	result := kv.Result{Code: kv.Fenced}
	if told := kv.NewRequestOutcome(w.id, &o.Result); told.Outcome == kv.OutcomeDone {
		result = o.Result.Items[0]
		r.print("done: %s", told.Result)
	} else {
		r.print("%s", told.Outcome)
	}
	w.space.history[w.at].Answer(int64(o.Returned), &result)
	return nil
}
