package twophase

import (
	"errors"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/wire"
)

// Config is the catalog's word on who takes part in a group.
type Config struct {
	// Epoch grows by one with every configuration. A replica obeys the highest that it has heard of (rule W1).
	Epoch uint64
	// Coordinator is the member that orders commands in this epoch.
	Coordinator core.ReplicaID
	// Members hold everything: nothing is done before it is on the disks of all of them (rule W3). There is always one.
	Members []core.ReplicaID
	// Joiners are the group's other replicas: new ones, and members that were left out. They hold nothing that counts, are
	// filled, and then become members (rule W7).
	Joiners []core.ReplicaID
	// MinMembers is how many members a configuration keeps: rather than leave out one more, writes wait for it (rule W6). 0 means 1.
	MinMembers int
}

const configVersion = 1

// groupMax bounds the replicas of a group: votes are bits of a word.
const groupMax = 64

var errConfig = errors.New("malformed configuration")

// AppendTo encodes the configuration.
func (c Config) AppendTo(b []byte) []byte {
	w := wire.Writer{B: append(b, configVersion)}
	w.Uint(c.Epoch)
	w.Uint(uint64(c.Coordinator))
	w.Uint(uint64(c.MinMembers))
	for _, list := range [][]core.ReplicaID{c.Members, c.Joiners} {
		w.Uint(uint64(len(list)))
		for _, id := range list {
			w.Uint(uint64(id))
		}
	}
	return w.B
}

// DecodeConfig decodes a configuration. One without a member, with a coordinator that is none, or with a replica named twice, is an error.
func DecodeConfig(b []byte) (c Config, err error) {
	r := wire.Reader{B: b}
	version := r.Byte()
	c.Epoch, c.Coordinator, c.MinMembers = r.Uint(), core.ReplicaID(r.Uint()), int(r.Uint())
	for _, list := range []*[]core.ReplicaID{&c.Members, &c.Joiners} {
		for n := r.Count(1); n > 0 && !r.Bad; n-- {
			*list = append(*list, core.ReplicaID(r.Uint()))
		}
	}
	if r.Bad || len(r.B) > 0 || version != configVersion || !c.whole() {
		return Config{}, errConfig
	}
	return c, nil
}

func (c *Config) whole() bool {
	all := slices.Concat(c.Members, c.Joiners)
	slices.Sort(all)
	return c.Epoch > 0 && slices.Contains(c.Members, c.Coordinator) && len(all) <= groupMax && all[0] != 0 &&
		len(slices.Compact(slices.Clone(all))) == len(all) && c.MinMembers >= 0 && c.MinMembers <= groupMax
}

// has says whether a replica is a member.
func (c *Config) has(id core.ReplicaID) bool { return slices.Contains(c.Members, id) }

// least is how many members must stay.
func (c *Config) least() int { return max(1, c.MinMembers) }

// move is the configuration that follows c with a replica as member, or as joiner.
func (c Config) move(id core.ReplicaID, member bool) Config {
	without := func(list []core.ReplicaID) []core.ReplicaID {
		return slices.DeleteFunc(slices.Clone(list), func(other core.ReplicaID) bool { return other == id })
	}
	c.Members, c.Joiners = without(c.Members), without(c.Joiners)
	list := &c.Joiners
	if member {
		list = &c.Members
	}
	*list = append(*list, id)
	slices.Sort(*list)
	return c
}
