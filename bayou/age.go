package bayou

import (
	"encoding/binary"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// A replica knows by its own clock until when it lacks nothing, as a follower does of its leader (rule B13): each message carries the time of its
// sender, and the latest such time that the sender has had of its receiver. A report that names a time of this replica was made
// later than that, so once all that its sender had accepted by the report is here, all that it had accepted by that time is. No two
// clocks are compared, and of a peer that is silent the time stands still.

// echo is a time by the clock of some replica, in the run of it that the number is of.
type echo struct {
	life uint64
	at   core.Time
}

// always is Freshness.Whole where no other replica writes.
const always = core.Time(1<<63 - 1)

// recency is until when this replica has all that a peer had accepted.
type recency struct {
	// told is the latest time that the peer has told.
	told echo
	// whole: all that it had accepted by then is here. waits becomes so when its writes up to until are here; 0: nothing waits.
	whole, waits core.Time
	until        kv.HLC
}

// at is whole, or waits if what that waits for has come: up to has.
func (a *recency) at(has kv.HLC) core.Time {
	if has >= a.until {
		return max(a.whole, a.waits)
	}
	return a.whole
}

// report takes note that a peer had accepted writes up to a stamp at a time. While an earlier report waits for its writes, later
// ones are passed over: under a stream of writes one of them would always be missing.
func (a *recency) report(at core.Time, until, has kv.HLC) {
	if a.whole = a.at(has); has >= a.until {
		a.waits, a.until = at, until
	}
}

// clocks is what goes with a message to a peer: the time here, and the peer's own.
func (r *Replica) clocks(p *peer) Clocks {
	return Clocks{Sent: r.in.Now, Life: p.recency.told.life, Told: p.recency.told.at}
}

// hearTime takes a peer's word of time, and of what it had accepted then.
func (r *Replica) hearTime(p *peer, life uint64, c Clocks, accepted kv.HLC) {
	p.recency.told = echo{life, c.Sent}
	if c.Told != 0 && c.Life == r.life {
		p.recency.report(c.Told, accepted, r.meta.vector.At(p.id))
		if r.options.Mutation == TrustReports {
			p.recency.whole = max(p.recency.whole, c.Told)
		}
	}
}

// Freshness says until when this replica's state lacks nothing that any member accepted (core.Fresh), but for what a lost disk
// took with it.
func (r *Replica) Freshness() core.Freshness {
	if r.suspect || !r.joined() {
		return core.Freshness{}
	}
	whole := always
	for _, m := range r.meta.members {
		if m.id == r.self {
			continue
		}
		p := r.peer(m.id)
		if p == nil {
			return core.Freshness{}
		}
		whole = min(whole, p.recency.at(r.meta.vector.At(p.id)))
	}
	return core.Freshness{Whole: whole}
}

// Clocks are what a message tells of time.
type Clocks struct {
	// Sent is when it was sent, by the sender's clock.
	Sent core.Time
	// Told is the latest Sent that the sender has had from the receiver, in the receiver's run of that number; 0: none.
	Life uint64
	Told core.Time
}

func (c Clocks) appendTo(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(c.Sent))
	b = binary.AppendUvarint(b, c.Life)
	return binary.AppendUvarint(b, uint64(c.Told))
}

func (r *reader) clocks() Clocks {
	c := Clocks{Sent: core.Time(r.Uint()), Life: r.Uint(), Told: core.Time(r.Uint())}
	r.Bad = r.Bad || c.Sent < 0 || c.Told < 0
	return c
}
