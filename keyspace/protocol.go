package keyspace

import (
	"encoding/binary"
	"fmt"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/paxos"
)

// Options are the settings of a cluster that its protocols share.
type Options struct {
	Heartbeat, ElectionMin, ElectionMax core.Time
	// LeaseMillis is how long a leader may read without asking. It must be shorter than ElectionMin.
	LeaseMillis uint32
}

// The switch from a promise to a protocol: these three functions and nothing else.

// NewReplica makes a replica of a shard of a keyspace.
func NewReplica(c kv.Consistency, self core.ReplicaID, o Options) core.Replica {
	if c != kv.Linearizable {
		panic(fmt.Sprintf("keyspace: no protocol for consistency %q", c))
	}
	return paxos.New(self, paxos.Options{Heartbeat: o.Heartbeat, ElectionMin: o.ElectionMin, ElectionMax: o.ElectionMax})
}

// DecodeMessage reads a message between the replicas of such a keyspace. The message may keep b.
func DecodeMessage(c kv.Consistency, b []byte) (core.Message, error) {
	if c != kv.Linearizable {
		return nil, fmt.Errorf("no protocol for consistency %q", c)
	}
	return paxos.DecodeMessage(b)
}

// FirstConfig is what the replicas of a shard are started with.
func (d *Descriptor) FirstConfig(cluster [16]byte, shard int, o Options) []byte {
	s := &d.Shards[shard]
	c := paxos.Config{Voters: s.Voters(), Preferred: s.Preferred,
		Identity: binary.BigEndian.AppendUint64(cluster[:], uint64(s.Group))}
	if !d.Terms.LeaseOff {
		c.LeaseMillis = o.LeaseMillis
	}
	return c.AppendTo(nil)
}
