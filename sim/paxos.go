package sim

import (
	"fmt"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
	"github.com/gamutdb/gamut/paxos"
)

// DrawPaxos draws the settings of a run: leases longer and shorter than elections, or none; memory for the whole log or
// for a few blocks, so that whoever lags needs a snapshot.
func DrawPaxos(seed uint64, mutation paxos.Mutation) Protocol {
	options, lease := drawPaxos(seed, mutation)
	p := Paxos(options, lease)
	p.Name = namePaxos("paxos", options, lease)
	return p
}

func drawPaxos(seed uint64, mutation paxos.Mutation) (options paxos.Options, lease core.Time) {
	rng := stream(seed, "paxos", 0)
	lease = []core.Time{0, 500 * Millisecond, 500 * Millisecond, 1500 * Millisecond}[rng.IntN(4)]
	options = paxos.Options{Mutation: mutation, Window: 1 + rng.IntN(4)}
	if rng.IntN(2) == 0 {
		options.RetainBytes = 500 + rng.IntN(4000)
	}
	if rng.IntN(3) == 0 {
		options.Heartbeat, options.ElectionMin, options.ElectionMax = 20*Millisecond, 100*Millisecond, 200*Millisecond
	}
	return options, lease
}

func namePaxos(name string, options paxos.Options, lease core.Time) string {
	return fmt.Sprintf("%s (lease %s, %d blocks under way, %d bytes retained, elections from %s)", name, clockText(lease),
		options.Window, options.RetainBytes, clockText(options.ElectionMin))
}

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
		Entry:    paxosEntry,
		Look:     lookPaxos,
		Position: machine.Position,
	}
}

func lookPaxos(r core.Replica) Inside {
	replica := r.(*paxos.Replica)
	s := replica.Status()
	b := Ballot{s.Ballot.Round, s.Ballot.Replica}
	in := Inside{Leads: s.Role == paxos.Leader, Ballot: b, Promised: b, Applied: s.Applied, Hash: s.Hash, Commit: s.Commit, Durable: s.Durable,
		Time: s.Time, Safe: replica.SafeTime()}
	if len(s.Config.Outgoing) == 0 {
		in.Voters = s.Config.Voters
	}
	if s.Durable >= s.First {
		in.DurableHash = replica.Blocks(s.Durable, 1)[0].Hash
	}
	return in
}

func paxosEntry(r core.Record) (index uint64, hash [32]byte, ok bool) {
	b, err := paxos.DecodeBlock(r.Body)
	if err != nil {
		return 0, hash, false // the promise
	}
	return b.Index, b.Hash, true
}
