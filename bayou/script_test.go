package bayou

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// TestScripts plays the situations of testdata. A script whose opening paragraph has a line "# Caught: NAME" is played
// again with that mutation, and must then end otherwise.
//
// Commands, one per line; what happened is printed below:
//
//	start N [keep=N] [log=BYTES] [chunk=BYTES]   N replicas, connected
//	put R S K V, add R S K N, del R S K, get R S K [LEVEL]   a command of session S at replica R
//	sync R...            make durable what R wrote
//	settle               deliver and sync until all rests
//	deliver A->B [KIND]  hand over all, or all of a kind         drop  lose them      network  what is on its way
//	cut R..., heal       no messages from or to R                pass D       pass time for all
//	tick R [D]           pass D, then tick R                     around [D]   tick all and settle, three times
//	clock R D            set the clock of R by D
//	crash R, restart R, flush R (the state, to disk)             damage R from POS   lose the records from POS on
//	catalog EPOCH R,... [leaving=R,...] [to=R,...]   the catalog's word on the members, to all or some; new ones are started
//	status, state R K, moved R EPOCH
func TestScripts(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) { playScript(t, path) })
	}
}

type scriptStep struct{ command, expected string }

func playScript(t *testing.T, path string) {
	var steps []scriptStep
	s := &script{}
	datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
		line := d.Cmd
		if d.Input != "" {
			line += "\n" + d.Input
		}
		steps = append(steps, scriptStep{line, d.Expected})
		got, failed := s.play(line)
		if failed != nil {
			t.Fatalf("%s: %s: %v", d.Pos, line, failed)
		}
		return got
	})
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		if name, ok := strings.CutPrefix(line, "# Caught: "); ok {
			t.Run("mutation "+name, func(t *testing.T) { mustDiffer(t, steps, mutationNamed(t, name)) })
		}
	}
}

func mutationNamed(t *testing.T, name string) Mutation {
	for _, m := range Mutations() {
		if m.String() == name {
			return m
		}
	}
	t.Fatalf("no mutation is called %q", name)
	return NoMutation
}

// mustDiffer plays recorded steps with a planted bug, which may panic.
func mustDiffer(t *testing.T, steps []scriptStep, mutation Mutation) {
	s := &script{mutation: mutation}
	for _, step := range steps {
		if got, failed := s.play(step.command); failed != nil || got != step.expected {
			return
		}
	}
	t.Errorf("the script ends the same with the bug %q", mutation)
}

// script plays commands on a cluster.
type script struct {
	mutation Mutation
	c        *cluster
}

// play runs the lines of one step. A failure is a broken invariant or a mistake in the script.
func (s *script) play(lines string) (got string, failed any) {
	defer func() { failed = recover() }()
	for _, line := range strings.Split(lines, "\n") {
		if words := strings.Fields(line); len(words) > 0 && words[0] != "do" {
			s.run(words[0], words[1:])
		}
	}
	got = s.c.out.String()
	s.c.out.Reset()
	if got == "" {
		got = "ok\n"
	}
	return got, nil
}

func (s *script) run(command string, args []string) {
	c := s.c
	switch command {
	case "start":
		s.start(args)
	case "put", "add", "del", "get":
		s.submit(command, args)
	case "sync":
		for _, a := range args {
			c.sync(s.at(a))
		}
	case "settle":
		c.settle()
	case "deliver", "drop", "network", "cut", "heal":
		s.runNetwork(command, args)
	case "pass":
		c.now += duration(args)
	case "tick":
		c.now += duration(args[1:])
		c.step(s.at(args[0]), core.Tick{})
	case "around":
		for range 3 {
			c.now += 1500 * millisecond
			for _, m := range c.members {
				c.step(m, core.Tick{})
			}
			c.settle()
		}
	case "clock":
		s.at(args[0]).skew += duration(args[1:])
	case "crash":
		c.crash(s.at(args[0]))
	case "restart":
		c.restart(s.at(args[0]))
	case "flush":
		s.at(args[0]).flush()
	case "damage":
		m := s.at(args[0])
		from := m.replicaFirst() + uint64(number(args[2]))
		m.damaged = true
		m.durable = slices.DeleteFunc(m.durable, func(r core.Record) bool { return r.Pos >= from })
	case "catalog":
		s.catalog(args)
	case "moved":
		c.say("%s: %t", args[0], s.at(args[0]).replica.Moved(uint64(number(args[1]))))
	case "status", "state":
		s.report(command, args)
	default:
		panic("no such command: " + command)
	}
}

