package acceptance

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/referee"
)

// recorder writes down what clients do to a cluster and what they are answered.
type recorder struct {
	c     *cluster
	began time.Time

	mu      sync.Mutex
	history referee.History
	done    atomic.Int64
}

func newRecorder(c *cluster) *recorder { return &recorder{c: c, began: time.Now()} }

func (r *recorder) now() int64 { return time.Since(r.began).Nanoseconds() }

// do carries one operation out and adds it to the history.
func (r *recorder) do(client *redis.Client, op referee.Op) referee.Op {
	op.Call = r.now()
	result, err := send(client, &op)
	if err != nil {
		result = kv.Result{Code: codeOf(err)}
		op.Where += " " + err.Error()
	}
	op.Answer(r.now(), &result)
	if op.Outcome == referee.Done {
		r.done.Add(1)
	}
	r.mu.Lock()
	r.history = append(r.history, op)
	r.mu.Unlock()
	return op
}

func send(client *redis.Client, op *referee.Op) (result kv.Result, err error) {
	ctx := context.Background()
	switch op.Kind {
	case referee.Get:
		var text string
		if text, err = client.Get(ctx, op.Key).Result(); errors.Is(err, redis.Nil) {
			return kv.Result{Code: kv.NotFound}, nil
		}
		result.Value = []byte(text)
	case referee.Set:
		err = client.Set(ctx, op.Key, op.Value, 0).Err()
	case referee.Incr:
		result.Int, err = client.IncrBy(ctx, op.Key, op.Delta).Result()
	case referee.Append:
		err = client.Append(ctx, op.Key, op.Value).Err()
	default:
		panic("no client sends " + string(op.Kind))
	}
	return result, err
}

// codeOf is what a client may conclude from an error: only what the door calls certain, and a connection that never came
// about, did certainly not happen.
func codeOf(err error) kv.Code {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return kv.Unavailable
	}
	for prefix, code := range map[string]kv.Code{"TRYAGAIN": kv.Busy, "CLUSTERDOWN": kv.Unavailable, "MISCONF": kv.DiskFull, "ERR ": kv.Invalid} {
		if strings.HasPrefix(err.Error(), prefix) {
			return code
		}
	}
	return kv.Unknown
}

// counts says how the operations went.
func (r *recorder) counts() string {
	n := map[referee.Outcome]int{}
	for i := range r.history {
		n[r.history[i].Outcome]++
	}
	return fmt.Sprintf("%d done, %d refused, %d unknown", n[referee.Done], n[referee.Refused], n[referee.Unknown])
}

// longestGap is the longest time in which nothing that began was done.
func (r *recorder) longestGap() (gap time.Duration) {
	last := int64(0)
	r.mu.Lock()
	defer r.mu.Unlock()
	// The history is in the order of return.
	for i := range r.history {
		if o := &r.history[i]; o.Outcome == referee.Done {
			gap, last = max(gap, time.Duration(o.Return-last)), o.Return
		}
	}
	return gap
}

// counterKey and listKey live as long as the test; only their ends are judged, since the search for an order grows with
// the number of unknown outcomes.
const (
	counterKey = "counter for ever"
	listKey    = "list for ever"
)

// clients starts n clients, each of all nodes, that read and write a few keys until stop is closed. Every second they go on
// to other keys, so that each key's history stays short.
func (r *recorder) clients(n int, timeout time.Duration, stop <-chan struct{}) *sync.WaitGroup {
	var all sync.WaitGroup
	for id := range n {
		nodes := []*redis.Client{r.c.redis(1, timeout), r.c.redis(2, timeout), r.c.redis(3, timeout)}
		all.Go(func() {
			chance := rand.New(rand.NewPCG(uint64(r.began.UnixNano()), uint64(id)))
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				node := chance.IntN(3)
				op := r.draw(chance, id, i)
				op.Client, op.Where = id, fmt.Sprint("node ", node+1)
				if op := r.do(nodes[node], op); op.Outcome == referee.Refused {
					// Refused at once: do not flood the history while a node is away.
					time.Sleep(5 * time.Millisecond)
				}
			}
		})
	}
	return &all
}

