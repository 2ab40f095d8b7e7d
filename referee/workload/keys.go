package workload

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/gamutdb/gamut/referee"
)

// register reads and writes.
type register struct{ *draw }

func (w *register) Next(client int) Step {
	kind := w.among("get get get set set cas cas create delete")
	key := w.key()
	if _, seen := w.seen[client][key]; kind == referee.Cas && !seen {
		kind = referee.Get // there is nothing to compare with yet
	}
	return w.single(w.sub(client, kind, key))
}

// counter adds and reads.
type counter struct{ *draw }

func (w *counter) Next(client int) Step {
	return w.single(w.sub(client, w.among("incr incr get"), w.key()))
}

// listMax is how long a list grows: every read carries all of it.
const listMax = 100

// lists appends and reads, several keys at once where that is offered. A list that is long enough is left for a new one.
type lists struct {
	*draw
	length map[string]int
	left   []string
}

func newLists(d *draw) *lists { return &lists{draw: d, length: map[string]int{}} }

func (w *lists) Next(client int) Step {
	s := w.next(client)
	// Where a client asks for more and for less, what it has seen is worth something on another node.
	s.Move = w.options.Levels != nil && w.rng.IntN(4) == 0
	return s
}

func (w *lists) next(client int) Step {
	if !w.offers(referee.Txn) || w.rng.IntN(2) == 0 {
		return w.single(w.one(client, w.key()))
	}
	shard := w.rng.IntN(len(w.together))
	var subs []referee.Sub
	for range 2 + w.rng.IntN(3) {
		keys := w.together[shard]
		subs = append(subs, w.one(client, keys[w.rng.IntN(len(keys))]))
	}
	return w.step(referee.Op{Kind: referee.Txn, Subs: subs})
}

func (w *lists) one(client int, key string) referee.Sub {
	s := w.sub(client, w.among("append get"), key)
	if s.Kind == referee.Append {
		if w.length[key]++; w.length[key] == listMax {
			w.leave(key)
		}
	}
	return s
}

// leave puts a new key of the same shard in a key's place.
func (w *lists) leave(key string) {
	w.left = append(w.left, key)
	next := w.fresh(key)
	w.keys[slices.Index(w.keys, key)] = next
	for _, keys := range w.together {
		if i := slices.Index(keys, key); i >= 0 {
			keys[i] = next
		}
	}
}

// fresh is a key that was never used, of the shard of another one.
func (w *lists) fresh(like string) string {
	for {
		w.count++
		key := fmt.Sprintf("%sl.%d", w.options.Prefix, w.count)
		if w.options.Shard == nil || w.options.Shard(key) == w.options.Shard(like) {
			return key
		}
	}
}

// Close reads the lists that were left, too.
func (w *lists) Close() []Step { return append(w.draw.reads(w.left), w.draw.Close()...) }

// bank moves money. Accounts begin empty and may be overdrawn, so the total is 0 and nobody has to open them.
type bank struct{ *draw }

// accounts are keys of one shard: they are read at once.
func (w *bank) accounts() []string {
	most := w.together[0]
	for _, keys := range w.together {
		if len(keys) > len(most) {
			most = keys
		}
	}
	return most
}

func (w *bank) Next(client int) Step {
	accounts := w.accounts()
	var subs []referee.Sub
	if w.rng.IntN(2) == 0 || len(accounts) < 2 {
		for _, a := range accounts {
			subs = append(subs, w.sub(client, referee.Get, a))
		}
		return w.step(referee.Op{Kind: referee.Txn, Subs: subs})
	}
	order := w.rng.Perm(len(accounts))
	amount := 1 + w.rng.Int64N(100)
	from, to := w.sub(client, referee.Incr, accounts[order[0]]), w.sub(client, referee.Incr, accounts[order[1]])
	from.Delta, to.Delta = -amount, amount
	return w.step(referee.Op{Kind: referee.Txn, Subs: []referee.Sub{from, to}})
}

func (w *bank) Describe(r *referee.Run) { r.Bank = &referee.Bank{Accounts: w.accounts()} }

// sessions move. Each client reads, answers what it read under another key, and moves; after a while its session ends.
type sessions struct {
	*draw
	number []int // of each client's session
	left   []int // how many steps it has left
}

func newSessions(rng *rand.Rand, o Options) Workload {
	d := start(rng, o, "k", 4)
	return &sessions{d, make([]int, d.options.Clients), make([]int, d.options.Clients)}
}

func (w *sessions) Next(client int) Step {
	if w.left[client] == 0 {
		w.number[client]++
		w.left[client] = 5 + w.rng.IntN(40)
	}
	w.left[client]--
	s := w.single(w.sub(client, w.among("get get set"), w.key()))
	s.Op.Session = fmt.Sprintf("session %s%d.%d", w.options.Prefix, client, w.number[client])
	s.Move = w.rng.IntN(2) == 0
	return s
}

// timesToLive are in milliseconds: shorter than a fault, and longer.
var timesToLive = []int64{50, 500, 3000}

// expiry lets keys end.
type expiry struct{ *draw }

func (w *expiry) Next(client int) Step {
	s := w.sub(client, w.among("get get get set set create delete"), w.key())
	if slices.Contains(kinds("set create"), s.Kind) && w.rng.IntN(2) == 0 {
		s.TTL = timesToLive[w.rng.IntN(len(timesToLive))]
	}
	return w.single(s)
}

// burst is how many writes come in a row.
const burst = 10

// bursts writes in quick succession: one key again and again, or one key after the other; then it reads.
type bursts struct {
	*draw
	spread bool
	at     []int // each client's place in its burst
	key    []int // the next key of each client, if it spreads
}

func newBursts(d *draw, spread bool) *bursts {
	w := &bursts{draw: d, spread: spread, at: make([]int, d.options.Clients), key: make([]int, d.options.Clients)}
	for i := range w.key {
		w.key[i] = i
	}
	return w
}

func (w *bursts) Next(client int) Step {
	w.at[client]++
	if w.at[client]%(burst+1) == 0 {
		return w.single(w.sub(client, referee.Get, w.draw.key()))
	}
	if !w.spread {
		return w.single(w.sub(client, referee.Set, w.keys[0]))
	}
	// The clients share the keys out among themselves: what follows each other in time lies under different keys.
	w.key[client] = (w.key[client] + w.options.Clients) % len(w.keys)
	if !w.offers(referee.Txn) || w.rng.IntN(2) == 0 {
		return w.single(w.sub(client, referee.Set, w.keys[w.key[client]]))
	}
	return w.several(client)
}

// several sets a few keys of one shard together.
func (w *bursts) several(client int) Step {
	keys := w.together[w.rng.IntN(len(w.together))]
	from := w.rng.IntN(len(keys))
	var subs []referee.Sub
	for i := range min(3, len(keys)) {
		subs = append(subs, w.sub(client, referee.Set, keys[(from+i)%len(keys)]))
	}
	return w.step(referee.Op{Kind: referee.Txn, Subs: subs})
}
