package host

import (
	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// Companion is a group that the replica of another one may consult: its commands go there as those of a client of this node do,
// and the answers come back to it as events. It never hears of who asks, so the data flow one way.
type Companion struct {
	Group core.GroupID
	// Nodes are its members, for a node that has no replica of it.
	Nodes []core.NodeID
}

// consultWithin bounds how long a replica waits for its companion, in nanoseconds.
const consultWithin = core.Time(5e9)

// consulted is an answer on its way to the replica that asked.
type consulted struct {
	slot   *slot
	result kv.Result
}

// SetCompanion says which group the replica of a group may consult.
func (h *Host) SetCompanion(g core.GroupID, c Companion) {
	if s := h.index[g]; s != nil {
		s.companion = c
	}
}

// consult sends a replica's question like a client's command. There is one for each group at most, so that no bound is asked for.
func (h *Host) consult(s *slot, encoded []byte) {
	h.route(h.requests.add(pending{asker: s, command: Command{Group: s.companion.Group, Encoded: encoded, Again: true,
		Nodes: s.companion.Nodes, Deadline: h.now.Mono + consultWithin}}))
}

// handConsulted hands over the answers of companions. They wait until here: Step must not nest.
func (h *Host) handConsulted() {
	queue := h.consulted
	h.consulted = nil
	for i := range queue {
		if s := queue[i].slot; h.index[s.group] == s {
			h.step(s, core.Consulted{Result: queue[i].result})
		}
	}
	clear(queue)
	h.consulted = append(queue[:0], h.consulted...)
}