func (r *recorder) draw(chance *rand.Rand, client, i int) referee.Op {
	round := r.now() / int64(time.Second)
	unique := fmt.Sprintf("[%d.%d]", client, i)
	key := func(kind string, few int) string { return fmt.Sprintf("%s %d.%d", kind, round, chance.IntN(few)) }
	switch n := chance.IntN(100); {
	case n < 30:
		return referee.Op{Kind: referee.Set, Key: key("register", 3), Value: unique}
	case n < 65:
		return referee.Op{Kind: referee.Get, Key: key("register", 3)}
	case n < 80:
		return referee.Op{Kind: referee.Incr, Key: key("counter", 2), Delta: 1}
	case n < 85:
		return referee.Op{Kind: referee.Get, Key: key("counter", 2)}
	case n < 95:
		return referee.Op{Kind: referee.Incr, Key: counterKey, Delta: 1}
	}
	return referee.Op{Kind: referee.Append, Key: listKey, Value: unique}
}

// judge reads every key once more, on each of three nodes, and asks the referee about the history.
func (r *recorder) judge() {
	r.c.t.Helper()
	r.judgeBy(r.c.redis(1, 10*time.Second), r.c.redis(2, 10*time.Second), r.c.redis(3, 10*time.Second))
}

// judgeBy does so through these clients, each of another node.
func (r *recorder) judgeBy(nodes ...*redis.Client) {
	t := r.c.t
	t.Helper()
	r.history.Sort()
	ends := r.final(nodes[0])
	for _, node := range nodes[1:] {
		for key, value := range r.final(node) {
			if ends[key] != value {
				t.Errorf("%v ends with %.60q at %q, %v with %.60q", nodes[0], ends[key], key, node, value)
			}
		}
	}
	var short referee.History
	for _, o := range r.history {
		if o.Key != counterKey && o.Key != listKey {
			short = append(short, o)
		}
	}
	for _, v := range []referee.Verdict{referee.CheckDurable(r.history, ends), referee.CheckLinearizable(short, 30*time.Second)} {
		if !v.OK() {
			t.Errorf("%v\nthe history is in %s", v, r.export())
		}
	}
}

// final reads all keys of the history through a node.
func (r *recorder) final(client *redis.Client) referee.Final {
	r.c.t.Helper()
	ends := referee.Final{}
	seen := map[string]bool{}
	for i := range r.history {
		key := r.history[i].Key
		if seen[key] {
			continue
		}
		seen[key] = true
		value, err := client.Get(context.Background(), key).Result()
		switch {
		case err == nil:
			ends[key] = value
		case !errors.Is(err, redis.Nil):
			r.c.t.Fatalf("read %q through %v: %v", key, client, err)
		}
	}
	return ends
}

// export keeps a broken history for whoever wants to understand it.
func (r *recorder) export() string {
	path := filepath.Join(os.TempDir(), fmt.Sprintf("gamut-history-%d.jsonl", os.Getpid()))
	f, err := os.Create(path)
	if err == nil {
		err = errors.Join(r.history.Export(f), f.Close())
	}
	if err != nil {
		return err.Error()
	}
	return path
}

// TestRecorderKnowsWhatIsCertain holds the rules by which clients judge errors.
func TestRecorderKnowsWhatIsCertain(t *testing.T) {
	for text, want := range map[string]kv.Code{
		"TRYAGAIN busy: the queue is full": kv.Busy, "CLUSTERDOWN unavailable": kv.Unavailable, "MISCONF disk full": kv.DiskFull,
		"UNKNOWN outcome not known": kv.Unknown, "EOF": kv.Unknown, "i/o timeout": kv.Unknown,
	} {
		if got := codeOf(errors.New(text)); got != want {
			t.Errorf("%q means %v, want %v", text, got, want)
		}
	}
	if got := codeOf(fmt.Errorf("redis: %w", &net.OpError{Op: "dial", Err: errors.New("refused")})); !got.Refused() {
		t.Errorf("a failed dial means %v", got)
	}
	if got := codeOf(&net.OpError{Op: "read", Err: errors.New("reset")}); got != kv.Unknown {
		t.Errorf("a failed read means %v", got)
	}
}
