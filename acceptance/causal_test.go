package acceptance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gamutdb/gamut/lab"
)

// side is a client on one side of a partition, and what it knows to have happened.
type side struct {
	c      *cluster
	node   int
	name   string
	client *redis.Client
	// acked are values of plain keys; members are those put into the shared set, true: and not taken out again. maybe holds what may
	// have happened or not.
	acked   map[string]string
	members map[string]bool
	maybe   map[string]bool
	// added is what was added to the shared counter for certain, perhaps what may have been.
	added, perhaps int64
}

func (c *cluster) side(node int) *side {
	return &side{c: c, node: node, name: fmt.Sprint("side", node), client: c.redis(node, 2*time.Second), acked: map[string]string{},
		members: map[string]bool{}, maybe: map[string]bool{}}
}

// work writes until it is stopped, every value another one.
func (s *side) work(stop <-chan struct{}) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		name := fmt.Sprintf("%s-%d", s.name, i)
		if s.try("set", name, "value of "+name) == nil {
			s.acked[name] = "value of " + name
		}
		switch err := s.try("incr", "visits"); {
		case err == nil:
			s.added++
		case !refused(err):
			s.perhaps++
		}
		s.member("sadd", name, true)
		if i%3 == 0 {
			s.member("srem", name, false)
		}
		_ = s.try("set", "contested", name) // one of all these stays
	}
}

// member puts a member into the shared set, or takes it out.
func (s *side) member(command, name string, in bool) {
	switch err := s.try(command, "members", name); {
	case err == nil:
		s.members[name] = in
	case !refused(err):
		s.maybe[name] = true
	}
}

func (s *side) try(args ...any) error {
	return s.client.Do(context.Background(), args...).Err()
}

// refused says that a command was certainly not executed.
func refused(err error) bool { return codeOf(err).Refused() }

// TestBothSidesOfAPartitionGoOn cuts a node off from two others while a client works on each side, and kills it there once. When the
// cut is healed all three hold the same, and all that either side had acknowledged.
func TestBothSidesOfAPartitionGoOn(t *testing.T) {
	length := 4 * time.Second
	if text := os.Getenv("GAMUT_SOAK"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	c := newCluster(t, "--lab")
	w := c.world()
	if code, out := c.gamut("keyspace", "create", "carts", "--consistency", "causal"); code != 0 {
		t.Fatal(out)
	}
	sides := []*side{c.side(1), c.side(3)}
	for _, s := range sides {
		s.client = redis.NewClient(withKeyspace(s.client, "carts"))
		await(t, patience, func() error { return s.try("ping") })
	}
	c.isolate(w, 3, lab.Link{Down: true})
	stop := make(chan struct{})
	var working sync.WaitGroup
	for _, s := range sides {
		working.Go(func() { s.work(stop) })
	}
	pause(time.Now().Add(length / 2))
	c.signal(3, syscall.SIGKILL)
	<-c.nodes[3].ended
	c.start(3)
	pause(time.Now().Add(length / 2))
	close(stop)
	working.Wait()
	for _, s := range sides {
		t.Logf("%s: %d values, %d additions, %d members; in doubt %d and %d", s.name, len(s.acked), s.added, len(s.members), s.perhaps, len(s.maybe))
		if s.added == 0 {
			t.Errorf("%s did nothing", s.name)
		}
	}
	if apart := sides[0].try("get", sides[1].name+"-0"); !errors.Is(apart, redis.Nil) {
		t.Errorf("node 1 knows behind the cut what node 3 took: %v", apart)
	}
	c.isolate(w, 3, lab.Link{})
	c.awaitReady(1, 2, 3)
	if code, out := c.gamut("--keyspace", "carts", "stabilize"); code != 0 {
		t.Fatal(out)
	}
	for id := 1; id <= 3; id++ {
		c.checkSides(id, sides)
	}
	c.checkReplicas()
}

// withKeyspace are the options of a client whose connections select a keyspace.
func withKeyspace(client *redis.Client, keyspace string) *redis.Options {
	o := *client.Options()
	// The client's own options say 0 for none by now, which would be taken for the default of 3: an addition whose answer was lost
	// would be sent again, and counted as refused when nobody listened the second time.
	o.MaxRetries = -1
	o.OnConnect = func(ctx context.Context, conn *redis.Conn) error {
		return conn.Process(ctx, redis.NewStatusCmd(ctx, "select", keyspace))
	}
	return &o
}

// checkSides reads at a node all that the sides know of.
func (c *cluster) checkSides(id int, sides []*side) {
	c.t.Helper()
	client := redis.NewClient(withKeyspace(c.redis(id, 10*time.Second), "carts"))
	c.t.Cleanup(func() { client.Close() })
	ctx := context.Background()
	low, high := int64(0), int64(0)
	set, err := client.SMembers(ctx, "members").Result()
	if err != nil {
		c.t.Fatalf("node %d: %v", id, err)
	}
	slices.Sort(set)
	for _, s := range sides {
		low, high = low+s.added, high+s.added+s.perhaps
		for key, want := range s.acked {
			if got, err := client.Get(ctx, key).Result(); err != nil || got != want {
				c.t.Errorf("node %d: %s is %q, %v; want %q", id, key, got, err, want)
			}
		}
		for member, in := range s.members {
			if _, has := slices.BinarySearch(set, member); has != in && !s.maybe[member] {
				c.t.Errorf("node %d: %s is a member: %t, want %t", id, member, has, in)
			}
		}
	}
	if n, err := client.Get(ctx, "visits").Result(); err != nil || !between(n, low, high) {
		c.t.Errorf("node %d: %s visits, %v; want %d to %d", id, n, err, low, high)
	}
}

func between(text string, low, high int64) bool {
	n, err := strconv.ParseInt(text, 10, 64)
	return err == nil && n >= low && n <= high
}
