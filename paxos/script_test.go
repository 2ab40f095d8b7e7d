package paxos

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
//	start N [timed] [spare=K] [lease=D] [retain=BYTES] [preferred=R]   N voters and K others that never ran
//	tick R [D]             pass D, then tick R                     pass D       pass time for all
//	propose R CMD          set K V, big K (a value of 1 MiB), incr K, del K; mark: a checkpoint
//	prepare R AGE K V, resolve R AGE   a vote for a transaction of that age, which would set K; its commit
//	read R K [after T] [level=L]   a read, of a session that has seen time T, in milliseconds as they are printed; propose
//	                       takes "after", too
//	clock R D              R's clock runs D ahead from now on       safe R...   up to which time R holds everything
//	fresh R...             as of when R's state is known to hold all that was acknowledged (level=bounded:1s reads by that)
//	sync R...              make durable what R wrote; begin R and end R do it in two steps
//	settle                 deliver and sync until all rests
//	deliver A->B [KIND]    hand over all, or all of a kind         drop, twice  lose them; deliver each and keep it
//	aside NAME A->B [KIND] delay messages until "back NAME"        network      what is on its way
//	cut R..., heal         no messages from or to R                crash R, restart R, flush R (the state, to disk)
//	damage R from I        lose the durable records of blocks from I on, and the promise; R will be suspect
//	trim R from I          R's log begins at block I from now on: what came before is in the state, and flushed
//	forge R I              another block in the place of R's block I on its disk, whole and of the same ballot
//	empty R from I         lose R's state, which alone had the blocks before I; R will be suspect
//	handoff A to B         ask A to hand over                      down A B     A's connection to B broke
//	unfit R, reluctant R, fit R   what R's node says of itself
//	reconfigure R to V... [teaching L...] [preferring V]   ask R to make these the voters, and those learners
//	survive R with V...    tell R that only these are left of the group
//	status, log R..., state R K
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
	case "prepare":
		q := kv.Command{Tx: s.tx(kv.TxPrepare, args[1]), Ops: []kv.Op{{Kind: kv.OpSet, Key: []byte(args[2]), Value: []byte(args[3])}}}
		c.submit(s.at(args[0]), s.sent(&q))
	case "resolve":
		c.submit(s.at(args[0]), s.sent(&kv.Command{Tx: s.tx(kv.TxResolve, args[1])}))
	case "read":
		q := kv.Command{Ops: []kv.Op{{Kind: kv.OpGet, Key: []byte(args[1])}}}
		q.Token = s.token(args)
		if word, ok := strings.CutPrefix(args[len(args)-1], "level="); ok {
			q.Level, _ = kv.ParseLevel(word)
		}
		c.submit(s.at(args[0]), s.sent(&q))
	case "clock":
		s.at(args[0]).ahead = duration(args[1:])
	case "sync":
		for _, a := range args {
			c.sync(s.at(a))
		}
	case "begin":
		c.begin(s.at(args[0]))
	case "end":
		c.end(s.at(args[0]))
	case "settle":
		c.settle()
	case "deliver", "drop", "twice", "aside", "back", "network", "cut", "heal":
		s.runNetwork(command, args)
	case "crash", "restart", "flush", "trim", "forge", "damage", "empty":
		s.runDisk(command, s.at(args[0]), args[1:])
	case "unfit", "reluctant", "fit":
		m := s.at(args[0])
		m.unfit, m.reluctant = command == "unfit", command == "reluctant"
	case "reconfigure":
		var e core.Reconfigure
		list := &e.Voters
		for i, a := range args[2:] {
			switch {
			case a == "teaching":
				list = &e.Learners
			case a == "preferring":
				list = new([]core.ReplicaID)
			case args[1+i] == "preferring":
				e.Preferred = s.at(a).id
			default:
				*list = append(*list, s.at(a).id)
			}
		}
		c.step(s.at(args[0]), e)
	case "survive":
		var e core.UnsafeRecover
		for _, a := range args[2:] {
			e.Survivors = append(e.Survivors, s.at(a).id)
		}
		c.step(s.at(args[0]), e)
	case "handoff":
		c.step(s.at(args[0]), core.Handoff{To: s.at(args[2]).id})
	case "down":
		c.step(s.at(args[0]), core.PeerDown{Peer: s.at(args[1]).id})
	case "status", "log", "state", "safe", "fresh":
		s.report(command, args)
	default:
		panic("no such command: " + command)
	}
}

