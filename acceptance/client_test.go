package acceptance

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/gamutdb/gamut/client"
	"github.com/gamutdb/gamut/kv"
)

// tally is what the writers of TestClientTellsUnknownFromFailed were told.
type tally struct {
	mu sync.Mutex
	// acked and unknown are keys by the outcome of their only write; refused ones must not be there.
	acked, unknown, refused []string
	// counted and perhaps are additions to one counter.
	counted, perhaps int64
}

// note files an outcome.
func (y *tally) note(t *testing.T, key string, err error) {
	var unknown *client.UnknownError
	var refused *client.RefusedError
	y.mu.Lock()
	defer y.mu.Unlock()
	switch {
	case err == nil:
		y.acked = append(y.acked, key)
	case errors.As(err, &unknown):
		y.unknown = append(y.unknown, key)
	case errors.As(err, &refused):
		y.refused = append(y.refused, key)
	default:
		t.Errorf("%s is neither done, refused nor unknown: %v", key, err)
	}
}

func (y *tally) count(t *testing.T, err error) {
	var unknown *client.UnknownError
	y.mu.Lock()
	defer y.mu.Unlock()
	switch {
	case err == nil:
		y.counted++
	case errors.As(err, &unknown):
		y.perhaps++
	}
}

// TestClientTellsUnknownFromFailed has writers with the Go client work while nodes are killed with -9, one after the other.
// Whatever was acknowledged is there, whatever was refused is not, and every addition that was acknowledged was made once.
func TestClientTellsUnknownFromFailed(t *testing.T) {
	c := newCluster(t)
	gamut, err := client.Open([]string{c.addr(1, httpDoor), c.addr(2, httpDoor), c.addr(3, httpDoor)}, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer gamut.Close()
	k := gamut.Keyspace("default")
	var y tally
	stop, writers := make(chan struct{}), sync.WaitGroup{}
	for id := range 8 {
		writers.Go(func() { write(t, k, &y, id, stop) })
	}
	for round := range 6 {
		victim := round%3 + 1
		before := y.done()
		await(t, patience, func() error { return atLeast(y.done()-before, 100) })
		c.kill(victim)
		before = y.done()
		await(t, patience, func() error { return atLeast(y.done()-before, 100) })
		c.start(victim)
		c.awaitReady(victim)
	}
	close(stop)
	writers.Wait()
	y.judge(t, k)
}

func (y *tally) done() int64 {
	y.mu.Lock()
	defer y.mu.Unlock()
	return int64(len(y.acked))
}

// write stores keys of its own, each once, and adds to a counter that all share. One operation in ten has next to no time,
// so that some end as unknown.
func write(t *testing.T, k *client.Keyspace, y *tally, id int, stop chan struct{}) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		patient := 10 * time.Second
		if rand.IntN(10) == 0 {
			patient = rand.N(4 * time.Millisecond)
		}
		ctx, cancel := context.WithTimeout(context.Background(), patient)
		key := fmt.Sprintf("writer %d, key %d", id, i)
		_, err := k.Put(ctx, key, []byte(key))
		y.note(t, key, err)
		_, err = k.Incr(ctx, "all", 1)
		y.count(t, err)
		cancel()
	}
}

// judge looks at what is there.
func (y *tally) judge(t *testing.T, k *client.Keyspace) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	there := map[string]bool{}
	for r, err := range k.Scan(ctx, client.Range{Prefix: "writer "}) {
		if err != nil {
			t.Fatal(err)
		}
		if string(r.Value) != r.Key {
			t.Errorf("%q holds %q", r.Key, r.Value)
		}
		there[r.Key] = true
	}
	for _, key := range y.acked {
		if !there[key] {
			t.Errorf("%s was acknowledged and is lost", key)
		}
	}
	for _, key := range y.refused {
		if there[key] {
			t.Errorf("%s was refused and is there", key)
		}
	}
	total, err := k.Incr(ctx, "all", 0)
	if err != nil {
		t.Fatal(err)
	}
	if total < y.counted || total > y.counted+y.perhaps {
		t.Errorf("the counter is %d after %d additions, and %d that may have been made", total, y.counted, y.perhaps)
	}
	var receipt kv.Receipt
	if _, err := k.Get(ctx, "all", client.Receipt(&receipt)); err != nil || receipt.Met != "linearizable" {
		t.Errorf("%+v, %v", receipt, err)
	}
	t.Logf("%d acknowledged, %d unknown, %d refused; counter %d of %d to %d", len(y.acked), len(y.unknown), len(y.refused), total, y.counted, y.counted+y.perhaps)
}
