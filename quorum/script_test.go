package quorum

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
//	start N [atomic] [client-stamps] [hints=BYTES]   N replicas that never ran, all connected
//	put R K V [LEVEL] [at=MS]  del R K [LEVEL]  get R K [LEVEL]  scan R [LEVEL]   what a client asks of R
//	tick R [D]   pass D, then tick R       run D   let all tick, deliver and sync for D       pass D
//	sync R...    make durable what R wrote  settle  deliver and sync until all rests
//	deliver A->B [KIND]    hand over all, or all of a kind         drop, twice  lose them; deliver each and keep it
//	aside NAME A->B [KIND] delay messages until "back NAME"        network      what is on its way
//	down A B, up A B       A's connection to B broke, or is there  clock R MS   R's wall clock is MS ahead
//	crash R, restart R, flush R (the state, to disk)               damage R     lose R's log and state; R will be suspect
//	repair R               ask R to conduct a repair
//	join R                 a replica that is no member yet starts, connected to all
//	configure E A,B [next=A,C [both]] R...   tell those R the catalog's word: epoch and members
//	ready                  which replicas would let the catalog take the next step
//	state K                what each replica shows for K           status       lines, hints and counts
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
		for _, a := range d.CmdArgs {
			line += " " + a.String()
		}
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
			t.Logf("%s\n%s%v", step.command, got, failed)
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
	case "put", "del", "get", "scan":
		s.ask(command, s.at(args[0]), args[1:])
	case "tick":
		c.now += duration(args[1:])
		c.step(s.at(args[0]), core.Tick{})
	case "run":
		c.run(duration(args))
	case "pass":
		c.now += duration(args)
	case "sync":
		for _, a := range args {
			c.sync(s.at(a))
		}
	case "settle":
		c.settle()
	case "deliver", "drop", "twice", "aside", "back", "network":
		s.runNetwork(command, args)
	case "down":
		c.step(s.at(args[0]), core.PeerDown{Peer: s.at(args[1]).id})
	case "up":
		c.step(s.at(args[0]), core.PeerUp{Peer: s.at(args[1]).id})
	case "clock":
		s.at(args[0]).ahead = int64(number(args[1]))
	case "crash", "restart", "flush", "damage", "repair":
		s.runReplica(command, s.at(args[0]))
	case "join":
		c.join(core.ReplicaID(number(args[0])))
	case "configure":
		s.configure(args)
	case "ready":
		for _, m := range c.members {
			if m.replica != nil {
				epoch, ok := m.replica.Ready()
				c.say("%d: epoch %d ready %t", m.id, epoch, ok)
			}
		}
	case "state", "status":
		s.report(command, args)
	default:
		panic("no such command: " + command)
	}
}

func (s *script) start(args []string) {
	config, options := Config{}, Options{Mutation: s.mutation, RepairLag: 100 * millisecond, RepairEvery: 3600 * 1000 * millisecond,
		EntropyEvery: 3600 * 1000 * millisecond}
	for _, a := range args[1:] {
		name, value, _ := strings.Cut(a, "=")
		switch name {
		case "atomic":
			config.Atomic = true
		case "client-stamps":
			config.ClientStamps = true
		case "hints":
			options.HintBytes = int64(number(value))
		case "purge-age": // for the mutation that has one
			options.RepairEvery = duration([]string{value})
		default:
			panic("no such option: " + a)
		}
	}
	s.c = newCluster(number(args[0]), config, options)
}

func (s *script) configure(args []string) {
	list := func(text string) (ids []core.ReplicaID) {
		for _, word := range strings.Split(text, ",") {
			ids = append(ids, core.ReplicaID(number(word)))
		}
		return ids
	}
	word := Config{Epoch: uint64(number(args[0])), Members: list(args[1])}
	for _, a := range args[2:] {
		if next, ok := strings.CutPrefix(a, "next="); ok {
			word.Next = list(next)
		} else if a == "both" {
			word.Both = true
		} else {
			s.c.configure(s.at(a), word)
		}
	}
}

