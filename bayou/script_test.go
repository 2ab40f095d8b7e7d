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
//	start N [keep=N] [log=BYTES] [chunk=BYTES]   N replicas, connected
//	put R S K V, add R S K N, del R S K, get R S K [LEVEL]   a command of session S at replica R
//	around               tick all and settle, three times, 1.5 s apart
//	crash R, restart R, cut R..., heal           break and make R's connections, too
//	damage R from POS    lose the records from POS on
//	catalog EPOCH R,... [leaving=R,...] [to=R,...]   the catalog's word on the members, to all or some; new ones are started
//	status, state R K, moved R EPOCH
func TestScripts(t *testing.T) {
	coretest.Scripts(t, Mutations(), func(m Mutation) coretest.Player { return &script{mutation: m} })
}

// script plays statements on a cluster.
type script struct {
	mutation Mutation
	c        *cluster
}

func (s *script) Said() string { return s.c.Said() }

func (s *script) Run(statement string, args []string) {
	c := s.c
	switch statement {
	case "start":
		s.start(args)
	case "put", "add", "del", "get":
		s.ask(statement, args)
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
		s.catalog(args)
	case "moved":
		c.Say("%s: %t", args[0], c.At(args[0]).Replica.Moved(uint64(coretest.Number(args[1]))))
	case "status", "state":
		s.report(statement, args)
	default:
		c.Run(statement, args)
	}
}

func (s *script) start(args []string) {
	options := Options{Mutation: s.mutation, KeepWrites: 1000}
	for _, a := range args[1:] {
		name, value, _ := strings.Cut(a, "=")
		switch name {
		case "keep":
			options.KeepWrites = uint64(coretest.Number(value))
		case "log":
			options.LogBytes = uint64(coretest.Number(value))
		case "chunk":
			options.ChunkBytes = coretest.Number(value)
		default:
			panic("no such option: " + a)
		}
	}
	s.c = newCluster(coretest.Number(args[0]), options)
}

func (s *script) catalog(args []string) {
	word := &Config{Binding: 77, Epoch: uint64(coretest.Number(args[0])), Members: ids(args[1]), Last: core.ReplicaID(len(s.c.Members))}
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
	s.c.tell(word, to)
}

func ids(list string) (all []core.ReplicaID) {
	for _, word := range strings.Split(list, ",") {
		all = append(all, core.ReplicaID(coretest.Number(word)))
	}
	return all
}

func (s *script) ask(statement string, args []string) {
	o := kv.Op{Key: []byte(args[2])}
	var level kv.Level
	switch statement {
	case "put":
		o.Kind, o.Value = kv.OpSet, []byte(args[3])
	case "add":
		o.Kind, o.Delta = kv.OpIncr, int64(coretest.Number(args[3]))
	case "del":
		o.Kind = kv.OpDelete
	case "get":
		o.Kind = kv.OpGet
		if len(args) > 3 {
			level, _ = kv.ParseLevel(args[3])
		}
	}
	s.c.ask(s.c.At(args[0]), args[1], kv.Command{Level: level, Ops: []kv.Op{o}})
}

func (s *script) report(statement string, args []string) {
	c := s.c
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
			if len(st.Members) != len(s.c.founders) || !slices.Equal(st.Members, s.c.founders) {
				text += fmt.Sprintf(", members %d", st.Members)
			}
			c.Say("%s", text)
		}
		return
	}
	b, ok := s.c.At(args[0]).State.Get(dataKey([]byte(args[1])))
	if !ok {
		c.Say("%s: %s is not there", args[0], args[1])
		return
	}
	rec := mustDecodeRecord(nil, b)
	value, shown := rec.show(0)
	c.Say("%s: %s = %q %t, base %v gone %t, %d runs", args[0], args[1], value, shown, rec.base, rec.gone, len(rec.runs))
}
