package paxos

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/coretest"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

// TestScripts plays the situations of testdata. Statements, beside those of coretest.Cluster.Run:
//
//	start N [timed] [spare=K] [lease=D] [retain=BYTES] [preferred=R] [child=B]   N voters and K others that never ran; a child's, of which
//	                       the first B have what their parent laid aside
//	propose R CMD          set K V, big K (a value of 1 MiB), incr K, del K, get K in its place in the log; mark: a checkpoint
//	                       CMD and CMD: both in one command
//	list R                 a scan of all keys
//	prepare R AGE K V, rely R AGE K, resolve R AGE   a vote for a transaction of that age, which would set K, or relies on
//	                       K's being there; its commit
//	read R K [after T] [level=L]   a read, of a session that has seen time T, in milliseconds as they are printed; propose
//	                       takes "after", too
//	safe R...              up to which time R holds everything
//	fresh R...             as of when R's state is known to hold all that was acknowledged (level=bounded:1s reads by that)
//	damage R from I        lose the durable records of blocks from I on, and the promise; R will be suspect
//	trim R from I          R's log begins at block I from now on: what came before is in the state, and flushed
//	forge R I              another block in the place of R's block I on its disk, whole and of the same ballot
//	empty R from I         lose R's state, which alone had the blocks before I; R will be suspect
//	reconfigure R to V... [teaching L...] [preferring V]   ask R to make these the voters, and those learners
//	split R at K           ask R to give the keys from K on to group 9
//	retire R from K        ask R to give up all keys, which begin at K
//	absorb R K V from K at T   all that a group held from K on which retired at that time, in milliseconds: one record
//	owned R since I        tell R that the group has all its keys since block I
//	bounds R...            the keys that R's group has left, and the groups that something is laid aside for
//	survive R with V...    tell R that only these are left of the group
//	status, log R..., state R K
func TestScripts(t *testing.T) {
	coretest.Scripts(t, Mutations(), start)
}

// start makes the cluster of a script.
func start(mutation Mutation, args []string) coretest.Player {
	config, options := Config{LeaseMillis: 1000}, Options{Mutation: mutation, Window: 2}
	spare, born := 0, -1
	for _, a := range args[1:] {
		name, value, _ := strings.Cut(a, "=")
		switch name {
		case "timed":
			options.GroupTime, options.Binding = true, 7
		case "divisible":
			options.Divisible = true
		case "spare":
			spare = coretest.Number(value)
		case "lease":
			config.LeaseMillis = uint32(coretest.Duration([]string{value}) / millisecond)
		case "retain":
			options.RetainBytes = coretest.Number(value)
		case "child":
			config.Split, born = true, coretest.Number(value)
		case "preferred":
			config.Preferred = core.ReplicaID(coretest.Number(value))
		default:
			panic("no such option: " + a)
		}
	}
	c := emptyCluster(coretest.Number(args[0]), config, options)
	if born >= 0 {
		c.bear(born)
	} else {
		c.add(len(c.voters) + spare)
	}
	return c
}

// Run implements coretest.Player.
func (c *cluster) Run(statement string, args []string) {
	switch statement {
	case "propose":
		c.propose(c.At(args[0]), args[1:])
	case "prepare":
		q := kv.Command{Tx: c.tx(kv.TxPrepare, args[1]), Ops: []kv.Op{{Kind: kv.OpSet, Key: []byte(args[2]), Value: []byte(args[3])}}}
		c.Ask(c.At(args[0]), &q)
	case "rely":
		c.Ask(c.At(args[0]), &kv.Command{Tx: c.tx(kv.TxPrepare, args[1]), Conds: []kv.Cond{{Kind: kv.CondPresent, Key: []byte(args[2])}}})
	case "list":
		c.Ask(c.At(args[0]), &kv.Command{Ops: []kv.Op{{Kind: kv.OpScan}}})
	case "resolve":
		c.Ask(c.At(args[0]), &kv.Command{Tx: c.tx(kv.TxResolve, args[1])})
	case "read":
		q := kv.Command{Ops: []kv.Op{{Kind: kv.OpGet, Key: []byte(args[1])}}}
		q.Token = c.token(args)
		if word, ok := strings.CutPrefix(args[len(args)-1], "level="); ok {
			q.Level, _ = kv.ParseLevel(word)
		}
		c.Ask(c.At(args[0]), &q)
	case "trim", "forge", "damage", "empty":
		c.runDisk(statement, c.At(args[0]), args[1:])
	case "reconfigure":
		c.reconfigure(args)
	case "split":
		config := Config{Voters: c.voters, Split: true}
		c.Step(c.At(args[0]), core.Split{Child: 9, Key: []byte(args[2]), Config: config.AppendTo(nil)})
	case "retire":
		c.Step(c.At(args[0]), core.Retire{From: []byte(args[2])})
	case "absorb":
		c.Ask(c.At(args[0]), held(args[1], args[2], args[4], coretest.Number(args[6])))
	case "owned":
		c.Step(c.At(args[0]), core.Owned{Since: uint64(coretest.Number(args[2]))})
	case "survive":
		var e core.UnsafeRecover
		for _, a := range args[2:] {
			e.Survivors = append(e.Survivors, c.At(a).ID)
		}
		c.Step(c.At(args[0]), e)
	case "status", "log", "state", "safe", "fresh", "bounds":
		c.report(statement, args)
	default:
		c.Cluster.Run(statement, args)
	}
}