func (s *script) start(args []string) {
	options := Options{Mutation: s.mutation, KeepWrites: 1000}
	for _, a := range args[1:] {
		name, value, _ := strings.Cut(a, "=")
		switch name {
		case "keep":
			options.KeepWrites = uint64(number(value))
		case "log":
			options.LogBytes = uint64(number(value))
		case "chunk":
			options.ChunkBytes = number(value)
		default:
			panic("no such option: " + a)
		}
	}
	s.c = newCluster(number(args[0]), options)
}

func (s *script) catalog(args []string) {
	word := &Config{Binding: 77, Epoch: uint64(number(args[0])), Members: ids(args[1]), Last: core.ReplicaID(len(s.c.members))}
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
		all = append(all, core.ReplicaID(number(word)))
	}
	return all
}

func (s *script) submit(command string, args []string) {
	o := kv.Op{Key: []byte(args[2])}
	var level kv.Level
	switch command {
	case "put":
		o.Kind, o.Value = kv.OpSet, []byte(args[3])
	case "add":
		o.Kind, o.Delta = kv.OpIncr, int64(number(args[3]))
	case "del":
		o.Kind = kv.OpDelete
	case "get":
		o.Kind = kv.OpGet
		if len(args) > 3 {
			level, _ = kv.ParseLevel(args[3])
		}
	}
	s.c.submit(s.at(args[0]), args[1], kv.Command{Level: level, Ops: []kv.Op{o}})
}

func (s *script) runNetwork(command string, args []string) {
	c := s.c
	switch command {
	case "cut":
		for _, a := range args {
			id := s.at(a).id
			for _, m := range c.members {
				if m.id == id {
					continue
				}
				c.cut[[2]core.ReplicaID{id, m.id}], c.cut[[2]core.ReplicaID{m.id, id}] = true, true
				c.step(m, core.PeerDown{Peer: id})
				c.step(s.at(a), core.PeerDown{Peer: m.id})
			}
			c.network = slices.DeleteFunc(c.network, func(p packet) bool { return p.from == id || p.to == id })
		}
		return
	case "heal":
		clear(c.cut)
		c.connect()
		return
	case "network":
		for _, p := range c.network {
			c.say("%d->%d %s", p.from, p.to, p.message)
		}
		return
	}
	from, to, _ := strings.Cut(args[0], "->")
	a, b := s.at(from).id, s.at(to).id
	match := func(p packet) bool {
		kind := strings.TrimPrefix(fmt.Sprintf("%T", p.message), "bayou.")
		return p.from == a && p.to == b && (len(args) == 1 || strings.EqualFold(kind, args[1]))
	}
	n := len(slices.DeleteFunc(slices.Clone(c.network), func(p packet) bool { return !match(p) }))
	if n == 0 {
		panic("no such message: " + strings.Join(args, " "))
	}
	if command == "drop" {
		c.network = slices.DeleteFunc(c.network, match)
		return
	}
	for range n {
		c.deliver(match)
	}
}

func (s *script) report(command string, args []string) {
	c := s.c
	if command == "status" {
		for _, m := range c.members {
			if m.replica == nil {
				c.say("%d is down", m.id)
				continue
			}
			st := m.replica.Status()
			text := fmt.Sprintf("%d holds %v, log %d", m.id, st.Vector, st.LogCount)
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
			c.say("%s", text)
		}
		return
	}
	b, ok := s.at(args[0]).state.Get(dataKey([]byte(args[1])))
	if !ok {
		c.say("%s: %s is not there", args[0], args[1])
		return
	}
	rec := mustDecodeRecord(nil, b)
	value, shown := rec.show(0)
	c.say("%s: %s = %q %t, base %v gone %t, %d runs", args[0], args[1], value, shown, rec.base, rec.gone, len(rec.runs))
}

func (s *script) at(word string) *member { return s.c.member(core.ReplicaID(number(word))) }

func number(word string) int {
	n, err := strconv.Atoi(word)
	if err != nil {
		panic(err)
	}
	return n
}

func duration(words []string) core.Time {
	if len(words) == 0 {
		return 0
	}
	d, err := time.ParseDuration(words[0])
	if err != nil {
		panic(err)
	}
	return core.Time(d)
}
