package maelstrom

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
)

// Types of the lines between nodes. Their bytes are the encodings that nodes use elsewhere.
const (
	typeMessage = "gamut_message"
	typeForward = "gamut_forward"
	typeReturn  = "gamut_return"
)

// parcel is what nodes say to each other.
type parcel struct {
	Type  string         `json:"type"`
	Group core.GroupID   `json:"group,omitempty"`
	From  core.ReplicaID `json:"from,omitempty"`
	To    core.ReplicaID `json:"to,omitempty"`
	ID    core.RequestID `json:"id,omitempty"`
	Read  bool           `json:"read,omitempty"`
	// Within is in nanoseconds.
	Within core.Time `json:"within,omitempty"`
	Bytes  []byte    `json:"bytes"`
}

// peer takes a line of another node. Maelstrom's network loses lines, and never makes one up.
func (n *node) peer(e envelope) error {
	from := core.NodeID(slices.Index(n.names, e.Src) + 1)
	var p parcel
	if err := json.Unmarshal(e.Body, &p); err != nil || from == 0 {
		return fmt.Errorf("a line of %s that no node writes: %.200q", e.Src, e.Body)
	}
	now := n.now()
	switch p.Type {
	case typeMessage:
		m, err := keyspace.DecodeMessage(kv.Linearizable, p.Bytes)
		if err != nil {
			return fmt.Errorf("a message of %s: %w", e.Src, err)
		}
		n.host.Receive(now, host.Envelope{Group: p.Group, From: p.From, To: p.To, Message: m})
	case typeForward:
		n.host.Forwarded(now, from, host.Forward{ID: p.ID, Group: p.Group, Encoded: p.Bytes, Read: p.Read, Within: p.Within})
	case typeReturn:
		var r kv.Result
		if _, err := kv.DecodeResult(p.Bytes, &r); err != nil {
			return fmt.Errorf("an answer of %s: %w", e.Src, err)
		}
		n.host.Returned(now, from, p.ID, r)
	}
	return nil
}

// Message is host.Port's.
func (n *node) Message(to core.NodeID, m host.Envelope) {
	n.send(n.names[to-1], parcel{Type: typeMessage, Group: m.Group, From: m.From, To: m.To, Bytes: m.Message.AppendTo(nil)})
}

// Forward is host.Port's.
func (n *node) Forward(to core.NodeID, f host.Forward) {
	n.send(n.names[to-1], parcel{Type: typeForward, ID: f.ID, Group: f.Group, Read: f.Read, Within: f.Within, Bytes: f.Encoded})
}

// Return is host.Port's.
func (n *node) Return(to core.NodeID, id core.RequestID, r kv.Result, _ bool) {
	n.send(n.names[to-1], parcel{Type: typeReturn, ID: id, Bytes: kv.AppendResult(nil, &r)})
}

// Configure is host.Port's: there is no catalog here, and no keyspace that asks one.
func (n *node) Configure(core.GroupID, host.Wish) {}

// Place is host.Port's: nothing is split here.
func (n *node) Place(uint64) host.Placement {
	return host.Placement{Refused: &kv.Result{Code: kv.Unavailable, Detail: "the keys were moved"}}
}

// Note is host.Port's. Maelstrom wants nothing on standard output but lines of its own.
func (n *node) Note(core.GroupID, core.Note) {}
