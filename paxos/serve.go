package paxos

import (
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

// Permit is what is known of a replica's state by those who read it beside the replica's steps.
type Permit struct {
	// Binding is that of the tokens; 0: the group keeps no common time.
	Binding uint64
	// Lease says that the state is as good as any for a linearizable read.
	Lease bool
	// Safe is the replica's SafeTime, as it was before the state is looked at; 0: the state is not to be read.
	Safe kv.HLC
	// Now is the reader's clock, by which keys end for linearizable reads.
	Now kv.HLC
	// Unlocked says that no transaction has held a lock since the read arrived, or that those are known that have: then the
	// state need not be asked.
	Unlocked bool
	// Beside says that the state may change while it is read.
	Beside bool
	// Bounds are the keys that the state is asked for; what lies outside was moved.
	Bounds *machine.Bounds
	// Told are those that the catalog says; what lies within the others alone has its place in the log. nil: it says nothing.
	Told *machine.Bounds
	// Fresh is the replica's Freshness, as it was before the state is looked at, and Mono the reader's clock that it goes by.
	Fresh core.Freshness
	Mono  core.Time
}

// How says what became of a read beside the replica's steps.
type How uint8

// Ends of such a read.
const (
	Answered  How = iota
	NeedsStep     // the permit does not cover it: the replica must say more
	NeedsLog      // only a place in the log can answer it
	Locked        // a transaction that is not decided is in its way
)

// weakLevels ask for no more than some earlier state.
var weakLevels = []kv.Level{kv.LevelPrefix, kv.LevelEventual}

// Weak says that a level is answered from any replica's state as it is (rule R7).
func Weak(l kv.Level) bool { return slices.Contains(weakLevels, l) }

// Serve answers a read-only command from the state of any replica, as far as the permit goes, from any goroutine.
func Serve(view core.View, c *kv.Command, p Permit) (kv.Result, How) {
	if !p.Bounds.Has(c) {
		return kv.Result{Code: kv.Moved}, Answered
	}
	if !p.Told.Whole(c) {
		return kv.Result{}, NeedsLog
	}
	if len(c.Ops) != 1 || c.Ops[0].Kind != kv.OpScan || p.Bounds.Whole(c) {
		return serveWhole(view, c, p)
	}
	within, o := *c, [1]kv.Op{}
	var next []byte
	o[0], next = p.Bounds.Within(c.Ops[0])
	within.Ops = o[:]
	r, how := serveWhole(view, &within, p)
	if r.Key == nil && r.Code == kv.OK {
		r.Key = next
	}
	return r, how
}

// serveWhole is Serve for what lies within the bounds.
func serveWhole(view core.View, c *kv.Command, p Permit) (kv.Result, How) {
	bounded := c.Level.Kind() == kv.LevelBounded
	strict := !Weak(c.Level) && !bounded && (c.Level == kv.LevelLinearizable || p.Binding == 0)
	switch {
	case p.Safe == 0 || (strict && !p.Lease) || (bounded && !p.Lease && !covers(c.Level, p.Fresh, p.Mono)):
		return kv.Result{}, NeedsStep
	case Weak(c.Level):
		return serveWeak(view, c)
	}
	if p.Beside && (len(c.Ops) > 1 || len(c.Ops) == 1 && c.Ops[0].Kind == kv.OpScan) {
		// Locks and data of several keys are of one moment, or a transaction that ends between the looks is seen in parts.
		s := view.Snapshot()
		defer s.Close()
		view, p.Unlocked = s, machine.Locks(s) == 0
	}
	switch {
	case !p.Unlocked && (bounded || p.Binding == 0) && locked(view, c, max(p.Now, machine.LogTime(view))):
		return kv.Result{}, Locked
	case bounded:
		return serveBounded(view, c, &p)
	case p.Binding == 0:
		r, needsLog := machine.Read(view, c, p.Now)
		return r, how(needsLog)
	}
	return serveAt(view, c, p)
}

// locked reports whether a read must wait for transactions (rule V6).
func locked(view core.View, c *kv.Command, now kv.HLC) bool {
	for i := range c.Ops {
		if c.Ops[i].Kind == kv.OpScan && len(machine.Writers(view, &c.Ops[i], now)) > 0 {
			return true
		}
	}
	return machine.Blocked(view, c, now)
}

func how(needsLog bool) How {
	if needsLog {
		return NeedsLog
	}
	return Answered
}

// serveWeak answers from the state as it is. The answer binds the session to nothing.
func serveWeak(view core.View, c *kv.Command) (kv.Result, How) {
	r, _, needsLog := machine.ReadAt(view, c, 0)
	r.Level = c.Level
	return r, how(needsLog)
}

// serveBounded answers from the state as it is, which is within the level's bound. The answer binds the session to nothing.
// AsOf is when the state was known to hold everything, by this node's clock, unless the log is later.
func serveBounded(view core.View, c *kv.Command, p *Permit) (kv.Result, How) {
	r, _, needsLog := machine.ReadAt(view, c, 0)
	r.Level = c.Level
	known := p.Now.UnixMilli()
	if !p.Lease {
		known -= int64((p.Mono - p.Fresh.Whole + 1e6 - 1) / 1e6)
	}
	if p.Lease || p.Fresh.Whole != 0 {
		r.AsOf = max(r.AsOf, known)
	}
	return r, how(needsLog)
}

// serveAt answers at a place in the keyspace's order: the time up to which this replica holds everything, if the session has
// seen nothing later. There the session stands from now on (rule R5).
func serveAt(view core.View, c *kv.Command, p Permit) (kv.Result, How) {
	seen, err := OpenToken(p.Binding, c.Token)
	switch {
	case err != nil:
		return kv.Failed(err), Answered
	case seen > p.Safe:
		return kv.Result{}, NeedsStep
	}
	r, at, needsLog := machine.ReadAt(view, c, p.Safe)
	stand(&r, c.Level, p.Binding, at)
	return r, how(needsLog)
}

// stand tells a session of a sequential keyspace where it stands, and at which level it was answered.
func stand(r *kv.Result, asked kv.Level, binding uint64, at kv.HLC) {
	r.Level = kv.LevelSequential
	if asked == kv.LevelLinearizable {
		r.Level = asked
	}
	r.Token = Token{binding, at}.AppendTo(nil)
}

// permit is what this replica may answer by itself.
func (r *Replica) permit(lease bool) Permit {
	p := Permit{Lease: lease, Safe: r.SafeTime(), Now: r.stamp(), Fresh: r.Freshness(), Mono: r.in.Now, Bounds: r.machine.Bounds,
		Unlocked: r.locks == 0 || r.options.Transactions == machine.ReadersIgnoreLocks}
	if r.options.Split == machine.SplitKeepsReading || r.options.Merge == machine.MergeKeepsReading {
		p.Bounds = nil
	}
	if o := r.owned; o != nil && r.options.Merge != machine.MergeReadsBehind {
		p.Told = &machine.Bounds{From: o.From, To: o.To}
	}
	if r.options.GroupTime {
		p.Binding = r.options.Binding
	}
	return p
}
