package twophase

import (
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
//	start N [joiners=K] [min=M] [window=W] [refuse]   N members and K joiners that never ran; 1 coordinates
//	tick R [D]             pass D, then tick R                     pass D       pass time for all
//	propose R CMD          set K V, incr K, del K, ending K V D (with D to live), create K V (if it is missing); mark: a checkpoint
//	read R K [eventual]    a read                                  clock R D    R's clock runs D ahead from now on
//	sync R...              make durable what R wrote; begin R and end R do it in two steps
//	settle                 deliver and sync until all rests
//	deliver A->B [KIND]    hand over all, or all of a kind         drop, twice  lose them; deliver each and keep it
//	aside NAME A->B [KIND] delay messages until "back NAME"        network      what is on its way
//	cut R..., heal         no messages from or to R                crash R, restart R, flush R (the state, to disk)
//	damage R from N        lose the durable records of slots from N on, and what R obeyed; R will be suspect
//	forge R K V            another value for a key in R's state
//	grant R                the catalog takes R's wish               tell R...    R hears the catalog's word
//	lapse R..., lend R...  the lease of R's node ends, or is renewed
//	handoff A to B         ask A to hand over                      unfit R, fit R   what R's node says of itself
//	status, state R K, permit R...
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
	case "tick":
		c.now += duration(args[1:])
		c.step(s.at(args[0]), core.Tick{})
	case "pass":
		c.now += duration(args)
	case "propose":
		s.propose(s.at(args[0]), args[1:])
	case "read":
		q := kv.Command{Ops: []kv.Op{{Kind: kv.OpGet, Key: []byte(args[1])}}}
		if len(args) > 2 {
			q.Level = kv.LevelEventual
		}
		c.submit(s.at(args[0]), s.sent(&q))
	case "clock":
		s.at(args[0]).ahead = duration(args[1:])
	case "begin":
		c.begin(s.at(args[0]))
	case "end":
		c.end(s.at(args[0]))
	case "settle":
		c.settle()
	case "sync", "tell", "lapse", "lend", "unfit", "fit", "permit":
		for _, a := range args {
			s.runMember(command, s.at(a))
		}
	case "grant":
		c.say("the catalog: %s", c.grant(s.at(args[0])))
	case "deliver", "drop", "twice", "aside", "back", "network", "cut", "heal":
		s.runNetwork(command, args)
	case "crash", "restart", "flush", "damage", "forge":
		s.runDisk(command, s.at(args[0]), args[1:])
	case "handoff":
		c.step(s.at(args[0]), core.Handoff{To: s.at(args[2]).id})
	case "status":
		for _, m := range c.members {
			c.say("%s", describeMember(m))
		}
	case "state":
		value := "missing"
		if v, ok := s.at(args[0]).state.Get(append([]byte{'d'}, args[1]...)); ok {
			value = describeRecord(v)
		}
		c.say("%s: %s = %s", args[0], args[1], value)
	default:
		panic("no such command: " + command)
	}
}

func (s *script) runMember(command string, m *member) {
	c := s.c
	switch command {
	case "sync":
		c.sync(m)
	case "tell":
		c.tell(m)
	case "lapse", "lend":
		if m.lease = 0; command == "lend" {
			m.lease = forever
		}
		c.step(m, core.Flush{})
	case "unfit", "fit":
		m.unfit = command == "unfit"
	case "permit":
		c.say("%d may be read: %t", m.id, m.replica.ReadUntil() > c.now)
	}
}

func (s *script) start(args []string) {
	config, options := Config{}, Options{Mutation: s.mutation, Window: 2}
	joiners := 0
	for _, a := range args[1:] {
		name, value, _ := strings.Cut(a, "=")
		switch name {
		case "joiners":
			joiners = number(value)
		case "min":
			config.MinMembers = number(value)
		case "window":
			options.Window = number(value)
		case "refuse":
			options.Refuse = true
		default:
			panic("no such option: " + a)
		}
	}
	s.c = newCluster(number(args[0]), joiners, config, options)
}

func (s *script) sent(command *kv.Command) core.Request {
	q := s.c.request(command)
	s.c.say("request %d", q.ID)
	return q
}

func (s *script) propose(m *member, words []string) {
	if words[0] == "mark" {
		s.c.requests++
		s.c.say("request %d", s.c.requests)
		s.c.step(m, core.Checkpoint{ID: s.c.requests})
		return
	}
	op := kv.Op{Key: []byte(words[1])}
	switch words[0] {
	case "set":
		op.Kind, op.Value = kv.OpSet, []byte(words[2])
	case "create":
		op.Kind, op.Value, op.When = kv.OpSet, []byte(words[2]), kv.IfAbsent
	case "ending":
		op.Kind, op.Value, op.Expiry, op.Expire = kv.OpSet, []byte(words[2]), kv.ExpireIn, int64(duration(words[3:])/millisecond)
	case "incr":
		op.Kind, op.Delta = kv.OpIncr, 1
	case "del":
		op.Kind = kv.OpDelete
	default:
		panic("no such operation: " + words[0])
	}
	s.c.submit(m, s.sent(&kv.Command{Ops: []kv.Op{op}}))
}

func (s *script) runNetwork(command string, args []string) {
	c := s.c
	switch command {
	case "cut":
		for _, a := range args {
			id := s.at(a).id
			c.cut[id] = true
			c.network = slices.DeleteFunc(c.network, func(p packet) bool { return p.from == id || p.to == id })
		}
		return
	case "heal":
		clear(c.cut)
		return
	case "network":
		for _, p := range c.network {
			c.say("%d->%d %s", p.from, p.to, describeMessage(p.message))
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
	case "deliver":
		for range list {
			c.deliver(match)
		}
		return
	case "twice":
		for range list {
			c.deliver(match)
		}
		c.network = append(c.network, list...)
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

func (s *script) runDisk(command string, m *member, args []string) {
	c := s.c
	switch command {
	case "crash":
		c.crash(m)
	case "restart":
		c.restart(m)
	case "flush":
		m.flush()
	case "damage":
		from := uint64(number(args[1]))
		m.damaged = true
		m.durable = slices.DeleteFunc(m.durable, func(r core.Record) bool { return r.Kind == recordHard || r.Pos >= from })
	case "forge":
		key := append([]byte{'d'}, args[0]...)
		v, _ := m.state.Get(key)
		m.state.pairs[string(key)] = append(v[:len(v)-1], args[1]...)
	}
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
