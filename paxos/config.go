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
	// Preferred should lead if it can, so that leaders are spread over the nodes; 0: nobody in particular.
	Preferred core.ReplicaID
	// LeaseMillis is how long a voter that heard from a leader promises nothing to another; 0: reads are confirmed by a
	// round of messages instead (rules R2 and R3).
	LeaseMillis uint32
	// Identity makes the chains of two groups differ from their first hash: cluster, group, generation.
	Identity []byte
}

const configVersion = 1

var errConfig = errors.New("malformed configuration")

// AppendTo encodes the configuration.
func (c Config) AppendTo(b []byte) []byte {
	b = append(b, configVersion)
	b = binary.BigEndian.AppendUint32(b, uint32(c.Preferred))
	b = binary.BigEndian.AppendUint32(b, c.LeaseMillis)
	b = append(b, byte(len(c.Voters)))
	for _, v := range c.Voters {
		b = binary.BigEndian.AppendUint32(b, uint32(v))
	}
	return append(b, c.Identity...)
}

// DecodeConfig decodes a configuration.
func DecodeConfig(b []byte) (c Config, err error) {
	if len(b) < 10 || b[0] != configVersion || len(b) < 10+4*int(b[9]) {
		return c, errConfig
	}
	c.Preferred = core.ReplicaID(binary.BigEndian.Uint32(b[1:]))
	c.LeaseMillis = binary.BigEndian.Uint32(b[5:])
	for i := range int(b[9]) {
		c.Voters = append(c.Voters, core.ReplicaID(binary.BigEndian.Uint32(b[10+4*i:])))
	}
	c.Identity = slices.Clone(b[10+4*len(c.Voters):])
	return c, nil
}

// quorum is the number of voters of a majority. Two of them always share a voter, which is all that safety needs of the
// quorums of an election (q1) and of a commit (q2).
func (c *Config) quorum() int { return len(c.Voters)/2 + 1 }

func (c *Config) votes(id core.ReplicaID) bool { return slices.Contains(c.Voters, id) }

func (c *Config) lease() core.Time { return core.Time(c.LeaseMillis) * 1e6 }
