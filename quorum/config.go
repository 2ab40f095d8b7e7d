package quorum

import (
	"errors"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/wire"
)

// Config is what a group begins with, and what the catalog makes of it later.
type Config struct {
	// Epoch counts the changes of the members, 0 being what the group began with.
	Epoch uint64
	// Members are its replicas; Next are who they shall be, while they change, and empty otherwise. Both together are at most
	// MembersMax.
	Members, Next []core.ReplicaID
	// Both says that whoever joins is filled, and that reads need enough of both sets; before, they are of Members alone.
	Both bool
	// Atomic makes every get, put and delete linearizable by a phase of reading before each write (rule Q12).
	Atomic bool
	// ClientStamps lets a put bring its own stamp (rule Q1).
	ClientStamps bool
}

// MembersMax is how many replicas a group may have, while its members change included.
const MembersMax = 8

const configVersion = 2

var errConfig = errors.New("malformed configuration of a quorum group")

// AppendTo encodes the configuration.
func (c *Config) AppendTo(b []byte) []byte {
	w := writer{wire.Writer{B: append(b, configVersion)}}
	w.Bool(c.Atomic)
	w.Bool(c.ClientStamps)
	w.Bool(c.Both)
	w.Uint(c.Epoch)
	w.replicas(c.Members)
	w.replicas(c.Next)
	return w.B
}

// DecodeConfig reads what AppendTo wrote.
func DecodeConfig(b []byte) (c Config, err error) {
	if len(b) == 0 || b[0] != configVersion {
		return c, errConfig
	}
	r := reader{wire.Reader{B: b[1:]}}
	c.Atomic, c.ClientStamps, c.Both, c.Epoch = r.Bool(), r.Bool(), r.Bool(), r.Uint()
	c.Members, c.Next = r.replicas(), r.replicas()
	if r.Bad || len(r.B) > 0 || len(c.Members) == 0 || len(c.replicas()) > MembersMax {
		return c, errConfig
	}
	return c, nil
}

// replicas are those of both sets.
func (c *Config) replicas() []core.ReplicaID {
	list := slices.Clone(c.Members)
	for _, id := range c.Next {
		if !slices.Contains(list, id) {
			list = append(list, id)
		}
	}
	return list
}

// moving says that the members change.
func (c *Config) moving() bool { return len(c.Next) > 0 }

func (w *writer) replicas(list []core.ReplicaID) {
	w.Uint(uint64(len(list)))
	for _, id := range list {
		w.Uint(uint64(id))
	}
}

func (r *reader) replicas() (list []core.ReplicaID) {
	r.each(1, func() { list = append(list, core.ReplicaID(r.small(1<<32))) })
	r.Bad = r.Bad || len(list) > MembersMax || slices.Contains(list, 0)
	return list
}
