package sim

import (
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/referee"
	"github.com/gamutdb/gamut/referee/workload"
)

// Work is what clients do instead of what the families of the protocol say: workloads, on groups that are the shards of one
// keyspace of a consistency, and what the referee makes of that.
type Work struct {
	Consistency kv.Consistency
	// CommitOrder says that it has a commit order.
	CommitOrder bool
	Workloads   []workload.Definition
}

// promise is what the referee holds the keyspace to.
func (k *Work) promise() string { return referee.Promise(k.Consistency, k.CommitOrder) }

// bear takes out of the faults what the work does not bear: the referee knows when a key ends as well as clocks agree.
func (k *Work) bear(f *Faults) {
	for i := range k.Workloads {
		if k.Workloads[i].Name == "delete-expiry" {
			f.JumpMax = expiryJumpMax
		}
	}
	if keyspace.Causal(k.Consistency) {
		f.Damage, f.Wipe = 0, 0 // what only a lost disk had is lost: that is no bug
	}
}

// wantsMajorities says that a write has to reach more than one disk: what only a disk had that is lost is lost, and no workload can
// tell that from a bug.
func (w *world) wantsMajorities(o *operation) bool {
	return w.mix != nil && !o.command.ReadOnly() && (w.options.Faults.Wipe > 0 || w.options.Faults.Damage > 0)
}

// expiryJumpMax is how far a wall clock may be off, in milliseconds, where times to live are judged.
const expiryJumpMax = 200

// newMix begins the work of a run.
func (w *world) newMix() *workload.Mix {
	k := w.options.Work
	return workload.NewMix(stream(w.options.Seed, "work", 0), workload.Options{Clients: w.options.Clients,
		Kinds: workload.Offers[k.promise()], Levels: workload.Levels(k.promise()), Shard: w.shardOf}, k.Workloads)
}

// shardOf is the place of a key's group.
func (w *world) shardOf(key string) int { return int(xxhash.Sum64String(key) % uint64(len(w.served))) }

// work takes the next step of the run's work.
func (c *client) work() *operation {
	s := c.w.mix.Next(c.id)
	if s.Move {
		c.home = c.rng.IntN(c.w.options.Nodes)
	}
	return &operation{op: s.Op, command: s.Command, group: c.w.served[c.w.shardOf(string(s.Command.Ops[0].Key))], node: c.home,
		recorded: true, hurry: s.Hurry}
}

// burstLength is how many hurried operations come in a row, about. Then their client rests, so that it does no more in all
// than others: a run of nothing but haste would be long and show little else.
const burstLength = 8

// pause is how long a client waits before its next operation.
func (c *client) pause(hurried bool) core.Time {
	switch {
	case !hurried:
		return core.Time(c.rng.ExpFloat64() * float64(c.think))
	case c.rng.IntN(burstLength) > 0:
		return 0
	}
	return core.Time(c.rng.ExpFloat64() * burstLength * float64(c.think))
}

// judgeWork gives a run of workloads to the referee. What it cannot decide is counted.
func (w *world) judgeWork() {
	h, final := w.history()
	run := &referee.Run{Consistency: w.options.Work.promise(), Seed: w.options.Seed, History: h, Final: final, Replicas: w.replicas()}
	w.verdicts = w.mix.Judge(run)
	for _, v := range w.verdicts {
		switch v.Decision {
		case referee.Undecided:
			w.stats.Undecided++
		case referee.Broken:
			w.fail(kindOf(v), "the referee rejects the history: %s", v)
		}
	}
}

// worked reads every key of the work from the first living replica of its group.
func (w *world) worked() referee.Final {
	final := referee.Final{}
	for _, s := range w.mix.Close() {
		g := w.served[w.shardOf(s.Op.Key)]
		if s.Command.Level = kv.LevelOne; w.options.Work.CommitOrder { // the replica's own word, where that is a level
			s.Command.Level = kv.LevelCommitted
		}
		if r, _ := g.protocol.Read(w.seatedNodes(g)[0].disk.Group(g.id), &s.Command, w.wall()); r.Code == kv.OK {
			s.Op.Answer(0, &r)
			final[s.Op.Key] = s.Op.Got
		}
	}
	return final
}

// wall is the true time in Unix milliseconds.
func (w *world) wall() int64 { return epoch + int64(w.now/Millisecond) }

// replicas are what the living hold. Records that end one day are left out: when they are removed is each replica's affair.
func (w *world) replicas() (list []referee.Replica) {
	const all = 1 << 30
	for _, g := range w.served {
		for _, n := range w.seatedNodes(g) {
			if !n.up {
				continue // the run has failed already
			}
			p := referee.Replica{Node: uint32(n.id), Group: uint64(g.id), Records: map[string]referee.Record{}}
			page := keyspace.Inspect(w.options.Work.Consistency, n.disk.Group(g.id), g.nodes, n.host.Replica(g.id), nil, false, all)
			for i := range page.Items {
				item := &page.Items[i]
				if item.ExpireAt == 0 {
					p.Records[string(item.Key)] = RecordOf(item)
				}
			}
			list = append(list, p)
		}
	}
	return list
}

// RecordOf is a key that a replica holds, as the referee takes it.
func RecordOf(item *kv.InspectItem) referee.Record {
	r := referee.Record{Value: string(item.Value), Deleted: item.Deleted, Version: item.Version}
	if item.Origin != 0 {
		r.Version, r.Stamp = 0, referee.Stamp{Time: kv.HLC(item.Version), Origin: item.Origin}
	}
	return r
}

func (k *Work) names() string {
	var names []string
	for i := range k.Workloads {
		names = append(names, k.Workloads[i].Name)
	}
	return strings.Join(names, ",")
}
