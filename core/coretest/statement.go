package coretest

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gamutdb/gamut/core"
)

// Run plays a statement that scripts of all protocols may have. A protocol's own player takes its own statements first, and hands
// the rest to Run. A mistake in a script panics.
//
//	tick R [D]             pass D, then tick R                     pass D       pass time for all
//	clock R D              R's clock runs D ahead from now on
//	sync R...              make durable what R wrote; begin R and end R do it in two steps
//	settle                 deliver and sync until all rests
//	deliver A->B [KIND]    hand over all, or all of a kind         drop, twice  lose them; deliver each and keep it
//	aside NAME A->B [KIND] delay messages until "back NAME"        network      what is on its way
//	cut R..., heal         no messages from or to R                down A B, up A B   A's connection to B broke, or is there
//	crash R, restart R, flush R (the state, to disk)
//	handoff A to B         ask A to hand over
//	unfit R, reluctant R, fit R   what R's node says of itself
func (c *Cluster[R]) Run(statement string, args []string) {
	switch statement {
	case "tick":
		c.Now += Duration(args[1:])
		c.Step(c.At(args[0]), core.Tick{})
	case "pass":
		c.Now += Duration(args)
	case "clock":
		c.At(args[0]).Ahead = Duration(args[1:])
	case "settle":
		c.Settle()
	case "sync", "begin", "end", "crash", "restart", "flush", "unfit", "reluctant", "fit":
		for _, a := range args {
			c.runMember(statement, c.At(a))
		}
	case "cut", "heal", "network", "back", "aside", "deliver", "twice", "drop":
		c.runNetwork(statement, args)
	case "handoff":
		c.Step(c.At(args[0]), core.Handoff{To: c.At(args[2]).ID})
	case "down":
		c.Step(c.At(args[0]), core.PeerDown{Peer: c.At(args[1]).ID})
	case "up":
		c.Step(c.At(args[0]), core.PeerUp{Peer: c.At(args[1]).ID})
	default:
		panic("no such statement: " + statement)
	}
}

func (c *Cluster[R]) runMember(statement string, m *Member[R]) {
	switch statement {
	case "sync":
		c.Sync(m)
	case "begin":
		c.Begin(m)
	case "end":
		c.End(m)
	case "crash":
		c.Crash(m)
	case "restart":
		c.Restart(m)
	case "flush":
		m.Flush()
	default:
		m.Unfit, m.Reluctant = statement == "unfit", statement == "reluctant"
	}
}

func (c *Cluster[R]) runNetwork(statement string, args []string) {
	switch statement {
	case "cut":
		for _, a := range args {
			id := c.At(a).ID
			c.Cut(id)
			c.Drop(func(p Packet) bool { return p.Of(id) })
		}
	case "heal":
		c.Heal()
	case "network":
		describe := c.Message
		if describe == nil {
			describe = KindOf
		}
		for _, p := range c.Network {
			c.Say("%d->%d %s", p.From, p.To, describe(p.Message))
		}
	case "back":
		c.Network = append(c.Network, c.aside[args[0]]...)
		delete(c.aside, args[0])
	case "aside":
		if c.aside == nil {
			c.aside = map[string][]Packet{}
		}
		match := c.Match(args[1:])
		c.aside[args[0]] = append(c.aside[args[0]], c.some(args[1:])...)
		c.Drop(match)
	default:
		c.runDelivery(statement, args)
	}
}

func (c *Cluster[R]) runDelivery(statement string, args []string) {
	match, list := c.Match(args), c.some(args)
	if statement == "drop" {
		c.Drop(match)
		return
	}
	for range list {
		c.Deliver(match)
	}
	if statement == "twice" {
		c.Network = append(c.Network, list...)
	}
}

// some are the messages that match; a script that names none is wrong.
func (c *Cluster[R]) some(words []string) []Packet {
	match := c.Match(words)
	list := slices.DeleteFunc(slices.Clone(c.Network), func(p Packet) bool { return !match(p) })
	if len(list) == 0 {
		panic("no such message: " + strings.Join(words, " "))
	}
	return list
}

// Number reads a word of a statement.
func Number(word string) int {
	n, err := strconv.Atoi(word)
	if err != nil {
		panic(err)
	}
	return n
}

// Duration reads the first of the words, as time.ParseDuration does; none is no time.
func Duration(words []string) core.Time {
	if len(words) == 0 {
		return 0
	}
	d, err := time.ParseDuration(words[0])
	if err != nil {
		panic(err)
	}
	return core.Time(d)
}
