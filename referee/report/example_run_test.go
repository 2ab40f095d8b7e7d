package report

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/referee"
)

// example makes a run of three nodes under faults, as a seed draws it. With stale, node 3 answers reads from what it knew
// when it was cut off: the bug that the referee must find.
type example struct {
	seed          uint64
	clients, keys int
	length        int64
	// pause is the mean time between two operations of a client.
	pause float64
	stale bool
}

const ms = int64(1e6)

var shoppers = []string{"cart:17", "cart:23", "cart:31", "stock:tea", "stock:coffee", "user:ada", "user:grace", "user:edsger", "price:tea", "price:coffee"}
var wares = []string{"amber", "birch", "cedar", "dune", "ember", "fjord", "grove", "heath", "iris", "jade", "kelp", "lotus"}

// timedOp is an operation with the time at which it takes effect.
type timedOp struct {
	referee.Op
	effect int64
}

func (e example) run() *Run {
	rng := rand.New(rand.NewPCG(e.seed, 7))
	var ops []timedOp
	for client := range e.clients {
		for at := int64(rng.ExpFloat64() * e.pause); at < e.length; at += int64(rng.ExpFloat64() * e.pause) {
			o := e.draw(rng, client, at, len(ops))
			ops = append(ops, o)
			at = o.Return
		}
	}
	history, final := e.answer(ops)
	r := &Run{Run: &referee.Run{Name: "carts under partitions", Seed: e.seed, Consistency: "linearizable", History: history, Final: final, Events: e.events()},
		World: Simulated, Keyspace: "carts", Nodes: 3, Replay: fmt.Sprintf("gamut lab fuzz --consistency linearizable --seed %d", e.seed)}
	r.History.Sort()
	r.Verdicts = referee.CheckAll(r.Run)
	r.Counters = []Counter{{"messages", "48,113"}, {"syncs", "9,204"}, {"crashes", "1"}, {"elections", "4"}, {"leader changes", "2"}, {"reads by lease", "1,577"}, {"healed after", "212 ms"}, {"equal after", "340 ms"}}
	return r
}

// The times of faults are shares of the run's length.
func (e example) at(share float64) int64 { return int64(share * float64(e.length)) }

func (e example) events() []referee.Event {
	return []referee.Event{
		{What: "leader", At: e.at(.01), Nodes: []uint32{1}, Detail: "elected under ballot 1"},
		{What: "disk", At: e.at(.12), End: e.at(.22), Nodes: []uint32{2}, Detail: "syncs take 20 ms"},
		{What: "cut", At: e.at(.34), Nodes: []uint32{3}, Detail: "from all others"},
		{What: "clock", At: e.at(.43), Nodes: []uint32{1}, Detail: "jumps 300 ms ahead"},
		{What: "mend", At: e.at(.55), Nodes: []uint32{3}},
		{What: "crash", At: e.at(.70), Nodes: []uint32{1}, Detail: "killed"},
		{What: "leader", At: e.at(.74), Nodes: []uint32{2}, Detail: "elected under ballot 2"},
		{What: "start", At: e.at(.84), Nodes: []uint32{1}},
		{What: "heal", At: e.at(.9)},
	}
}

func (e example) during(at int64, from, to float64) bool { return at >= e.at(from) && at < e.at(to) }

// draw is an operation without its answer, and how it ends.
func (e example) draw(rng *rand.Rand, client int, at int64, n int) timedOp {
	key := int(math.Min(float64(e.keys-1), rng.ExpFloat64()*float64(e.keys)/4))
	o := timedOp{Op: referee.Op{Client: client, Node: uint32(1 + rng.IntN(3)), Key: shoppers[key%len(shoppers)], Kind: referee.Get, Call: at, Outcome: referee.Done}}
	if key >= len(shoppers) {
		o.Key += fmt.Sprint(":", key/len(shoppers))
	}
	took := 300_000 * math.Exp(rng.NormFloat64()*.5)
	if rng.IntN(5) < 2 {
		o.Kind, o.Value = referee.Set, fmt.Sprintf("%s-%d", wares[rng.IntN(len(wares))], n)
		took = 2.1e6 * math.Exp(rng.NormFloat64()*.35)
	}
	if e.during(at, .12, .22) && o.Node == 2 {
		took *= 6
	}
	o.Return = at + int64(took)
	o.effect = at + int64(took*(.2+.6*rng.Float64()))
	cutOff := o.Node == 3 && e.during(at, .34, .55) && (!e.stale || o.Kind != referee.Get)
	down := o.Node == 1 && e.during(at, .70, .84)
	leaderless := e.during(at, .70, .74)
	switch {
	case (cutOff || leaderless) && o.Kind == referee.Set && rng.IntN(3) > 0:
		o.Outcome, o.Code, o.Return = referee.Unknown, kv.Unknown, at+40*ms+rng.Int64N(30*ms)
		o.effect = at + rng.Int64N(200*ms)
	case cutOff || down || leaderless:
		o.Outcome, o.Code = referee.Refused, kv.Unavailable
		o.Return = at + 3*ms + rng.Int64N(9*ms)
	}
	return o
}

// answer lets the operations take effect one after another.
func (e example) answer(ops []timedOp) (h referee.History, final referee.Final) {
	slices.SortStableFunc(ops, func(a, b timedOp) int { return compareTimes(a.effect, b.effect) })
	type record struct {
		value   string
		version uint64
	}
	now, old := map[string]record{}, map[string]record{}
	for i := range ops {
		o := &ops[i].Op
		if !e.during(ops[i].effect, .34, 2) {
			old[o.Key] = now[o.Key]
		}
		switch {
		case o.Outcome == referee.Refused:
		case o.Kind == referee.Set:
			if o.Outcome == referee.Done || i%2 == 0 {
				now[o.Key] = record{o.Value, uint64(i + 1)}
			}
			if o.Outcome == referee.Done {
				o.Version = uint64(i + 1)
			}
		default:
			found := now[o.Key]
			if e.stale && o.Node == 3 && e.during(o.Call, .34, .55) {
				found = old[o.Key]
			}
			if found.version == 0 {
				o.Code = kv.NotFound
			}
			o.Got, o.Version = found.value, found.version
		}
		h = append(h, *o)
	}
	final = referee.Final{}
	for key, r := range now {
		if r.version > 0 {
			final[key] = r.value
		}
	}
	return h, final
}

var (
	passing = example{seed: 41, clients: 6, keys: 10, length: 4000 * ms, pause: 9e6}
	broken  = example{seed: 42, clients: 6, keys: 10, length: 4000 * ms, pause: 9e6, stale: true}
)
