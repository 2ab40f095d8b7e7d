package machine

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/gamutdb/gamut/kv"
)

// TestCopyOfLocksIsTheState: whatever a machine has applied, what it knows of locks and open transactions is what one that reads the
// state anew finds there.
func TestCopyOfLocksIsTheState(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 1))
		w := newWorld()
		w.one(setOp("a", "0"))
		var ids []kv.TxID
		for i := range 200 {
			w.now += int64(rng.IntN(3))
			switch rng.IntN(4) {
			case 0:
				mortal := setOp(anyKey(rng), "1")
				if rng.IntN(4) == 0 {
					mortal.Expiry, mortal.Expire = kv.ExpireIn, 1+rng.Int64N(2*floorMillis)
				}
				w.one(mortal)
			case 1, 2:
				id, _, _ := w.prepare(uint64(i), []kv.Cond{{Key: []byte(anyKey(rng)), Kind: kv.CondVersion}}, setOp(anyKey(rng), "2"), getOp(anyKey(rng)))
				ids = append(ids, id)
			default:
				if len(ids) > 0 {
					steps := []kv.TxStep{kv.TxResolve, kv.TxResolve, kv.TxForget, kv.TxRefuse, kv.TxSeal}
					w.tx(steps[rng.IntN(len(steps))], ids[rng.IntN(len(ids))], rng.IntN(2) == 0)
				}
			}
			if rng.IntN(40) == 0 {
				w.now += floorMillis * int64(rng.IntN(3)) / 2
				w.expire()
			}
			if rng.IntN(20) == 0 { // one that some other node's clock says is of a time to come
				w.tx(kv.TxRefuse, kv.TxID{Age: w.stamp() + kv.HLC(rng.IntN(1<<20)), Nonce: uint64(i)}, false)
			}
			if rng.IntN(20) == 0 {
				w.machine.StateReplaced() // by the same one
			}
			fresh := Machine{}
			fresh.Begin(w, w.index+1, w.stamp())
			for _, pair := range [][2]any{{w.machine.lockTable(), fresh.lockTable()}, {w.machine.openTable(), fresh.openTable()}, {w.machine.heldLocks(), Locks(w)},
				{append([]kv.TxID{}, w.machine.known.seals...), append([]kv.TxID{}, fresh.known.seals...)}} {
				if !reflect.DeepEqual(pair[0], pair[1]) {
					t.Fatalf("seed %d, step %d: the machine knows %v, the state holds %v", seed, i, pair[0], pair[1])
				}
			}
			for _, soon := range []int64{0, w.now + floorMillis, w.now + 2*floorMillis} {
				exact, has := Next(w)
				if at, ok := w.machine.Next(w, soon); has && (!ok || at > exact) || ok && at <= soon && (!has || at != exact) {
					t.Fatalf("seed %d, step %d: something ends at %d, %v, or exactly at %d, %v", seed, i, at, ok, exact, has)
				}
			}
			w.Scan([]byte{closedKind}, []byte{closedKind + 1}, func(k, _ []byte) bool {
				if age := kv.TxIDOf(k[1:]).Age; age > w.machine.known.marked || age > fresh.known.marked {
					t.Fatalf("seed %d, step %d: a mark of %d is above %d, or %d", seed, i, age, w.machine.known.marked, fresh.known.marked)
				}
				return true
			})
		}
	}
}

func anyKey(rng *rand.Rand) string { return string(rune('a' + rng.IntN(4))) }
