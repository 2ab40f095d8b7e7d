package paxos

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/gamutdb/gamut/core"
)

// Config is who takes part in a group, on what terms. It lives in the log.
type Config struct {
	Voters []core.ReplicaID
	// Outgoing are the voters of before, while a change is under way: then nothing is decided without a majority of either
	// (rule M3). None otherwise.
	Outgoing []core.ReplicaID
	// Learners are given the log and decide nothing.
	Learners []core.ReplicaID
	// Preferred should lead if it can, so that leaders are spread over the nodes; 0: nobody in particular.
	Preferred core.ReplicaID
	// LeaseMillis is how long a voter that heard from a leader promises nothing to another; 0: reads are confirmed by a
	// round of messages instead (rules R2 and R3).
	LeaseMillis uint32
	// Split says that the group came to be by a split: a replica of it has nothing to begin with but what its parent laid aside, or
	// what another one sends it (rule P5).
	Split bool
	// Identity makes the chains of two groups differ from their first hash: cluster, group, generation.
	Identity []byte
}

// A configuration of voters alone is encoded as version 1, all others as version 2, and those of groups that came to be by a split
// as version 3.
const (
	configPlain   = 1
	configMembers = 2
	configSplit   = 3
)

var errConfig = errors.New("malformed configuration")

// AppendTo encodes the configuration.
func (c Config) AppendTo(b []byte) []byte {
	lists := [][]core.ReplicaID{c.Voters}
	version := byte(configPlain)
	if len(c.Outgoing)+len(c.Learners) > 0 || c.Split {
		lists, version = append(lists, c.Outgoing, c.Learners), configMembers
	}
	if c.Split {
		version = configSplit
	}
	b = append(b, version)
	b = binary.BigEndian.AppendUint32(b, uint32(c.Preferred))
	b = binary.BigEndian.AppendUint32(b, c.LeaseMillis)
	for _, list := range lists {
		b = append(b, byte(len(list)))
		for _, id := range list {
			b = binary.BigEndian.AppendUint32(b, uint32(id))
		}
	}
	return append(b, c.Identity...)
}

// DecodeConfig decodes a configuration.
func DecodeConfig(b []byte) (c Config, err error) {
	if len(b) < 10 || b[0] < configPlain || b[0] > configSplit {
		return c, errConfig
	}
	c.Split = b[0] == configSplit
	c.Preferred = core.ReplicaID(binary.BigEndian.Uint32(b[1:]))
	c.LeaseMillis = binary.BigEndian.Uint32(b[5:])
	lists := []*[]core.ReplicaID{&c.Voters, &c.Outgoing, &c.Learners}
	if b[0] == configPlain {
		lists = lists[:1]
	}
	b = b[9:]
	for _, list := range lists {
		if len(b) == 0 || len(b) < 1+4*int(b[0]) {
			return Config{}, errConfig
		}
		for i := range int(b[0]) {
			*list = append(*list, core.ReplicaID(binary.BigEndian.Uint32(b[1+4*i:])))
		}
		b = b[1+4*int(b[0]):]
	}
	c.Identity = slices.Clone(b)
	return c, nil
}

// joint says that a change of voters is under way.
func (c *Config) joint() bool { return len(c.Outgoing) > 0 }

// decided reports whether a majority of the voters is in a set, and of the outgoing ones, too. Two such sets always share a
// voter, also when one of them was taken under the configuration before or after: that is all that safety needs of the
// quorums of an election (q1) and of a commit (q2).
func (c *Config) decided(in func(core.ReplicaID) bool) bool {
	for _, list := range [...][]core.ReplicaID{c.Voters, c.Outgoing} {
		n := 0
		for _, id := range list {
			if in(id) {
				n++
			}
		}
		if len(list) > 0 && n < quorum(len(list)) {
			return false
		}
	}
	return true
}

// quorum is the number of voters of a majority.
func quorum(voters int) int { return voters/2 + 1 }

// votes says that the replica is a voter, of before or from now on.
func (c *Config) votes(id core.ReplicaID) bool {
	return slices.Contains(c.Voters, id) || slices.Contains(c.Outgoing, id)
}

// stays says that the replica votes when the change under way, if any, is over.
func (c *Config) stays(id core.ReplicaID) bool { return slices.Contains(c.Voters, id) }

// electorate are all voters, those of before and those from now on, in order.
func (c *Config) electorate() []core.ReplicaID { return union(c.Voters, c.Outgoing) }

// members are all replicas that are given the log, in order.
func (c *Config) members() []core.ReplicaID { return union(c.electorate(), c.Learners) }

func union(a, b []core.ReplicaID) []core.ReplicaID {
	if len(b) == 0 {
		return a
	}
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// without are the elements of a that are not in b.
func without(a, b []core.ReplicaID) (rest []core.ReplicaID) {
	for _, id := range a {
		if !slices.Contains(b, id) {
			rest = append(rest, id)
		}
	}
	return rest
}

func (c *Config) lease() core.Time { return core.Time(c.LeaseMillis) * 1e6 }
