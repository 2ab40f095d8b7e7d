package coretest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gamutdb/gamut/core"
)

// Packet is a message on its way.
type Packet struct {
	From, To core.ReplicaID
	Message  core.Message
}

// Of says that the packet is from a replica or to it.
func (p Packet) Of(id core.ReplicaID) bool { return p.From == id || p.To == id }

// link is the way of messages from one replica to another.
type link struct{ from, to core.ReplicaID }

// Linked says that messages from one replica reach the other.
func (c *Cluster[R]) Linked(from, to core.ReplicaID) bool { return !c.cut[link{from, to}] }

// Cut parts a replica from all others that there are: no message leaves to it or from it. Those on their way stay there.
func (c *Cluster[R]) Cut(id core.ReplicaID) {
	if c.cut == nil {
		c.cut = map[link]bool{}
	}
	for _, m := range c.Members {
		if m.ID != id {
			c.cut[link{id, m.ID}], c.cut[link{m.ID, id}] = true, true
		}
	}
}

// Heal links all replicas again.
func (c *Cluster[R]) Heal() { clear(c.cut) }

// Drop loses messages on their way.
func (c *Cluster[R]) Drop(which func(Packet) bool) { c.Network = slices.DeleteFunc(c.Network, which) }

// Deliver hands over the oldest message that matches; false: there is none.
func (c *Cluster[R]) Deliver(match func(Packet) bool) bool {
	at := slices.IndexFunc(c.Network, match)
	if at < 0 {
		return false
	}
	p := c.Network[at]
	c.Network = slices.Delete(c.Network, at, at+1)
	c.Arrive(p)
	return true
}

// Arrive hands over a message, which passes through its encoding. A replica that is down does not hear it.
func (c *Cluster[R]) Arrive(p Packet) {
	message, err := c.Decode(p.Message.AppendTo(nil))
	if err != nil {
		panic(fmt.Sprintf("%T cannot be decoded: %v", p.Message, err))
	}
	c.Step(c.Member(p.To), core.Received{From: p.From, Message: message})
}

// KindOf names a message by its type.
func KindOf(m core.Message) string {
	name := fmt.Sprintf("%T", m)
	return name[strings.LastIndexByte(name, '.')+1:]
}

// Match understands "A->B [KIND]", the kind in any case of letters.
func (c *Cluster[R]) Match(words []string) func(Packet) bool {
	from, to, ok := strings.Cut(words[0], "->")
	if !ok {
		panic("not A->B: " + words[0])
	}
	a, b := c.At(from).ID, c.At(to).ID
	return func(p Packet) bool {
		return p.From == a && p.To == b && (len(words) == 1 || strings.EqualFold(KindOf(p.Message), words[1]))
	}
}
