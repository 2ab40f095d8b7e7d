package sim

import (
	"encoding/binary"
	"fmt"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/twophase"
)

// DrawTwophase draws the settings of a run: time-outs and suspicions that come soon or late, one batch under way or several,
// views that may shrink to one member or to two, writes to a key in flight that wait or are refused, memory for many final batches or for a few, so that joiners begin anew.
func DrawTwophase(seed uint64, mutation twophase.Mutation) Protocol {
	return drawTwophase(seed, mutation, 2)
}

func drawTwophase(seed uint64, mutation twophase.Mutation, leastMax int) Protocol {
	rng := stream(seed, "twophase", 0)
	span := func(low, high core.Time) core.Time { return low + core.Time(rng.Int64N(int64(high-low))) }
	o := twophase.Options{Mutation: mutation, Heartbeat: span(20*Millisecond, 100*Millisecond), VoteWithin: span(100*Millisecond, Second),
		Suspect: span(300*Millisecond, 2*Second), Window: 1 + rng.IntN(4)}
	if rng.IntN(2) == 0 {
		o.RetainBytes = 500 + rng.IntN(4000)
	}
	least := 1 + rng.IntN(leastMax)
	o.Refuse = rng.IntN(4) == 0
	return Twophase(o, least)
}

// Twophase runs atomic groups.
func Twophase(options twophase.Options, minMembers int) Protocol {
	return Protocol{
		Name: fmt.Sprintf("twophase (heard every %s, votes within %s, suspects after %s, %d batches under way, %d bytes retained, at least %d members)",
			clockText(options.Heartbeat), clockText(options.VoteWithin), clockText(options.Suspect), options.Window, options.RetainBytes, minMembers),
		New: func(self core.ReplicaID) core.Replica { return twophase.New(self, options) },
		Config: func(members []core.ReplicaID) []byte {
			return twophase.Config{Epoch: 1, Coordinator: members[0], Members: members, MinMembers: minMembers}.AppendTo(nil)
		},
		Decode: twophase.DecodeMessage,
		Read: func(v core.View, c *kv.Command, wall int64) (kv.Result, bool) {
			r, ok := twophase.Read(v, c, kv.HLCOf(wall))
			return r, !ok
		},
		Look:     lookTwophase,
		Position: twophase.Position,
		Views:    true,
		Rests:    restsTwophase,
		// What only one member holds is lost with its disk, and a view may have shrunk to it. Where members change, a disk is lost
		// now and then that others can do without.
		Bear: func(f *Faults) { f.Damage, f.Wipe = 0, 0 },
		Describe: func() *keyspace.Descriptor {
			return &keyspace.Descriptor{Consistency: kv.Atomic, Terms: keyspace.Terms{MinMembers: minMembers}}
		},
	}
}

// restsTwophase: in the end all are members again, nothing is in doubt, and nobody waits for a key.
func restsTwophase(r core.Replica) bool {
	s := r.(*twophase.Replica).Status()
	return len(s.Joiners) == 0 && s.Fenced == s.Epoch && s.Last == s.Applied && !s.Suspect && s.WaitingReads+s.WaitingWrites == 0
}

func lookTwophase(r core.Replica) Inside {
	s := r.(*twophase.Replica).Status()
	in := Inside{Leads: s.Leads, Ballot: Ballot{Round: s.Fenced, Replica: s.Coordinator}, Promised: Ballot{Round: s.Fenced}, Applied: s.Applied,
		Commit: s.Resolved}
	if s.Sum != 0 {
		binary.BigEndian.PutUint64(in.Hash[:], s.Sum)
	}
	return in
}
