package workload

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/referee"
)

// clientsUsual is how many clients there are unless somebody says.
const clientsUsual = 5

func kinds(words string) (list []referee.Kind) {
	for _, w := range strings.Fields(words) {
		list = append(list, referee.Kind(w))
	}
	return list
}

// draw is what all workloads share: keys, values that are never used twice, and what each client saw last.
type draw struct {
	rng     *rand.Rand
	options Options
	keys    []string
	count   int
	// seen is the value that each client knows of each key.
	seen  []map[string]string
	hurry bool
	// together are the keys by shard: those of a transaction come from one.
	together [][]string
}

// start makes a draw over keys of a prefix, usual of them unless the options say otherwise.
func start(rng *rand.Rand, o Options, prefix string, usual int) *draw {
	if o.Clients <= 0 {
		o.Clients = clientsUsual
	}
	if o.Keys <= 0 {
		o.Keys = usual
	}
	d := &draw{rng: rng, options: o}
	for i := range o.Keys {
		d.keys = append(d.keys, fmt.Sprintf("%s%s%d", o.Prefix, prefix, i))
	}
	for range o.Clients {
		d.seen = append(d.seen, map[string]string{})
	}
	d.group()
	return d
}

// group sorts the keys by their shards.
func (d *draw) group() {
	at := map[int]int{}
	for _, k := range d.keys {
		shard := 0
		if d.options.Shard != nil {
			shard = d.options.Shard(k)
		}
		i, ok := at[shard]
		if !ok {
			i = len(d.together)
			at[shard] = i
			d.together = append(d.together, nil)
		}
		d.together[i] = append(d.together[i], k)
	}
}

func (d *draw) hurried() *draw {
	d.hurry = true
	return d
}

func (d *draw) offers(k referee.Kind) bool {
	return d.options.Kinds == nil || slices.Contains(d.options.Kinds, k)
}

// among draws one of the kinds that are offered.
func (d *draw) among(words string) referee.Kind {
	list := slices.DeleteFunc(kinds(words), func(k referee.Kind) bool { return !d.offers(k) })
	return list[d.rng.IntN(len(list))]
}

func (d *draw) key() string { return d.keys[d.rng.IntN(len(d.keys))] }

// value is one that was never used: lists are taken apart at its brackets.
func (d *draw) value(client int) string {
	d.count++
	return fmt.Sprintf("<%d.%d>", client, d.count)
}

// sub draws the arguments of one operation.
func (d *draw) sub(client int, kind referee.Kind, key string) referee.Sub {
	s := referee.Sub{Kind: kind, Key: key}
	switch kind {
	case referee.Cas:
		s.Expect = d.seen[client][key]
		s.Value = d.value(client)
	case referee.Set, referee.Create, referee.Append:
		s.Value = d.value(client)
	case referee.Incr:
		s.Delta = 1 + d.rng.Int64N(3)
	}
	return s
}

// single is a step of one operation.
func (d *draw) single(s referee.Sub) Step {
	return d.step(referee.Op{Kind: s.Kind, Key: s.Key, Value: s.Value, Expect: s.Expect, Delta: s.Delta, TTL: s.TTL})
}

func (d *draw) step(o referee.Op) Step {
	level := kv.LevelDefault
	if n := len(d.options.Levels); n > 0 {
		level = d.options.Levels[d.rng.IntN(n)]
	}
	if level != kv.LevelDefault {
		o.Level = level.String()
	}
	s := Step{Op: o, Command: Command(&o), Hurry: d.hurry}
	s.Command.Level = level
	return s
}

// Observe remembers what the client knows of a key now.
func (d *draw) Observe(client int, op *referee.Op) {
	if op.Outcome != referee.Done || op.Code != kv.OK {
		return
	}
	switch op.Kind {
	case referee.Get:
		d.seen[client][op.Key] = op.Got
	case referee.Set, referee.Cas, referee.Create:
		d.seen[client][op.Key] = op.Value
	}
}

// Close reads every key at the keyspace's own level.
func (d *draw) Close() []Step { return d.reads(d.keys) }

func (d *draw) reads(keys []string) (steps []Step) {
	for _, k := range keys {
		o := referee.Op{Kind: referee.Get, Key: k}
		steps = append(steps, Step{Op: o, Command: Command(&o)})
	}
	return steps
}

// Describe has nothing to add.
func (d *draw) Describe(*referee.Run) {}
