package twophase

import (
	"strings"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/coretest"
	"github.com/gamutdb/gamut/kv"
)

// TestScripts plays the situations of testdata. Statements, beside those of coretest.Cluster.Run:
//
//	start N [joiners=K] [min=M] [window=W] [refuse]   N members and K joiners that never ran; 1 coordinates
//	propose R CMD          set K V, incr K, del K, ending K V D (with D to live), create K V (if it is missing); mark: a checkpoint
//	read R K [eventual]    a read
//	damage R from N        lose the durable records of slots from N on, and what R obeyed; R will be suspect
//	forge R K V            another value for a key in R's state
//	grant R                the catalog takes R's wish               tell R...    R hears the catalog's word, as it does at a restart
//	lapse R..., lend R...  the lease of R's node ends, or is renewed
//	wake R D               R's node was paused for D, and now ticks
//	add                    one more replica, that no view knows yet
//	move R to V... [preferring V] [lost V...]   tell R that the group is to have these replicas, and whom nobody waits for any more
//	status, state R K, permit R...
func TestScripts(t *testing.T) {
	coretest.Scripts(t, Mutations(), start)
}

// start makes the cluster of a script.
func start(mutation Mutation, args []string) coretest.Player {
	config, options := Config{}, Options{Mutation: mutation, Window: 2}
	joiners := 0
	for _, a := range args[1:] {
		name, value, _ := strings.Cut(a, "=")
		switch name {
		case "joiners":
			joiners = coretest.Number(value)
		case "min":
			config.MinMembers = coretest.Number(value)
		case "window":
			options.Window = coretest.Number(value)
		case "refuse":
			options.Refuse = true
		default:
			panic("no such option: " + a)
		}
	}
	return newCluster(coretest.Number(args[0]), joiners, config, options)
}

// Run implements coretest.Player.
func (c *cluster) Run(statement string, args []string) {
	switch statement {
	case "propose":
		c.propose(c.At(args[0]), args[1:])
	case "read":
		q := kv.Command{Ops: []kv.Op{{Kind: kv.OpGet, Key: []byte(args[1])}}}
		if len(args) > 2 {
			q.Level = kv.LevelEventual
		}
		c.Ask(c.At(args[0]), &q)
	case "restart", "tell", "lapse", "lend", "permit":
		for _, a := range args {
			c.runMember(statement, c.At(a))
		}
	case "wake":
		m := c.At(args[0])
		m.Overdue = coretest.Duration(args[1:])
		c.Now += m.Overdue
		c.Step(m, core.Tick{})
		m.Overdue = 0
	case "add":
		c.add()
	case "move":
		c.move(c.At(args[0]), args[2:])
	case "grant":
		c.Say("the catalog: %s", c.grant(c.At(args[0])))
	case "damage":
		m, from := c.At(args[0]), uint64(coretest.Number(args[2]))
		m.Damaged = true
		m.Lose(func(r core.Record) bool { return r.Kind == recordHard || r.Pos >= from })
	case "forge":
		m, key := c.At(args[0]), append([]byte{'d'}, args[1]...)
		v, _ := m.State.Get(key)
		m.State.Pairs[string(key)] = append(v[:len(v)-1], args[2]...)
	case "status":
		for _, m := range c.Members {
			c.Say("%s", describeMember(m))
		}
	case "state":
		value := "missing"
		if v, ok := c.At(args[0]).State.Get(append([]byte{'d'}, args[1]...)); ok {
			value = describeRecord(v)
		}
		c.Say("%s: %s = %s", args[0], args[1], value)
	default:
		c.Cluster.Run(statement, args)
	}
}

// move reads who is to stay.
func (c *cluster) move(m *member, words []string) {
	var e core.Reconfigure
	list := &e.Voters
	for _, w := range words {
		switch w {
		case "preferring":
			list = nil
		case "lost":
			list = &e.Lost
		default:
			if list == nil {
				e.Preferred, list = c.At(w).ID, new([]core.ReplicaID)
				continue
			}
			*list = append(*list, c.At(w).ID)
		}
	}
	c.Step(m, e)
}

func (c *cluster) runMember(statement string, m *member) {
	switch statement {
	case "restart":
		c.Restart(m)
	case "tell":
		c.tell(m)
	case "lapse", "lend":
		if m.Lease = 0; statement == "lend" {
			m.Lease = forever
		}
		c.Step(m, core.Flush{})
	case "permit":
		c.Say("%d may be read: %t", m.ID, m.Replica.ReadUntil() > c.Now)
	}
}

func (c *cluster) propose(m *member, words []string) {
	if words[0] == "mark" {
		c.Mark(m)
		return
	}
	op := kv.Op{Key: []byte(words[1])}
	switch words[0] {
	case "set":
		op.Kind, op.Value = kv.OpSet, []byte(words[2])
	case "create":
		op.Kind, op.Value, op.When = kv.OpSet, []byte(words[2]), kv.IfAbsent
	case "ending":
		op.Kind, op.Value, op.Expiry, op.Expire = kv.OpSet, []byte(words[2]), kv.ExpireIn, int64(coretest.Duration(words[3:])/millisecond)
	case "incr":
		op.Kind, op.Delta = kv.OpIncr, 1
	case "del":
		op.Kind = kv.OpDelete
	default:
		panic("no such operation: " + words[0])
	}
	c.Ask(m, &kv.Command{Ops: []kv.Op{op}})
}
