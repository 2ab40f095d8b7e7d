package bayou

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/coretest"
	"github.com/gamutdb/gamut/kv"
)

// TestScripts plays the situations of testdata. Statements, beside those of coretest.Cluster.Run:
//
//	start N [siblings] [keep=N] [log=BYTES] [chunk=BYTES]   N replicas, connected
//	put R S K V, add R S K N, del R S K, get R S K [LEVEL]   a command of session S at replica R
//	include R S K V, exclude R S K V, members R S K          the same on a set
//	keep R S K V [NAME], values R S K [NAME]     a value beside others, with the context of the read of that name
//	around               tick all and settle, three times, 1.5 s apart
//	crash R, restart R, cut R..., heal           break and make R's connections, too
//	damage R from POS    lose the records from POS on
//	catalog EPOCH R,... [leaving=R,...] [to=R,...]   the catalog's word on the members, to all or some; new ones are started
//	status, state R K, moved R EPOCH
//
// In a group with a commit order, which "start N ordered" makes:
//
//	append R S K V, put R S K V LEVEL, wait R S      wait until all that the session wrote is committed
//	book R S NAME ROOM...  put NAME at the first room that is free
//	merge R S HOW K V      put V at K if that is missing, else merge
//	decide R [lost]      the companion executes what R has asked; the answer is lost
//	lose N               the companion loses cut N, as when an operator gives up the majority that held it
//	order                how far each replica is
func TestScripts(t *testing.T) {
	coretest.Scripts(t, Mutations(), start)
}

// start makes the cluster of a script.
func start(mutation Mutation, args []string) coretest.Player {
	options, siblings, ordered := Options{Mutation: mutation, KeepWrites: 1000}, false, false
	for _, a := range args[1:] {
		name, value, _ := strings.Cut(a, "=")
		switch name {
		case "siblings":
			siblings = true
		case "keep":
			options.KeepWrites = uint64(coretest.Number(value))
		case "log":
			options.LogBytes = uint64(coretest.Number(value))
		case "chunk":
			options.ChunkBytes = coretest.Number(value)
		case "step":
			options.CommitMax = coretest.Number(value)
		case "ordered":
			ordered = true
		default:
			panic("no such option: " + a)
		}
	}
	return newClusterOf(coretest.Number(args[0]), Config{Siblings: siblings, Ordered: ordered}, options)
}

// Run implements coretest.Player.
func (c *cluster) Run(statement string, args []string) {
	switch statement {
	case "put", "add", "del", "get", "include", "exclude", "members", "keep", "values", "append", "wait":
		c.runClient(statement, args)
	case "around":
		for range 3 {
			c.Now += 1500 * millisecond
			for _, m := range c.Members {
				c.Step(m, core.Tick{})
			}
			c.Settle()
		}
	case "crash":
		c.Crash(c.At(args[0]))
	case "restart":
		c.Restart(c.At(args[0]))
	case "cut":
		for _, a := range args {
			c.part(c.At(a))
		}
	case "heal":
		c.Heal()
		c.connect()
	case "damage":
		m := c.At(args[0])
		from := firstPosOf(m) + uint64(coretest.Number(args[2]))
		m.Damaged = true
		m.Lose(func(r core.Record) bool { return r.Pos >= from })
	case "catalog":
		c.catalog(args)
	case "moved":
		c.Say("%s: %t", args[0], c.At(args[0]).Replica.Moved(uint64(coretest.Number(args[1]))))
	case "book", "merge":
		c.runMerge(statement, args)
	case "decide":
		c.decide(c.At(args[0]), len(args) > 1 && args[1] == "lost")
	case "lose":
		c.companion.lose(uint64(coretest.Number(args[0])))
	case "order":
		c.reportOrder()
	case "status", "state":
		c.report(statement, args)
	default:
		c.Cluster.Run(statement, args)
	}
}

func (c *cluster) catalog(args []string) {
	word := &Config{Binding: 77, Epoch: uint64(coretest.Number(args[0])), Members: ids(args[1]), Last: core.ReplicaID(len(c.Members))}
	word.Last = max(word.Last, slices.Max(word.Members))
	to := make([]core.ReplicaID, word.Last)
	for i := range to {
		to[i] = core.ReplicaID(i + 1)
	}
	for _, a := range args[2:] {
		switch name, value, _ := strings.Cut(a, "="); name {
		case "leaving":
			word.Leaving = ids(value)
		case "to":
			to = ids(value)
		}
	}
	c.tell(word, to)
}

func ids(list string) (all []core.ReplicaID) {
	for _, word := range strings.Split(list, ",") {
		all = append(all, core.ReplicaID(coretest.Number(word)))
	}
	return all
}

func (c *cluster) runClient(statement string, args []string) {
	if statement == "wait" {
		c.askIn(c.At(args[0]), args[1], kv.Command{Level: kv.LevelCommitted, Ops: []kv.Op{{}}})
		return
	}
	o := kv.Op{Key: []byte(args[2])}
	command := kv.Command{}
	switch statement {
	case "include", "exclude":
		o.Kind, o.Value = kv.OpInclude, []byte(args[3])
		if statement == "exclude" {
			o.Kind = kv.OpExclude
		}
	case "members":
		o.Kind = kv.OpMembers
	case "keep":
		o.Kind, o.Value = kv.OpSet, []byte(args[3])
		if len(args) > 4 {
			command.Context = c.contexts[args[4]]
		}
	case "values":
		o.Kind = kv.OpSiblings
		if len(args) > 3 {
			c.contextOf[c.Requests+1] = args[3]
		}
	case "put", "append":
		if o.Kind, o.Value = kv.OpSet, []byte(args[3]); statement == "append" {
			o.Kind = kv.OpAppend
		}
		if len(args) > 4 {
			command.Level, _ = kv.ParseLevel(args[4])
		}
	case "add":
		o.Kind, o.Delta = kv.OpIncr, int64(coretest.Number(args[3]))
	case "del":
		o.Kind = kv.OpDelete
	case "get":
		o.Kind = kv.OpGet
		if len(args) > 3 {
			command.Level, _ = kv.ParseLevel(args[3])
		}
	}
	command.Ops = []kv.Op{o}
	c.askIn(c.At(args[0]), args[1], command)
}

func (c *cluster) report(statement string, args []string) {
	if statement == "status" {
		for _, m := range c.Members {
			if m.Replica == nil {
				c.Say("%d is down", m.ID)
				continue
			}
			st := m.Replica.Status()
			text := fmt.Sprintf("%d holds %v, log %d", m.ID, st.Vector, st.LogCount)
			if len(st.Dropped) > 0 {
				text += fmt.Sprintf(" without %v", st.Dropped)
			}
			if st.Suspect {
				text += ", suspect"
			}
			if st.Joining {
				text += ", joining"
			}
			if st.Leaving {
				text += ", leaving"
			}
			if len(st.Members) != len(c.founders) || !slices.Equal(st.Members, c.founders) {
				text += fmt.Sprintf(", members %d", st.Members)
			}
			c.Say("%s", text)
		}
		return
	}
	b, ok := c.At(args[0]).State.Get(dataKey([]byte(args[1])))
	if !ok {
		c.Say("%s: %s is not there", args[0], args[1])
		return
	}
	rec := mustDecodeRecord(nil, b)
	value, shown := rec.show(0)
	text := ""
	for _, p := range rec.parts {
		text += fmt.Sprintf(", %q by %v", p.value, p.Dot)
	}
	c.Say("%s: %s = %q %t, base %v gone %t, %d runs%s", args[0], args[1], value, shown, rec.base, rec.gone, len(rec.runs), text)
}