func (s *script) start(args []string) {
	config, options := Config{LeaseMillis: 1000}, Options{Mutation: s.mutation, Window: 2}
	spare := 0
	for _, a := range args[1:] {
		name, value, _ := strings.Cut(a, "=")
		switch name {
		case "timed":
			options.GroupTime, options.Binding = true, 7
		case "spare":
			spare = number(value)
		case "lease":
			config.LeaseMillis = uint32(duration([]string{value}) / millisecond)
		case "retain":
			options.RetainBytes = number(value)
		case "preferred":
			config.Preferred = core.ReplicaID(number(value))
		default:
			panic("no such option: " + a)
		}
	}
	s.c = newCluster(number(args[0]), config, options)
	s.c.add(spare)
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
	case "big":
		op.Kind, op.Value = kv.OpSet, make([]byte, acceptBytes)
	case "incr":
		op.Kind, op.Delta = kv.OpIncr, 1
	case "del":
		op.Kind = kv.OpDelete
	default:
		panic("no such operation: " + words[0])
	}
	s.c.submit(m, s.sent(&kv.Command{Ops: []kv.Op{op}, Token: s.token(words)}))
}

// tx is a step of a transaction that began at a time, in milliseconds.
func (s *script) tx(step kv.TxStep, age string) *kv.Tx {
	t := &kv.Tx{Step: step, ID: kv.TxID{Age: kv.HLCOf(int64(number(age))), Anchor: 1}, Commit: step == kv.TxResolve}
	if step == kv.TxPrepare {
		t.Participants = []uint64{1, 2}
	}
	return t
}

// token is that of a session that has seen the time behind "after"; none without that word.
func (s *script) token(words []string) []byte {
	at := slices.Index(words, "after")
	if at < 0 {
		return nil
	}
	return Token{7, kv.HLCOf(int64(number(words[at+1])))}.AppendTo(nil)
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
	case "trim":
		from := uint64(number(args[1]))
		m.flush()
		m.durable = slices.DeleteFunc(m.durable, func(r core.Record) bool { return r.Kind == recordBlock && r.Pos < from })
	case "forge":
		m.forge(uint64(number(args[0])))
	case "damage":
		from := uint64(number(args[1]))
		m.damaged = true
		m.durable = slices.DeleteFunc(m.durable, func(r core.Record) bool { return r.Kind == recordHard || r.Pos >= from })
	case "empty":
		from := uint64(number(args[1]))
		m.damaged, m.state, m.flushed = true, newMemoryState(), newMemoryState()
		m.durable = slices.DeleteFunc(m.durable, func(r core.Record) bool { return r.Kind == recordBlock && r.Pos < from })
	}
}

func (s *script) report(command string, args []string) {
	c := s.c
	switch command {
	case "status":
		for _, m := range c.members {
			c.say("%s", describeMember(m))
		}
	case "safe":
		for _, a := range args {
			c.say("%s: all up to %d ms", a, s.at(a).replica.SafeTime().UnixMilli())
		}
	case "fresh":
		for _, a := range args {
			c.say("%s: %s", a, describeFresh(s.at(a).replica.Freshness()))
		}
	case "log":
		for _, a := range args {
			for _, b := range s.at(a).replica.Blocks(0, 1000) {
				c.say("%s: %s", a, describeBlock(b))
			}
		}
	case "state":
		value := "missing"
		if v, ok := s.at(args[0]).state.Get(append([]byte{'d'}, args[1]...)); ok {
			value = describeRecord(v)
		}
		c.say("%s: %s = %s", args[0], args[1], value)
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

func kindOf(m core.Message) string { return strings.TrimPrefix(fmt.Sprintf("%T", m), "paxos.") }
