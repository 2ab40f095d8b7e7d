package acceptance

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gamutdb/gamut/internal/freeport"
	"github.com/gamutdb/gamut/referee"
)

// fleet is a cluster whose nodes come and go while somebody kills them.
type fleet struct {
	*cluster
	// turn is held by who starts, kills or removes a node: one is down at a time, and none comes back that was removed.
	turn sync.Mutex

	mu sync.Mutex
	in []int // who is a member, by what the test knows
}

// fleetKeyspace is what the clients work on.
const fleetKeyspace = "moving"

// newFleet is three nodes, and the places of more that may join.
func newFleet(t *testing.T, places int) *fleet {
	t.Helper()
	if testing.Short() {
		t.Skip("runs processes; left out by -short")
	}
	c := &cluster{t: t, dir: t.TempDir(), base: freeport.Block(t, places), nodes: map[int]*node{}}
	for id := 1; id <= places; id++ {
		c.nodes[id] = &node{id: id, dir: filepath.Join(c.dir, fmt.Sprint("node", id)), log: new(lastLines)}
		if id > 3 {
			c.nodes[id].args = []string{} // set when it joins
		}
	}
	t.Cleanup(c.end)
	c.startAll()
	f := &fleet{cluster: c, in: []int{1, 2, 3}}
	f.run("keyspace", "create", fleetKeyspace, "--consistency", "linearizable", "--shards", "4")
	return f
}

func (f *fleet) members() []int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.in)
}

// run runs a command that must succeed in the end: nodes that it asks are killed meanwhile.
func (f *fleet) run(args ...string) (out string) {
	f.t.Helper()
	await(f.t, 3*patience, func() error {
		var addresses []string
		for _, id := range f.members() {
			addresses = append(addresses, f.addr(id, httpDoor))
		}
		code := 0
		if code, out = f.gamut(append(args, "--addr", strings.Join(addresses, ","))...); code != 0 {
			return fmt.Errorf("gamut %v exits with %d:\n%s", args, code, out)
		}
		return nil
	})
	return out
}

// join lets the next node become a member, which its number must say.
func (f *fleet) join(id int) {
	f.t.Helper()
	f.turn.Lock()
	defer f.turn.Unlock()
	n := f.nodes[id]
	n.args = []string{"start", "--join", f.addr(f.members()[0], peerDoor), "--dir", n.dir, "--base-port", fmt.Sprint(f.addr(id, httpDoor)[len("127.0.0.1:"):])}
	f.start(id)
	f.awaitReady(id)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.in = append(f.in, id)
}

// forget takes a node out of what the clients ask and what is killed.
func (f *fleet) forget(id int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.in = slices.DeleteFunc(f.in, func(o int) bool { return o == id })
}

// leave drains a node, killed or not meanwhile, and removes it. It ends by itself.
func (f *fleet) leave(id int) {
	f.t.Helper()
	f.run("node", "drain", fmt.Sprint(id))
	f.turn.Lock()
	defer f.turn.Unlock()
	f.forget(id)
	f.run("node", "remove", fmt.Sprint(id))
	f.exit(id)
}

// lose kills a node, wipes its disk, and has others take what it held.
func (f *fleet) lose(id int) {
	f.t.Helper()
	f.turn.Lock()
	f.kill(id)
	if err := os.RemoveAll(f.nodes[id].dir); err != nil {
		f.t.Fatal(err)
	}
	f.forget(id)
	f.turn.Unlock()
	f.run("node", "replace", fmt.Sprint(id))
}

// killing kills a member with -9 every second and a half, and starts it again, until it is told to stop.
func (f *fleet) killing(stop <-chan struct{}) (kills int) {
	chance := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 5))
	for {
		select {
		case <-stop:
			return kills
		case <-time.After(1500 * time.Millisecond):
		}
		f.turn.Lock()
		in := f.members()
		id := in[chance.IntN(len(in))]
		f.kill(id)
		pause(time.Now().Add(time.Duration(chance.Int64N(int64(800 * time.Millisecond)))))
		f.start(id)
		for end := time.Now().Add(patience); f.readyz(id) != nil; pause(time.Now().Add(20 * time.Millisecond)) {
			if time.Now().After(end) {
				f.t.Errorf("node %d does not come back: %v", id, f.readyz(id))
				break
			}
		}
		f.turn.Unlock()
		kills++
	}
}