func (s *script) ask(command string, m *member, words []string) {
	o := kv.Op{Kind: map[string]kv.OpKind{"put": kv.OpSet, "del": kv.OpDelete, "get": kv.OpGet, "scan": kv.OpScan}[command]}
	c := kv.Command{}
	if command != "scan" {
		o.Key, words = []byte(words[0]), words[1:]
	}
	if command == "put" {
		o.Value, words = []byte(words[0]), words[1:]
	}
	for _, w := range words {
		if ms, ok := strings.CutPrefix(w, "at="); ok {
			o.NewVersion = uint64(kv.HLCOf(int64(number(ms))))
			continue
		}
		var err error
		if c.Level, err = kv.ParseLevel(w); err != nil {
			panic(err)
		}
	}
	c.Ops = []kv.Op{o}
	s.c.submit(m, &c)
}

func (s *script) runNetwork(command string, args []string) {
	c := s.c
	switch command {
	case "network":
		for _, p := range c.network {
			c.say("%d->%d %s", p.from, p.to, kindOf(p.message))
		}
		return
	case "back":
		c.network = append(c.network, c.aside[args[0]]...)
		delete(c.aside, args[0])
		return
	}
	name := ""
	if command == "aside" {
		name, args = args[0], args[1:]
	}
	match := s.match(args)
	list := slices.DeleteFunc(slices.Clone(c.network), func(p packet) bool { return !match(p) })
	if len(list) == 0 {
		panic("no such message: " + strings.Join(args, " "))
	}
	switch command {
	case "deliver", "twice":
		for range list {
			c.deliver(match)
		}
		if command == "twice" {
			c.network = append(c.network, list...)
		}
		return
	case "aside":
		c.aside[name] = append(c.aside[name], list...)
	}
	c.network = slices.DeleteFunc(c.network, match)
}

// match understands "A->B [KIND]".
func (s *script) match(args []string) func(packet) bool {
	from, to, ok := strings.Cut(args[0], "->")
	if !ok {
		panic("not A->B: " + args[0])
	}
	a, b := s.at(from).id, s.at(to).id
	return func(p packet) bool {
		return p.from == a && p.to == b && (len(args) == 1 || strings.EqualFold(kindOf(p.message), args[1]))
	}
}

func (s *script) runReplica(command string, m *member) {
	c := s.c
	switch command {
	case "crash":
		c.crash(m)
	case "restart":
		c.restart(m)
	case "flush":
		m.flush()
	case "repair":
		c.step(m, core.Repair{})
		c.step(m, core.Tick{})
	case "damage":
		m.damaged, m.durable, m.state, m.flushed = true, nil, newMemoryState(), newMemoryState()
	}
}

func (s *script) report(command string, args []string) {
	c := s.c
	for _, m := range c.members {
		if m.replica == nil {
			c.say("%d is down", m.id)
			continue
		}
		if command == "state" {
			text := "nothing"
			if raw, ok := m.state.Get(append([]byte{DataKind}, args[0]...)); ok {
				text = describeRecord(raw)
			}
			c.say("%d: %s", m.id, text)
			continue
		}
		st := m.replica.Status()
		c.say("%d refuses below %d, purges below %d: %d keys, %d tombstones%s", m.id, st.RefuseBelow.UnixMilli(), st.PurgeBelow.UnixMilli(), st.Tally.Keys,
			st.Tally.Tombstones, describeDebts(&st))
	}
}

func describeDebts(st *Status) (s string) {
	for _, h := range st.Hints {
		s += fmt.Sprintf(", %d hints for %d", h.Count, h.Replica)
	}
	if len(st.Behind) > 0 {
		s += fmt.Sprintf(", behind: %v", st.Behind)
	}
	if st.Suspect {
		s += ", suspect"
	}
	if st.Repair != "" {
		s += ", " + st.Repair
	}
	if st.Change != "" {
		s += ", " + st.Change
	}
	return s
}

func describeRecord(raw []byte) string {
	r := mustDecode(raw)
	if r.Deleted {
		return "deleted at " + r.Stamp.String()
	}
	return fmt.Sprintf("%q at %s", r.Value, r.Stamp)
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

func kindOf(m core.Message) string { return strings.TrimPrefix(fmt.Sprintf("%T", m), "quorum.") }