// held is the command that carries a record of a group which began at a key and retired at a time: all that it held.
func held(key, value, from string, at int) *kv.Command {
	state := coretest.NewState()
	var m machine.Machine
	set := kv.Command{Ops: []kv.Op{{Kind: kv.OpSet, Key: []byte(key), Value: []byte(value)}}}
	m.Begin(state, 900, kv.HLCOf(int64(at-1)))
	m.Apply(kv.AppendCommand(nil, &set), true)
	state.Apply(m.Finish())
	m.Begin(state, 901, kv.HLCOf(int64(at)))
	m.Retire(machine.Bounds{From: []byte(from)})
	state.Apply(m.Finish())
	p := machine.PartOf(state, machine.RetiredOf(state), nil, 1000)
	p.Merge, p.Group = 1, 9
	return &kv.Command{Ops: []kv.Op{{Kind: kv.OpAbsorb, Value: p.AppendTo(nil)}}}
}

// bear starts the replicas of a child: the first of them with what a parent laid aside at its block 7.
func (c *cluster) bear(born int) {
	config := Config{Voters: c.voters, Split: true, LeaseMillis: c.lease}
	at := position{Index: 7, Time: kv.HLCOf(1000), Hash: Hash{7}}
	for i := range c.voters {
		m := c.Add()
		if i < born {
			m.State.Apply([]core.Change{{Kind: core.Put, Key: core.AppliedKey, Value: appendMeta(nil, at)},
				{Kind: core.Put, Key: configKey, Value: config.AppendTo(nil)}})
		}
		c.Start(m)
	}
}

func describeBounds(m *member) string {
	text := "all keys"
	if b := m.Replica.Bounds(); b != nil {
		text = fmt.Sprintf("%q to %q", b.From, b.To)
	}
	if births := machine.Births(m.State); len(births) > 0 {
		text += fmt.Sprintf(", laid aside for %d", births)
	}
	for _, child := range machine.Births(m.State) {
		_ = machine.Birth(m.State, child, func(key, value []byte) error {
			if c, err := DecodeConfig(value); err == nil && bytes.Equal(key, configKey) {
				text += fmt.Sprintf(" with voters %d", c.Voters)
			}
			return nil
		})
	}
	return text
}

func (c *cluster) reconfigure(args []string) {
	var e core.Reconfigure
	list := &e.Voters
	for i, a := range args[2:] {
		switch {
		case a == "teaching":
			list = &e.Learners
		case a == "preferring":
			list = new([]core.ReplicaID)
		case args[1+i] == "preferring":
			e.Preferred = c.At(a).ID
		default:
			*list = append(*list, c.At(a).ID)
		}
	}
	c.Step(c.At(args[0]), e)
}

func (c *cluster) propose(m *member, words []string) {
	if words[0] == "mark" {
		c.Mark(m)
		return
	}
	q := c.Request(&kv.Command{Ops: operations(words), Token: c.token(words)})
	q.Read = false
	c.Say("request %d", q.ID)
	c.Submit(m, q)
}

// operations are those of a command in words.
func operations(words []string) []kv.Op {
	if at := slices.Index(words, "and"); at >= 0 {
		return append(operations(words[:at]), operations(words[at+1:])...)
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
	case "get":
		op.Kind = kv.OpGet
	default:
		panic("no such operation: " + words[0])
	}
	return []kv.Op{op}
}

// tx is a step of a transaction that began at a time, in milliseconds.
func (c *cluster) tx(step kv.TxStep, age string) *kv.Tx {
	t := &kv.Tx{Step: step, ID: kv.TxID{Age: kv.HLCOf(int64(coretest.Number(age))), Anchor: 1}, Commit: step == kv.TxResolve}
	if step == kv.TxPrepare {
		t.Participants = []uint64{1, 2}
	}
	return t
}

// token is that of a session that has seen the time behind "after"; none without that word.
func (c *cluster) token(words []string) []byte {
	at := slices.Index(words, "after")
	if at < 0 {
		return nil
	}
	return Token{7, kv.HLCOf(int64(coretest.Number(words[at+1])))}.AppendTo(nil)
}

func (c *cluster) runDisk(statement string, m *member, args []string) {
	if statement == "forge" {
		forge(m, uint64(coretest.Number(args[0])))
		return
	}
	from := uint64(coretest.Number(args[1]))
	switch statement {
	case "trim":
		m.Flush()
	case "damage":
		m.Damaged = true
		m.Lose(func(r core.Record) bool { return r.Kind == recordHard || r.Pos >= from })
		return
	case "empty":
		m.Damaged, m.State, m.Flushed = true, coretest.NewState(), coretest.NewState()
	}
	m.Lose(func(r core.Record) bool { return r.Kind == recordBlock && r.Pos < from })
}

func (c *cluster) report(statement string, args []string) {
	switch statement {
	case "status":
		for _, m := range c.Members {
			c.Say("%s", describeMember(m))
		}
	case "bounds":
		for _, a := range args {
			c.Say("%s: %s", a, describeBounds(c.At(a)))
		}
	case "safe":
		for _, a := range args {
			c.Say("%s: all up to %d ms", a, c.At(a).Replica.SafeTime().UnixMilli())
		}
	case "fresh":
		for _, a := range args {
			c.Say("%s: %s", a, describeFresh(c.At(a).Replica.Freshness()))
		}
	case "log":
		for _, a := range args {
			for _, b := range c.At(a).Replica.Blocks(0, 1000) {
				c.Say("%s: %s", a, describeBlock(b))
			}
		}
	case "state":
		value := "missing"
		if v, ok := c.At(args[0]).State.Get(append([]byte{'d'}, args[1]...)); ok {
			value = describeRecord(v)
		}
		c.Say("%s: %s = %s", args[0], args[1], value)
	}
}
