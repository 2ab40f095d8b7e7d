package sim

import (
	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
	"github.com/gamutdb/gamut/paxos"
)

// Paxos runs linearizable groups.
func Paxos(options paxos.Options, lease core.Time) Protocol {
	return Protocol{
		Name: "paxos",
		New:  func(self core.ReplicaID) core.Replica { return paxos.New(self, options) },
		Config: func(members []core.ReplicaID) []byte {
			c := paxos.Config{Voters: members, LeaseMillis: uint32(lease / Millisecond), Identity: []byte{byte(members[0])}}
			return c.AppendTo(nil)
		},
		Decode: paxos.DecodeMessage,
		Read: func(v core.View, c *kv.Command, wall int64) (kv.Result, bool) {
			return machine.Read(v, c, kv.HLCOf(wall))
		},
		Look:     lookPaxos,
		Position: machine.Position,
	}
}

func lookPaxos(r core.Replica) Inside {
	s := r.(*paxos.Replica).Status()
	b := Ballot{s.Ballot.Round, s.Ballot.Replica}
	return Inside{Leads: s.Role == paxos.Leader, Ballot: b, Promised: b, Applied: s.Applied, Hash: s.Hash, Commit: s.Commit}
}
