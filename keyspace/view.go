package keyspace

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/twophase"
)

const (
	viewPrefix  = "views/"
	leasePrefix = "leases/"
	// historyMax bounds the changes that a view's record tells of.
	historyMax = 16
)

// LeaseKeys and LeaseKeysEnd bound the keys of node leases.
var LeaseKeys, LeaseKeysEnd = []byte(leasePrefix), []byte("leases0")

// ViewKey is where the catalog holds the view of a group.
func ViewKey(g core.GroupID) []byte { return strconv.AppendUint([]byte(viewPrefix), uint64(g), 10) }

// LeaseKey is where the catalog holds the lease of a node.
func LeaseKey(node core.NodeID) []byte {
	return strconv.AppendUint([]byte(leasePrefix), uint64(node), 10)
}

// LeaseNode is the node whose lease is at a key.
func LeaseNode(key []byte) (core.NodeID, bool) {
	digits, ok := strings.CutPrefix(string(key), leasePrefix)
	id, err := strconv.ParseUint(digits, 10, 32)
	return core.NodeID(id), ok && err == nil
}

// View is what the catalog says of the members of a group that does not decide on them itself.
type View struct {
	// Config is the group's configuration, in its protocol's encoding.
	Config []byte `json:"config"`
	// Next is announced to follow, and leaves out members who may still count themselves among the group; none: nothing is.
	Next []byte `json:"next,omitempty"`
	// History tells of the latest changes, oldest first.
	History []kv.ViewChange `json:"history,omitempty"`
}

// Roster is what a configuration says.
type Roster struct {
	Epoch       uint64
	Coordinator core.ReplicaID
	// Members hold everything; Joiners are given everything and are not counted yet.
	Members, Joiners []core.ReplicaID
}

// DecodeRoster reads a configuration of a group whose view the catalog holds.
func DecodeRoster(config []byte) (Roster, error) {
	c, err := twophase.DecodeConfig(config)
	if err != nil {
		return Roster{}, fmt.Errorf("decode view: %w", err)
	}
	return Roster{Epoch: c.Epoch, Coordinator: c.Coordinator, Members: c.Members, Joiners: c.Joiners}, nil
}

// Without are the members that a configuration which follows this one leaves out.
func (m *Roster) Without(next *Roster) (left []core.ReplicaID) {
	for _, id := range m.Members {
		if !slices.Contains(next.Members, id) {
			left = append(left, id)
		}
	}
	return left
}

// Follows says what is wrong with a configuration as the one after m: members come from the members and joiners of the last view
// alone, for nobody else holds what it held, and there is always one (trap T2.13).
func (m *Roster) Follows(next *Roster) error {
	known := func(id core.ReplicaID) bool { return slices.Contains(m.Members, id) || slices.Contains(m.Joiners, id) }
	switch {
	case next.Epoch != m.Epoch+1:
		return fmt.Errorf("epoch %d does not follow epoch %d", next.Epoch, m.Epoch)
	case len(next.Members) == 0 || !slices.Contains(next.Members, next.Coordinator):
		return fmt.Errorf("replica %d coordinates and is none of the members %v", next.Coordinator, next.Members)
	case !slices.ContainsFunc(next.Members, func(id core.ReplicaID) bool { return slices.Contains(m.Members, id) }):
		return fmt.Errorf("the members %v have none of the members of before, %v", next.Members, m.Members)
	}
	for _, id := range next.Members {
		if !known(id) {
			return fmt.Errorf("replica %d was neither a member nor a joiner", id)
		}
	}
	return nil
}

// Lets says what is wrong with a change of the view of a shard's group: who comes is a replica of the shard that is to stay, and who
// goes is to leave, and is missed by nobody, since all that are to stay are members. A view and its shard's descriptor are two records
// of the catalog; each is written under the condition that the other one is as it was read, so whoever is in the view is a replica
// of the shard, and a node that goes by an older word brings nobody back.
func (s *Shard) Lets(from, next *Roster) error {
	before, after := slices.Concat(from.Members, from.Joiners), slices.Concat(next.Members, next.Joiners)
	for _, id := range after {
		if !slices.Contains(before, id) && !slices.Contains(s.ends(), id) {
			return fmt.Errorf("replica %d is none of those that are to stay, %v", id, s.ends())
		}
	}
	for _, id := range before {
		switch {
		case slices.Contains(after, id):
		case slices.Contains(s.ends(), id):
			return fmt.Errorf("replica %d is to stay", id)
		case slices.Contains(from.Members, id) && !s.Reached(&Roster{Members: next.Members}):
			return fmt.Errorf("replica %d is to go when all of %v are members", id, s.Target)
		}
	}
	return nil
}

// Reached says that the members of the view are those that are left when the change under way is over, and no one else is in it.
func (s *Shard) Reached(view *Roster) bool {
	ends := s.ends()
	slices.Sort(ends)
	return slices.Equal(ends, slices.Sorted(slices.Values(view.Members))) && len(view.Joiners) == 0
}

// ends are the replicas that the shard has in the end.
func (s *Shard) ends() (ids []core.ReplicaID) {
	for _, m := range s.Ends() {
		ids = append(ids, m.Replica)
	}
	return ids
}

// Atomic reports whether the catalog decides who the members of such a keyspace's groups are.
func Atomic(c kv.Consistency) bool { return c == kv.Atomic }

// FirstViews are the views that a keyspace's groups begin with, by key; none: its groups decide on their members themselves.
func (d *Descriptor) FirstViews(cluster [16]byte, o Options) (keys, values [][]byte) {
	if !Atomic(d.Consistency) {
		return nil, nil
	}
	for i := range d.Shards {
		keys = append(keys, ViewKey(d.Shards[i].Group))
		values = append(values, (&View{Config: d.FirstConfig(cluster, i, o)}).Encode())
	}
	return keys, values
}

// Encode is the view's value in the catalog.
func (v *View) Encode() []byte { return mustJSON(v) }

// DecodeView reads what Encode wrote.
func DecodeView(b []byte) (*View, error) {
	var v View
	if err := json.Unmarshal(b, &v); err != nil {
		return nil, fmt.Errorf("decode view: %w", err)
	}
	return &v, nil
}

// Changed is the view with another configuration, and a word about the change in its history.
func (v *View) Changed(config []byte, change kv.ViewChange) *View {
	history := append(slices.Clone(v.History), change)
	return &View{Config: config, History: history[max(0, len(history)-historyMax):]}
}

// Leave is the configuration that follows when a member leaves of its own accord, to be filled when it is back; nil: it should stay.
// A majority of the replicas stays in the view: if all nodes stop one after the other, the last one must not be left as
// the only one that can begin again.
func Leave(config []byte, id core.ReplicaID) []byte {
	c, err := twophase.DecodeConfig(config)
	replicas := len(c.Members) + len(c.Joiners)
	stay := slices.DeleteFunc(slices.Clone(c.Members), func(other core.ReplicaID) bool { return other == id })
	if err != nil || len(stay) == len(c.Members) || c.Coordinator == id || len(stay) < max(replicas/2+1, c.MinMembers) {
		return nil
	}
	c.Epoch++
	c.Members, c.Joiners = stay, append(c.Joiners, id)
	return c.AppendTo(nil)
}
