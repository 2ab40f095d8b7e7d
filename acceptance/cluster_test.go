package acceptance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gamutdb/gamut/door/http/remote"
	"github.com/gamutdb/gamut/internal/freeport"
	"github.com/gamutdb/gamut/kv"
)

// Doors of a node, as offsets from its base port.
const (
	httpDoor = iota
	peerDoor
	redisDoor
	memcachedDoor
	doors
)

// patience is how long a cluster may take for what it must do without being asked again: elect, start, catch up.
const patience = 40 * time.Second

// cluster is nodes as processes on this machine.
type cluster struct {
	t     *testing.T
	dir   string
	base  int
	flags []string // of every node
	nodes map[int]*node
}

// node is one member of a cluster, through all its lives.
type node struct {
	id    int
	dir   string
	flags []string // beside those of the cluster
	cmd   *exec.Cmd
	log   *lastLines
	// ended is closed when the process has been waited for.
	ended chan struct{}
	// asked says that the test has sent it a signal that ends it.
	asked bool
	// args are the words that it is started with; nil: those of a node of the cluster's list.
	args []string
}

// newCluster starts three nodes that are ready, and ends them with the test.
func newCluster(t *testing.T, flags ...string) *cluster {
	t.Helper()
	c := layOut(t, flags...)
	c.startAll()
	return c
}

// layOut prepares a cluster whose nodes are not started yet.
func layOut(t *testing.T, flags ...string) *cluster {
	t.Helper()
	if testing.Short() {
		t.Skip("runs processes; left out by -short")
	}
	c := &cluster{t: t, dir: t.TempDir(), base: freeport.Block(t, 5), flags: flags, nodes: map[int]*node{}}
	for id := 1; id <= 3; id++ {
		c.nodes[id] = &node{id: id, dir: filepath.Join(c.dir, fmt.Sprint("node", id)), log: new(lastLines)}
	}
	t.Cleanup(c.end)
	return c
}

// addr is where a door of a node listens.
func (c *cluster) addr(id, door int) string {
	return fmt.Sprintf("127.0.0.1:%d", c.base+10*(id-1)+door)
}

func (c *cluster) list() string {
	var entries []string
	for id := 1; id <= len(c.nodes); id++ {
		if c.nodes[id].args == nil {
			entries = append(entries, fmt.Sprintf("%d=%s", id, c.addr(id, peerDoor)))
		}
	}
	return strings.Join(entries, ",")
}

func (c *cluster) startAll() {
	c.t.Helper()
	for id, n := range c.nodes {
		if n.args == nil {
			c.start(id)
		}
	}
	c.awaitReady(1, 2, 3)
}

// start starts a node; what it writes goes to the node's lastLines.
func (c *cluster) start(id int) {
	c.t.Helper()
	n := c.nodes[id]
	args := n.args
	if args == nil {
		args = []string{"start", "--node", fmt.Sprint(id), "--dir", n.dir, "--cluster", c.list()}
	}
	args = slices.Concat(args, c.flags, n.flags)
	n.cmd, n.ended, n.asked = exec.Command(program, args...), make(chan struct{}), false
	n.cmd.Stdout, n.cmd.Stderr = n.log, n.log
	fmt.Fprintf(n.log, "--- start\n")
	if err := startProcess(n.cmd); err != nil {
		c.t.Fatalf("node %d: %v", id, err)
	}
	go func(cmd *exec.Cmd, ended chan struct{}) {
		// How it ended is in ProcessState.
		_ = cmd.Wait()
		fmt.Fprintf(n.log, "--- %v\n", cmd.ProcessState)
		close(ended)
	}(n.cmd, n.ended)
}

func (n *node) runs() bool {
	if n.cmd == nil {
		return false
	}
	select {
	case <-n.ended:
		return false
	default:
		return true
	}
}

func (n *node) pid() int { return n.cmd.Process.Pid }

