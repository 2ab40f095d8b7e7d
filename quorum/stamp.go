package quorum

import (
	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// clock gives the stamps of this replica's writes.
type clock struct {
	last kv.HLC // given
	seen kv.HLC // the newest of others that was within the limit
}

// stamp is the next stamp: unique, later than all that this replica has given or seen. The error says why there is none.
func (r *Replica) stamp() (kv.HLC, error) {
	if err := r.stamps(); err != nil {
		return 0, err
	}
	s := r.upcoming()
	if s >= r.in.StampMax {
		return 0, errBound
	}
	r.clock.last = s
	return s, nil
}

func (r *Replica) upcoming() kv.HLC { return max(r.in.Stamp, r.clock.last+1, r.clock.seen+1) }

// stamps says why this replica may give no stamps; nil: it may.
func (r *Replica) stamps() error {
	switch s := r.upcoming(); {
	case r.in.Unfit:
		return kv.Errorf(kv.Unavailable, "this node's clock is too far from the others', or its disk hangs or is full; nothing was written, ask another node")
	case r.in.Stamp == 0:
		return kv.Errorf(kv.Unavailable, "the clock of this node has no durable bound yet; nothing was written, retry")
	case r.tooFarAhead(s):
		// A stamp of this node would win over later ones of others.
		return kv.Errorf(kv.Unavailable, "the stamps of this node are %d ms ahead of its clock; nothing was written, retry after that or ask another node",
			s.UnixMilli()-r.in.Wall)
	}
	return nil
}

// errBound says that the durable bound of the clock is reached, and will be raised with the next batch (rule H3).
var errBound = kv.Errorf(kv.Unavailable, "the clock of this node has reached its durable bound; nothing was written, retry")

// now is the time by which records end and lines are drawn: that of the wall clock, which the stamps may be ahead of.
func (r *Replica) now() kv.HLC { return kv.HLCOf(r.in.Wall) }

// see lets later stamps be above one of another replica, so that who has read a record can replace it (rule H1). Stamps from
// beyond the limit must not pull this clock along (trap T3.9).
func (r *Replica) see(s kv.HLC) {
	if s > r.clock.seen && !r.tooFarAhead(s) {
		r.clock.seen = s
	}
}

func (r *Replica) tooFarAhead(s kv.HLC) bool {
	return s.UnixMilli() > r.in.Wall+int64(r.options.SkewMax/1e6) && r.options.Mutation != TrustAnyStamp
}

// stampGathered gives fresh stamps to what was gathered (rule Q1). While the clock stands at its durable bound, it waits.
func (r *Replica) stampGathered() bool {
	w := &r.writes
	w.retryAt = 0
	for i := range w.ops {
		o := &w.ops[i]
		if o.end == 0 {
			continue
		}
		t, err := r.stamp()
		switch {
		case err == errBound:
			w.retryAt = r.in.Now + boundPause
			return false
		case err != nil:
			r.refuseGathered(err)
			return false
		}
		w.gathered.stampLast(o.end, o.size, Stamp{t, r.self})
		o.result.Version, o.result.Origin, o.end = uint64(t), uint32(r.self), 0
	}
	return true
}

// boundPause is after how long the clock is looked at again.
const boundPause = core.Time(2e6)

func (r *Replica) clientStamp(o *kv.Op) (Stamp, error) {
	t := kv.HLC(o.NewVersion)
	switch {
	case !r.config.ClientStamps:
		return Stamp{}, kv.Errorf(kv.Unsupported, "this keyspace gives stamps itself; one that takes the clients' is created with client stamps allowed")
	case r.tooFarAhead(t):
		return Stamp{}, kv.Errorf(kv.ClockSkew, "the stamp is %d ms ahead of this node's clock; nothing was written", t.UnixMilli()-r.in.Wall)
	case t < r.disk.meta.Refuse:
		return Stamp{}, kv.Errorf(kv.Invalid, "the stamp is older than the last repair, which refuses it; nothing was written")
	}
	return Stamp{Time: t}, nil
}