// door is a client of one node, on the keyspace.
func (f *fleet) door(id int, timeout time.Duration) *redis.Client {
	client := redis.NewClient(&redis.Options{
		Addr: f.addr(id, redisDoor), MaxRetries: -1, DialTimeout: timeout, ReadTimeout: timeout, WriteTimeout: timeout,
		DialerRetries: 1, ContextTimeoutEnabled: true, DisableIdentity: true,
		OnConnect: func(ctx context.Context, conn *redis.Conn) error { return conn.Do(ctx, "SELECT", fleetKeyspace).Err() },
	})
	f.t.Cleanup(func() { client.Close() })
	return client
}

// clients work through whoever is a member.
func (f *fleet) clients(r *recorder, n int, stop <-chan struct{}) *sync.WaitGroup {
	var all sync.WaitGroup
	for id := range n {
		all.Go(func() {
			chance := rand.New(rand.NewPCG(uint64(r.began.UnixNano()), uint64(id)))
			doors := map[int]*redis.Client{}
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				in := f.members()
				node := in[chance.IntN(len(in))]
				if doors[node] == nil {
					doors[node] = f.door(node, 3*time.Second)
				}
				op := r.draw(chance, id, i)
				op.Client, op.Where = id, fmt.Sprint("node ", node)
				if op := r.do(doors[node], op); op.Outcome == referee.Refused {
					time.Sleep(5 * time.Millisecond)
				}
			}
		})
	}
	return &all
}

// TestMembersComeAndGoUnderLoad makes five nodes of three, and three others of these, one of them replaced because its disk was
// wiped, while clients work on all and somebody kills a member with -9 every second and a half; a second time round if GAMUT_SOAK is
// set. The referee judges what the clients saw: no operation is lost, none appears that was refused.
func TestMembersComeAndGoUnderLoad(t *testing.T) {
	rounds := 1
	if os.Getenv("GAMUT_SOAK") != "" {
		rounds = 4
	}
	f := newFleet(t, 3+3*rounds)
	r := newRecorder(f.cluster)
	stop, still := make(chan struct{}), make(chan struct{})
	working := f.clients(r, 6, stop)
	kills := 0
	var killer sync.WaitGroup
	killer.Go(func() { kills = f.killing(still) })
	for round := range rounds {
		old := 3 * round
		f.join(old + 4)
		f.join(old + 5)
		f.run("balance")
		f.lose(old + 1)
		f.join(old + 6)
		f.leave(old + 2)
		f.leave(old + 3)
	}
	close(still)
	killer.Wait()
	served := r.done.Load()
	await(t, patience, func() error { return atLeast(r.done.Load()-served, 100) })
	close(stop)
	working.Wait()
	last := f.members()
	slices.Sort(last)
	if want := []int{3*rounds + 1, 3*rounds + 2, 3*rounds + 3}; !slices.Equal(last, want) {
		t.Fatalf("members are %v in the end, not %v", last, want)
	}
	t.Logf("%d kills: %s; longest gap %v", kills, r.counts(), r.longestGap().Round(time.Millisecond))
	for _, command := range []string{"verify", "audit"} {
		if out := f.run(command); strings.Contains(out, "not checked") || strings.Contains(out, "NOT COMPARED") || !strings.Contains(out, fleetKeyspace) {
			t.Errorf("gamut %s:\n%s", command, out)
		}
	}
	r.judgeBy(f.door(last[0], 10*time.Second), f.door(last[1], 10*time.Second), f.door(last[2], 10*time.Second))
}
