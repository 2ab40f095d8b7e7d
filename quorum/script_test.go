package quorum

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/coretest"
	"github.com/gamutdb/gamut/kv"
)

// TestScripts plays the situations of testdata. Statements, beside those of coretest.Cluster.Run:
//
//	start N [atomic] [client-stamps] [hints=BYTES]   N replicas that never ran, all connected
//	put R K V [LEVEL] [at=MS]  del R K [LEVEL]  get R K [LEVEL]  scan R [LEVEL]   what a client asks of R
//	run D        let all tick, deliver and sync for D
//	crash R, restart R     break and make R's connections, too     damage R     lose R's log and state; R will be suspect
//	clock R MS   R's wall clock is MS ahead                        repair R     ask R to conduct a repair
//	join R                 a replica that is no member yet starts, connected to all
//	inherit R S            so does one on the disk that S has left
//	configure E A,B [next=A,C [both]] R...   tell those R the catalog's word: epoch and members
//	ready                  which replicas would let the catalog take the next step
//	state K                what each replica shows for K           status       lines, hints and counts
func TestScripts(t *testing.T) {
	coretest.Scripts(t, Mutations(), start)
}

// start makes the cluster of a script.
func start(mutation Mutation, args []string) coretest.Player {
	config, options := Config{}, Options{Mutation: mutation, RepairLag: 100 * millisecond, RepairEvery: 3600 * 1000 * millisecond,
		EntropyEvery: 3600 * 1000 * millisecond}
	for _, a := range args[1:] {
		name, value, _ := strings.Cut(a, "=")
		switch name {
		case "atomic":
			config.Atomic = true
		case "client-stamps":
			config.ClientStamps = true
		case "hints":
			options.HintBytes = int64(coretest.Number(value))
		case "purge-age": // for the mutation that has one
			options.RepairEvery = coretest.Duration([]string{value})
		default:
			panic("no such option: " + a)
		}
	}
	return newCluster(coretest.Number(args[0]), config, options)
}

// Run implements coretest.Player.
func (c *cluster) Run(statement string, args []string) {
	switch statement {
	case "put", "del", "get", "scan":
		c.runClient(statement, c.At(args[0]), args[1:])
	case "run":
		c.runFor(coretest.Duration(args))
	case "clock":
		c.At(args[0]).Ahead = core.Time(coretest.Number(args[1])) * millisecond
	case "crash", "restart", "damage", "repair":
		c.runReplica(statement, c.At(args[0]))
	case "join":
		c.join(core.ReplicaID(coretest.Number(args[0])))
	case "inherit":
		c.inherit(core.ReplicaID(coretest.Number(args[0])), c.At(args[1]))
	case "configure":
		c.runConfigure(args)
	case "ready":
		for _, m := range c.Members {
			if m.Replica != nil {
				epoch, ok := m.Replica.Ready()
				c.Say("%d: epoch %d ready %t", m.ID, epoch, ok)
			}
		}
	case "state", "status":
		c.report(statement, args)
	default:
		c.Cluster.Run(statement, args)
	}
}

func (c *cluster) runConfigure(args []string) {
	list := func(text string) (ids []core.ReplicaID) {
		for _, word := range strings.Split(text, ",") {
			ids = append(ids, core.ReplicaID(coretest.Number(word)))
		}
		return ids
	}
	word := Config{Epoch: uint64(coretest.Number(args[0])), Members: list(args[1])}
	for _, a := range args[2:] {
		if next, ok := strings.CutPrefix(a, "next="); ok {
			word.Next = list(next)
		} else if a == "both" {
			word.Both = true
		} else {
			c.configure(c.At(a), word)
		}
	}
}

func (c *cluster) runClient(statement string, m *member, words []string) {
	o := kv.Op{Kind: map[string]kv.OpKind{"put": kv.OpSet, "del": kv.OpDelete, "get": kv.OpGet, "scan": kv.OpScan}[statement]}
	q := kv.Command{}
	if statement != "scan" {
		o.Key, words = []byte(words[0]), words[1:]
	}
	if statement == "put" {
		o.Value, words = []byte(words[0]), words[1:]
	}
	for _, w := range words {
		if ms, ok := strings.CutPrefix(w, "at="); ok {
			o.NewVersion = uint64(kv.HLCOf(int64(coretest.Number(ms))))
			continue
		}
		var err error
		if q.Level, err = kv.ParseLevel(w); err != nil {
			panic(err)
		}
	}
	q.Ops = []kv.Op{o}
	c.Ask(m, &q)
}

func (c *cluster) runReplica(statement string, m *member) {
	switch statement {
	case "crash":
		c.Crash(m)
	case "restart":
		c.Restart(m)
	case "repair":
		c.Step(m, core.Repair{})
		c.Step(m, core.Tick{})
	case "damage":
		m.Damaged, m.Durable, m.State, m.Flushed = true, nil, coretest.NewState(), coretest.NewState()
	}
}

func (c *cluster) report(statement string, args []string) {
	for _, m := range c.Members {
		if m.Replica == nil {
			c.Say("%d is down", m.ID)
			continue
		}
		if statement == "state" {
			text := "nothing"
			if raw, ok := m.State.Get(append([]byte{DataKind}, args[0]...)); ok {
				text = describeRecord(raw)
			}
			c.Say("%d: %s", m.ID, text)
			continue
		}
		st := m.Replica.Status()
		c.Say("%d refuses below %d, purges below %d: %d keys, %d tombstones%s", m.ID, st.RefuseBelow.UnixMilli(), st.PurgeBelow.UnixMilli(), st.Tally.Keys,
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
	for _, said := range []Saying{st.Repair, st.Change} {
		if said.Words != "" {
			s += ", " + said.String()
		}
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