// signal sends a signal to a node that runs.
func (c *cluster) signal(id int, s syscall.Signal) {
	c.t.Helper()
	c.nodes[id].asked = c.nodes[id].asked || s == syscall.SIGKILL || s == syscall.SIGTERM
	if err := c.nodes[id].cmd.Process.Signal(s); err != nil {
		c.t.Fatalf("node %d: %v: %v", id, s, err)
	}
}

// kill is kill -9; on return the process is gone.
func (c *cluster) kill(id int) {
	c.t.Helper()
	c.signal(id, syscall.SIGKILL)
	<-c.nodes[id].ended
}

// interrupt asks a node to end, waits for it and returns its exit code.
func (c *cluster) interrupt(id int) int {
	c.t.Helper()
	c.signal(id, syscall.SIGTERM)
	return c.exit(id)
}

// exit waits for a node that ends by itself.
func (c *cluster) exit(id int) int {
	c.t.Helper()
	n := c.nodes[id]
	select {
	case <-n.ended:
		return n.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		c.t.Fatalf("node %d still runs", id)
		return 0
	}
}

// stopAll ends all nodes in order, so that their states are on disk.
func (c *cluster) stopAll() {
	c.t.Helper()
	for id := 1; id <= 3; id++ {
		c.signal(id, syscall.SIGTERM)
	}
	for id := 1; id <= 3; id++ {
		if code := c.exit(id); code != 0 {
			c.t.Fatalf("node %d exits with %d", id, code)
		}
	}
}

// end kills what still runs and, after a failure, tells what the nodes said last.
func (c *cluster) end() {
	for id := 1; id <= len(c.nodes); id++ {
		n := c.nodes[id]
		if n.cmd != nil && !n.runs() && !n.asked && n.cmd.ProcessState.ExitCode() == 0 {
			c.t.Errorf("node %d was ended in order by somebody outside this test", id)
		}
		if n.runs() {
			n.cmd.Process.Signal(syscall.SIGCONT)
			n.cmd.Process.Kill() // one that ends at this moment needs no signal
			<-n.ended
		}
	}
	for id := 1; id <= len(c.nodes); id++ {
		if races := c.nodes[id].log.grep("WARNING: DATA RACE"); len(races) > 0 {
			c.t.Errorf("node %d: the race detector found %d races", id, len(races))
		}
	}
	if c.t.Failed() {
		for id := 1; id <= len(c.nodes); id++ {
			c.t.Logf("last lines of node %d:\n%s", id, c.nodes[id].log)
		}
	}
}

// lastLines keeps the end of a log.
type lastLines struct {
	mu   sync.Mutex
	text []byte
}

const logKept = 64 << 10

func (l *lastLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	if len(l.text) > 2*logKept {
		l.text = append(l.text[:0], l.text[len(l.text)-logKept:]...)
	}
	return len(p), nil
}

func (l *lastLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	const shown = 40
	lines := strings.Split(strings.TrimRight(string(l.text), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-shown):], "\n")
}

