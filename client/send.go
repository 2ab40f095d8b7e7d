package client

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	doorhttp "github.com/gamutdb/gamut/door/http"
	"github.com/gamutdb/gamut/door/http/remote"
	"github.com/gamutdb/gamut/kv"
)

// answer is what came back.
type answer struct {
	header http.Header
	body   []byte
}

func (a *answer) version() uint64 {
	v, err := strconv.ParseUint(a.header.Get(doorhttp.HeaderVersion), 10, 64)
	if err != nil {
		return 0 // deleting tells none
	}
	return v
}

// backoff bounds the pauses between tries.
const (
	backoffMin = 5 * time.Millisecond
	backoffMax = 250 * time.Millisecond
)

// send sends an operation until it is answered or the context ends. Sent again is what was certainly not executed for want of
// a leader, of replicas or of room; and what may have been executed if that is harmless: a read, or a write that carries a
// number under which the cluster executes it once.
func (k *Keyspace) send(ctx context.Context, q *request) (answer, error) {
	ctx, cancel := k.client.within(ctx)
	defer cancel()
	what := "key " + strconv.Quote(q.key) + " in keyspace " + strconv.Quote(k.name)
	t := try{keyspace: k, request: q}
	a, err := t.run(ctx)
	t.end(err)
	var e *kv.Error
	if q.reads() && errors.As(err, &e) && e.Code == kv.Unknown {
		err = &kv.Error{Code: kv.Unavailable, Detail: e.Detail} // a read leaves nothing open
	}
	return a, t.named(outcome(what, err, t.maybe))
}

// within bounds an operation whose context has no end.
func (c *Client) within(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, bounded := ctx.Deadline(); bounded {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, c.options.Timeout)
}

// try is an operation under way.
type try struct {
	keyspace *Keyspace
	request  *request
	place    *place
	ticket   ticket
	// maybe says that an earlier try of a write may have been executed; tries counts them.
	maybe bool
	tries int
}

func (t *try) run(ctx context.Context) (a answer, err error) {
	c := t.keyspace.client
	for {
		if t.place, err = c.place(ctx, t.keyspace.name); err == nil {
			err = t.number()
		}
		if err == nil {
			route := c.route(t.place, []byte(t.request.key), !t.request.anywhere(t.place))
			a, err = t.once(ctx, route[t.tries%len(route)])
		}
		if err == nil || !t.again(err) || !t.pause(ctx) {
			return a, err
		}
		t.tries++
	}
}

// number gives a write its number, once, if its keyspace takes numbers.
func (t *try) number() (err error) {
	if t.ticket.lane == nil && !t.request.reads() && t.place.led() {
		t.ticket, err = t.keyspace.client.lanes.take()
	}
	return err
}

// once asks one address.
func (t *try) once(ctx context.Context, address string) (a answer, err error) {
	c, q := t.keyspace.client, t.request
	header := q.header.Clone()
	if t.ticket.lane != nil {
		header.Set(doorhttp.HeaderRequest, c.lanes.header(t.ticket))
	}
	if token := t.keyspace.session.Token(t.keyspace.name); token != "" {
		header.Set(doorhttp.HeaderSession, token)
	}
	resp, err := c.wire.Node(address).Do(ctx, remote.Request{Method: q.method, Path: remote.KeyPath(t.keyspace.name, []byte(q.key)), Query: q.query, Header: header, Body: q.body})
	if resp != nil {
		c.answered(address)
		c.lanes.learn(resp.Header.Get("Date"))
		t.keyspace.session.learn(t.keyspace.name, t.place.info.Consistency, resp.Header.Get(doorhttp.HeaderSession))
	}
	if err != nil {
		t.failed(address, err)
		if resp != nil && resp.Header.Get(doorhttp.HeaderAsked) != "" {
			err = errors.Join(err, q.receive(t.keyspace.name, resp.Header)) // it was executed, and found something else
		}
		return a, err
	}
	defer resp.Body.Close()
	a.header = resp.Header
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		err = kv.Errorf(kv.Unknown, "the answer of %s broke off: %v", address, err)
		t.failed(address, err)
		return a, err
	}
	return a, q.receive(t.keyspace.name, a.header)
}

// failed takes note of what an address said that may be another's to answer.
func (t *try) failed(address string, err error) {
	var e *kv.Error
	isCode := errors.As(err, &e)
	dead := errors.Is(err, remote.ErrNoAnswer) || isCode && e.Code == kv.Unknown
	if dead || isCode && (e.Code == kv.NotLeader || e.Code == kv.Unavailable || e.Code == kv.NoKeyspace) {
		t.keyspace.client.forget(address, dead)
	}
	if isCode && e.Code == kv.Unknown && !t.request.reads() {
		t.maybe = true
	}
	if isCode && e.Code == kv.SessionLost {
		t.keyspace.session.Restore(t.keyspace.name, "")
	}
}

// again says that the operation may be sent again, and that this could help.
func (t *try) again(err error) bool {
	if errors.Is(err, remote.ErrNoAnswer) {
		return true
	}
	var e *kv.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case kv.Unavailable, kv.Busy, kv.NotLeader, kv.Sealed, kv.BehindSession:
		return true
	case kv.Unknown:
		return t.request.reads() || t.ticket.lane != nil
	}
	return false
}

// pause waits a moment before the next try; false when the context ends first. The first other address is asked at once.
func (t *try) pause(ctx context.Context) bool {
	if t.tries == 0 {
		return ctx.Err() == nil
	}
	d := min(backoffMax, backoffMin<<min(t.tries-1, 8))
	timer := time.NewTimer(d/2 + rand.N(d/2+1))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// end gives the number back. An answer that is certain closes it.
func (t *try) end(err error) {
	if t.ticket.lane == nil {
		return
	}
	var e *kv.Error
	known := err == nil || errors.As(err, &e) && e.Code < kv.Unavailable || !t.maybe && (errors.Is(err, remote.ErrNoAnswer) || e != nil && e.Code.Refused()) || e != nil && e.Code == kv.Fenced
	if known {
		t.maybe = false
	}
	t.keyspace.client.lanes.give(t.ticket, known)
}

// receive reads the receipt that was asked for.
func (q *request) receive(keyspace string, h http.Header) (err error) {
	if q.receipt == nil {
		return nil
	}
	*q.receipt, err = doorhttp.ReceiptOf(keyspace, h)
	return err
}
