package client

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/gamutdb/gamut/door/http/remote"
	"github.com/gamutdb/gamut/kv"
)

// Outcome is what became of a write or a transaction. It is final: what is not done never will be.
type Outcome struct {
	// Done says that it was executed, or committed.
	Done bool
	// Result is how a single write ended that is done: "ok", or what it found instead, as "condition failed".
	Result string
	// Version is that of the record it wrote, Count the number it answered.
	Version uint64
	Count   int64
}

// Outcome asks what became of what ended as an *UnknownError, by its ID, until it is answered or the context ends. What is not decided is
// decided by asking. A *RefusedError of kv.TooOld says that nobody remembers.
func (c *Client) Outcome(ctx context.Context, id string) (Outcome, error) {
	ctx, cancel := c.within(ctx)
	defer cancel()
	var o kv.RequestOutcome
	t := try{request: &request{method: http.MethodGet}}
	for {
		err := c.wire.JSON(ctx, remote.Request{Method: http.MethodGet, Path: "/v1/outcome/" + url.PathEscape(id)}, &o)
		if err == nil {
			done := o.Outcome == kv.OutcomeDone || o.Outcome == "committed"
			return Outcome{Done: done, Result: o.Result, Version: o.Version, Count: o.Int}, nil
		}
		if !t.again(err) || !t.pause(ctx) {
			return Outcome{}, outcome("outcome of "+id, err, false)
		}
		t.tries++
	}
}

// named gives an unknown outcome the id under which it can be asked for.
func (t *try) named(err error) error {
	var u *UnknownError
	if errors.As(err, &u) && t.ticket.lane != nil {
		s := kv.Session{Client: t.ticket.lane.client, Seq: t.ticket.seq}
		u.ID = kv.RequestID{Keyspace: t.keyspace.name, Key: []byte(t.request.key), Session: s}.String()
	}
	return err
}
