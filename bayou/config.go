package bayou

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/wire"
)

// Config is who takes part in a group: what its founders begin with, and what the catalog says of it later on.
type Config struct {
	Members []core.ReplicaID
	// Binding names the cluster and the group in tokens.
	Binding uint64
	// Eventual says that commands ask for level eventual unless they say otherwise, and that answers carry no tokens.
	Eventual bool
	// Siblings says that concurrent values of a key are kept side by side; otherwise the newest wins.
	Siblings bool
	// Ordered says that the group has a commit order, and a companion that decides it. It never changes.
	Ordered bool
	// Epoch counts what the catalog says of the members; that of the founders is 0.
	Epoch uint64
	// Leaving are members that shall retire.
	Leaving []core.ReplicaID
	// Last is the highest id that was ever given: who has one up to it and is no member is gone for good.
	Last core.ReplicaID
	// Settled says that no change is under way: all members have joined.
	Settled bool
}

const configVersion = 2

const (
	configEventual = 1 << iota
	configSiblings
	configOrdered
	configBits
)

func (c *Config) bits() (bits byte) {
	if c.Eventual {
		bits |= configEventual
	}
	if c.Siblings {
		bits |= configSiblings
	}
	if c.Ordered {
		bits |= configOrdered
	}
	return bits
}

var errConfig = errors.New("malformed configuration")

// AppendTo encodes the configuration.
func (c *Config) AppendTo(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(append(b, configVersion), c.Binding)
	b = append(b, c.bits())
	b = binary.AppendUvarint(b, c.Epoch)
	b = wire.AppendBool(binary.AppendUvarint(b, uint64(c.Last)), c.Settled)
	for _, list := range [...][]core.ReplicaID{c.Members, c.Leaving} {
		b = binary.AppendUvarint(b, uint64(len(list)))
		for _, id := range list {
			b = binary.AppendUvarint(b, uint64(id))
		}
	}
	return b
}

// DecodeConfig decodes a configuration. Its lists are sorted.
func DecodeConfig(b []byte) (c Config, err error) {
	r := reader{wire.Reader{B: b}}
	version := r.Byte()
	c.Binding = uint64(r.stamp())
	bits := r.Byte()
	c.Eventual, c.Siblings, c.Ordered, c.Epoch = bits&configEventual != 0, bits&configSiblings != 0, bits&configOrdered != 0, r.Uint()
	c.Last, c.Settled = r.replica(), r.Bool()
	for _, list := range [...]*[]core.ReplicaID{&c.Members, &c.Leaving} {
		for n := r.Count(1); n > 0 && !r.Bad; n-- {
			*list = append(*list, r.replica())
		}
		slices.Sort(*list)
		r.Bad = r.Bad || slices.Contains(*list, 0)
	}
	if r.Bad || len(r.B) > 0 || version != configVersion || bits >= configBits || len(c.Members) == 0 {
		return Config{}, errConfig
	}
	c.Last = max(c.Last, slices.Max(c.Members))
	return c, nil
}

// stays says that a replica is a member and shall remain one.
func (c *Config) stays(id core.ReplicaID) bool {
	return slices.Contains(c.Members, id) && !slices.Contains(c.Leaving, id)
}

// gone says that a replica was a member and is none any more. If it has not retired, its disk is lost: nobody waits for what
// only it had, and nothing is taken from it.
func (c *Config) gone(id core.ReplicaID) bool { return id <= c.Last && !slices.Contains(c.Members, id) }
