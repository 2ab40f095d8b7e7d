package bayou

import (
	"math"
	"slices"

	"github.com/gamutdb/gamut/kv"
)

// levels are those that a causal group can give; an eventual one gives the first and the last.
var levels = []kv.Level{kv.LevelDefault, kv.LevelSession, kv.LevelReadYourWrites, kv.LevelMonotonicReads, kv.LevelMonotonicWrites,
	kv.LevelWritesFollowReads, kv.LevelEventual}

// Offers says whether a replica that asks nobody can honestly execute a command: nil, or an error that says why not and
// which consistency can.
func Offers(c *kv.Command) error {
	if !slices.Contains(levels, c.Level) {
		return kv.Errorf(kv.Unsupported, "level %s cannot be given here; the levels are session, each of its guarantees alone, and eventual", c.Level)
	}
	if len(c.Conds) > 0 {
		return unsupported("a condition cannot be checked without asking the other replicas")
	}
	scans, adds := false, false
	for i := range c.Ops {
		if err := offersOp(&c.Ops[i]); err != nil {
			return err
		}
		scans = scans || c.Ops[i].Kind == kv.OpScan
		adds = adds || c.Ops[i].Kind == kv.OpIncr || c.Ops[i].Kind == kv.OpCounter
	}
	if scans && !c.ReadOnly() {
		return unsupported("a scan together with writes would hold up the replica")
	}
	if adds && !c.Session.IsZero() {
		return unsupported("an addition that is sent again to another replica would count twice, so it must not carry a session")
	}
	return nil
}

func unsupported(reason string) error {
	return kv.Errorf(kv.Unsupported, "%s; a linearizable keyspace can do it", reason)
}

func offersOp(o *kv.Op) error {
	switch o.Kind {
	case kv.OpNone, kv.OpGet, kv.OpScan, kv.OpMembers, kv.OpMember, kv.OpSiblings, kv.OpInclude, kv.OpExclude:
		return nil
	case kv.OpSet, kv.OpDelete, kv.OpIncr, kv.OpCounter:
	default:
		return unsupported("an operation that depends on the present value (append, rename, touch, clear ...) has no meaning while others change it unseen")
	}
	counts := o.Kind == kv.OpIncr || o.Kind == kv.OpCounter
	switch {
	case o.When != kv.Always:
		return unsupported("a condition on the present value (cas, add, replace, NX, XX) cannot be checked without asking the other replicas")
	case o.Old:
		return unsupported("the value before a change is not known without asking the other replicas")
	case o.NewVersion != 0:
		return unsupported("versions are stamps here and cannot be chosen")
	case o.Kind == kv.OpSet && o.Expiry == kv.ExpireKeep:
		return unsupported("keeping a time to live depends on the present value")
	case o.Kind == kv.OpCounter && o.Down:
		return unsupported("a subtraction that stops at 0 cannot be merged")
	case o.Kind == kv.OpCounter && (o.HasInitial || o.Expiry != kv.ExpireKeep || o.Magnitude > math.MaxInt64):
		return unsupported("a counter that is created with an initial value or a time to live, or that wraps, cannot be merged")
	case counts && o.Delta == math.MinInt64:
		return kv.Errorf(kv.Invalid, "the number is out of range")
	}
	return nil
}