// grep returns the lines that contain the text.
func (l *lastLines) grep(text string) (lines []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(string(l.text)) {
		if strings.Contains(line, text) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// await polls until f returns nil, and fails the test if it never does.
func await(t *testing.T, limit time.Duration, f func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v: %v", limit, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (c *cluster) remote(ids ...int) *remote.Cluster {
	if len(ids) == 0 {
		ids = []int{1, 2, 3}
	}
	var addresses []string
	for _, id := range ids {
		addresses = append(addresses, c.addr(id, httpDoor))
	}
	return remote.New(addresses, 5*time.Second)
}

// awaitReady waits until /readyz of the nodes says yes.
func (c *cluster) awaitReady(ids ...int) {
	c.t.Helper()
	for _, id := range ids {
		await(c.t, patience, func() error { return c.readyz(id) })
	}
}

var httpClient = &http.Client{Timeout: 5 * time.Second}

// readyz is nil when the node says it can serve; its error is the node's own answer.
func (c *cluster) readyz(id int) error {
	resp, err := httpClient.Get("http://" + c.addr(id, httpDoor) + "/readyz")
	if err != nil {
		return fmt.Errorf("node %d is not ready: %w", id, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var b bytes.Buffer
		_, _ = b.ReadFrom(resp.Body) // what cannot be read is not told
		return fmt.Errorf("node %d is not ready: %s: %s", id, resp.Status, strings.TrimSpace(b.String()))
	}
	return nil
}

func (c *cluster) status(id int) (kv.Status, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return c.remote(id).Status(ctx)
}

// replica is a node's replica of the keyspace's first shard.
func (c *cluster) replica(id int, keyspace string) (kv.GroupStatus, error) {
	s, err := c.status(id)
	if err != nil {
		return kv.GroupStatus{}, err
	}
	at := slices.IndexFunc(s.Groups, func(g kv.GroupStatus) bool { return g.Keyspace == keyspace && g.Shard == 0 })
	if at < 0 {
		return kv.GroupStatus{}, fmt.Errorf("node %d has no replica of %s", id, keyspace)
	}
	return s.Groups[at], nil
}

// leader waits until a node says of itself that it leads the keyspace default.
func (c *cluster) leader() (leader int) {
	c.t.Helper()
	await(c.t, patience, func() error {
		for id, n := range c.nodes {
			if !n.runs() {
				continue
			}
			if g, err := c.replica(id, "default"); err == nil && g.Leader == uint32(id) {
				leader = id
				return nil
			}
		}
		return errors.New("no node leads the keyspace default")
	})
	return leader
}

// others are the ids of all nodes but one.
func others(id int) []int {
	return slices.DeleteFunc([]int{1, 2, 3}, func(n int) bool { return n == id })
}

// gamut runs the command line against the cluster.
func (c *cluster) gamut(args ...string) (code int, out string) {
	c.t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), fmt.Sprintf("GAMUT_ADDR=%s,%s,%s", c.addr(1, httpDoor), c.addr(2, httpDoor), c.addr(3, httpDoor)))
	b, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		c.t.Fatalf("gamut %v: %v", args, err)
	}
	return cmd.ProcessState.ExitCode(), string(b)
}

// checkReplicas asks verify and audit, which must compare all three replicas and find them equal. Verify comes first: it
// gives each group a block, and a node that was just started holds no older ones that audit could compare.
func (c *cluster) checkReplicas() {
	c.t.Helper()
	for _, command := range []string{"verify", "audit"} {
		code, out := c.gamut(command)
		if code != 0 || strings.Contains(out, "not checked") || strings.Contains(out, "NOT COMPARED") || !strings.Contains(out, "default") {
			c.t.Errorf("gamut %s exits with %d:\n%s", command, code, out)
		}
	}
}

// redis is a client of one node that tries nothing again, so that every outcome is the test's to judge.
func (c *cluster) redis(id int, timeout time.Duration) *redis.Client {
	client := redis.NewClient(&redis.Options{
		Addr: c.addr(id, redisDoor), MaxRetries: -1, DialTimeout: timeout, ReadTimeout: timeout, WriteTimeout: timeout,
		DialerRetries: 1, ContextTimeoutEnabled: true, DisableIdentity: true,
	})
	c.t.Cleanup(func() { client.Close() })
	return client
}

// put writes through a node and must succeed.
func (c *cluster) put(id int, key, value string) {
	c.t.Helper()
	ctx := context.Background()
	client := c.redis(id, 5*time.Second)
	await(c.t, patience, func() error { return client.Set(ctx, key, value, 0).Err() })
}

// get reads through a node and must find the value.
func (c *cluster) get(id int, key, want string) {
	c.t.Helper()
	got, err := c.redis(id, 5*time.Second).Get(context.Background(), key).Result()
	if err != nil || got != want {
		c.t.Errorf("node %d reads %s as %.40q, %v; want %.40q", id, key, got, err, want)
	}
}
