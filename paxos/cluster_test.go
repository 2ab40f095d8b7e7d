package paxos

import (
	"fmt"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/coretest"
	"github.com/gamutdb/gamut/kv"
)

type (
	member = coretest.Member[*Replica]
	packet = coretest.Packet
)

// cluster steps replicas by hand.
type cluster struct {
	*coretest.Cluster[*Replica]
	// onApplied sees every applied block.
	onApplied func(core.ReplicaID, AppliedNote)
	voters    []core.ReplicaID
	lease     uint32
}

const millisecond = coretest.Millisecond

func newCluster(n int, config Config, options Options) *cluster {
	c := emptyCluster(n, config, options)
	c.add(n)
	return c
}

// emptyCluster has no replicas yet.
func emptyCluster(n int, config Config, options Options) *cluster {
	if options.ElectionMin == 0 {
		// A narrow spread makes elections happen when the caller ticks, not when chance says.
		options.ElectionMin, options.ElectionMax = 500*millisecond, 501*millisecond
	}
	for i := range n {
		config.Voters = append(config.Voters, core.ReplicaID(i+1))
	}
	c := &cluster{voters: config.Voters, lease: config.LeaseMillis, Cluster: coretest.New(coretest.Protocol[*Replica]{
		New:     func(id core.ReplicaID) *Replica { return New(id, options) },
		Config:  config.AppendTo(nil),
		Decode:  DecodeMessage,
		Message: describeMessage,
		Answer:  describeAnswer,
	})}
	c.OnNote = func(id core.ReplicaID, n core.Note) bool {
		a, ok := n.(AppliedNote)
		if ok && c.onApplied != nil {
			c.onApplied(id, a)
		}
		return ok
	}
	return c
}

// add starts replicas that never ran; those beyond the first voters are members of nothing yet.
func (c *cluster) add(n int) {
	for range n {
		c.Start(c.Add())
	}
}

// forge replaces a durable block by one with another payload. Its hash covers it, and nothing follows it.
func forge(m *member, index uint64) {
	for i := len(m.Durable) - 1; i >= 0; i-- {
		if r := &m.Durable[i]; r.Kind == recordBlock && r.Pos == index {
			b, err := DecodeBlock(r.Body)
			if err != nil {
				panic(err)
			}
			prev := position{Index: b.Index - 1, Hash: b.Prev}
			r.Body = newBlock(prev, b.Ballot, b.Time, Noop, make([]byte, headerSize)).raw
			return
		}
	}
	panic(fmt.Sprintf("replica %d has no block %d on its disk", m.ID, index))
}

func describeAnswer(id core.RequestID, r *kv.Result) string {
	s := fmt.Sprintf("request %d: %s", id, coretest.Outcome(r))
	if r.Tx != nil {
		s += ", " + r.Tx.State.String()
	}
	if t, err := DecodeToken(r.Token); err == nil {
		s += fmt.Sprintf(", at %d ms", t.Time.UnixMilli())
	}
	return s
}
