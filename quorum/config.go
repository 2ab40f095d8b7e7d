package quorum

import (
	"errors"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/wire"
)

// Config is what a group begins with.
type Config struct {
	// Members are its replicas, at most membersMax.
	Members []core.ReplicaID
	// Atomic makes every get, put and delete linearizable by a phase of reading before each write (rule Q12).
	Atomic bool
	// ClientStamps lets a put bring its own stamp (rule Q1).
	ClientStamps bool
}

// membersMax is how many replicas fit a mask.
const membersMax = 8

const configVersion = 1

var errConfig = errors.New("malformed configuration of a quorum group")

// AppendTo encodes the configuration.
func (c *Config) AppendTo(b []byte) []byte {
	w := writer{wire.Writer{B: append(b, configVersion)}}
	w.Bool(c.Atomic)
	w.Bool(c.ClientStamps)
	w.Uint(uint64(len(c.Members)))
	for _, id := range c.Members {
		w.Uint(uint64(id))
	}
	return w.B
}

// DecodeConfig reads what AppendTo wrote.
func DecodeConfig(b []byte) (c Config, err error) {
	if len(b) == 0 || b[0] != configVersion {
		return c, errConfig
	}
	r := reader{wire.Reader{B: b[1:]}}
	c.Atomic, c.ClientStamps = r.Bool(), r.Bool()
	n := r.Uint()
	if n == 0 || n > membersMax {
		return c, errConfig
	}
	for range n {
		c.Members = append(c.Members, core.ReplicaID(r.Uint()))
	}
	if r.Bad || len(r.B) > 0 {
		return c, errConfig
	}
	return c, nil
}
