package bayou

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/wire"
)

// Config is who takes part in a group. Its members are fixed when it is made.
type Config struct {
	Members []core.ReplicaID
	// Binding names the cluster and the group in tokens.
	Binding uint64
	// Eventual says that commands ask for level eventual unless they say otherwise, and that answers carry no tokens.
	Eventual bool
}

const configVersion = 1

var errConfig = errors.New("malformed configuration")

// AppendTo encodes the configuration.
func (c Config) AppendTo(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(append(b, configVersion), c.Binding)
	b = wire.AppendBool(b, c.Eventual)
	b = binary.AppendUvarint(b, uint64(len(c.Members)))
	for _, id := range c.Members {
		b = binary.AppendUvarint(b, uint64(id))
	}
	return b
}

// DecodeConfig decodes a configuration.
func DecodeConfig(b []byte) (c Config, err error) {
	r := reader{wire.Reader{B: b}}
	version := r.Byte()
	c.Binding, c.Eventual = uint64(r.stamp()), r.Bool()
	for n := r.Count(1); n > 0 && !r.Bad; n-- {
		c.Members = append(c.Members, r.replica())
	}
	if r.Bad || len(r.B) > 0 || version != configVersion || len(c.Members) == 0 || slices.Contains(c.Members, 0) {
		return Config{}, errConfig
	}
	return c, nil
}
