package paxos

import (
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

// Permit is what is known of a replica's state by those who read it beside the replica's steps.
type Permit struct {
	// Keyspace is that of the tokens; 0: the group keeps no common time.
	Keyspace uint32
	// Lease says that the state is as good as any for a linearizable read.
	Lease bool
	// Safe is the replica's SafeTime, as it was before the state is looked at; 0: the state is not to be read.
	Safe kv.HLC
	// Now is the reader's clock, by which keys end for linearizable reads.
	Now kv.HLC
	// Unlocked says that no transaction has held a lock since the read arrived, or that those are known that have: then the
	// state need not be asked.
	Unlocked bool
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
	strict := c.Level == kv.LevelLinearizable || p.Keyspace == 0
	switch {
	case p.Safe == 0 || (!Weak(c.Level) && strict && !p.Lease):
		return kv.Result{}, NeedsStep
	case Weak(c.Level):
		return serveWeak(view, c)
	case p.Keyspace == 0:
		if !p.Unlocked && locked(view, c, p.Now) {
			return kv.Result{}, Locked
		}
		r, needsLog := machine.Read(view, c, p.Now)
		return r, how(needsLog)
	}
	return serveAt(view, c, p)
}

// locked reports whether a read must wait for transactions (rule V6).
func locked(view core.View, c *kv.Command, now kv.HLC) bool {
	for i := range c.Ops {
		if c.Ops[i].Kind == kv.OpScan && len(machine.Writers(view, &c.Ops[i])) > 0 {
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

// serveAt answers at a place in the keyspace's order: the time up to which this replica holds everything, if the session has
// seen nothing later. There the session stands from now on (rule R5).
func serveAt(view core.View, c *kv.Command, p Permit) (kv.Result, How) {
	seen, err := OpenToken(p.Keyspace, c.Token)
	switch {
	case err != nil:
		return kv.Failed(err), Answered
	case seen > p.Safe:
		return kv.Result{}, NeedsStep
	}
	r, at, needsLog := machine.ReadAt(view, c, p.Safe)
	stand(&r, c.Level, p.Keyspace, at)
	return r, how(needsLog)
}

// stand tells a session of a sequential keyspace where it stands, and at which level it was answered.
func stand(r *kv.Result, asked kv.Level, keyspace uint32, at kv.HLC) {
	r.Level = kv.LevelSequential
	if asked == kv.LevelLinearizable {
		r.Level = asked
	}
	r.Token = Token{keyspace, at}.AppendTo(nil)
}

// permit is what this replica may answer by itself.
func (r *Replica) permit(lease bool) Permit {
	p := Permit{Lease: lease, Safe: r.SafeTime(), Now: r.stamp(), Unlocked: r.locks == 0 || r.options.Transactions == machine.ReadersIgnoreLocks}
	if r.options.GroupTime {
		p.Keyspace = r.options.Keyspace
	}
	return p
}
