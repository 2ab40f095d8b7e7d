package acceptance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/internal/freeport"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/lab"
	"github.com/gamutdb/gamut/lab/live"
	"github.com/gamutdb/gamut/referee"
)

// processes are the cluster's nodes as the lab wants to have them.
type processes struct{ *cluster }

func (p processes) Start(node core.NodeID) error {
	p.start(int(node))
	return nil
}

func (p processes) Signal(node core.NodeID, s os.Signal) error {
	p.signal(int(node), s.(syscall.Signal))
	if s == syscall.SIGKILL {
		<-p.nodes[int(node)].ended
	}
	return nil
}

func (p processes) Runs(node core.NodeID) bool { return p.nodes[int(node)].runs() }

func (p processes) Ended(node core.NodeID) string {
	return p.nodes[int(node)].cmd.ProcessState.String()
}

func (p processes) Dir(node core.NodeID) string { return p.nodes[int(node)].dir }

func (p processes) Stop(time.Duration) {} // the cluster ends with the test

// world is a cluster whose nodes were started with --lab, as one to attack.
func (c *cluster) world() *live.World {
	addresses := map[core.NodeID]string{}
	for id := range c.nodes {
		addresses[core.NodeID(id)] = c.addr(id, httpDoor)
	}
	return live.New(processes{c}, []core.NodeID{1, 2, 3}, addresses)
}

// do fails the test if the world could not do what it was asked.
func (c *cluster) did(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// isolate sets both directions of all links of a node.
func (c *cluster) isolate(w *live.World, id int, l lab.Link) {
	c.t.Helper()
	for _, other := range others(id) {
		c.did(w.SetLink(context.Background(), core.NodeID(id), core.NodeID(other), l))
		c.did(w.SetLink(context.Background(), core.NodeID(other), core.NodeID(id), l))
	}
}

// awaitHeir waits until another node than the old leader says of itself that it leads the keyspace default.
func (c *cluster) awaitHeir(old int) (heir int) {
	c.t.Helper()
	await(c.t, patience, func() error {
		for _, id := range others(old) {
			if g, err := c.replica(id, "default"); err == nil && g.Leader == uint32(id) {
				heir = id
				return nil
			}
		}
		return fmt.Errorf("nobody has taken over from node %d", old)
	})
	return heir
}

// TestPartitionedLeader cuts the leader of three real processes off from the others while clients work on all of them. The
// majority elects, the leader behind the cut answers nothing stale, and when it is over all that was acknowledged is there.
func TestPartitionedLeader(t *testing.T) {
	c := newCluster(t, "--lab")
	w := c.world()
	r := newRecorder(c)
	stop := make(chan struct{})
	clients := r.clients(6, time.Second, stop)
	leader := c.leader()
	var canary referee.History
	canary = append(canary, c.timed(r, referee.Op{Kind: referee.Set, Key: "k", Value: "old"}, func() kv.Result { return c.ask(w, leader, set("k", "old")) }))
	c.isolate(w, leader, lab.Link{Down: true})
	heir := c.awaitHeir(leader)
	canary = append(canary, c.timed(r, referee.Op{Kind: referee.Set, Key: "k", Value: "new"}, func() kv.Result { return c.ask(w, heir, set("k", "new")) }))
	for range 5 {
		read := kv.Command{Ops: []kv.Op{{Kind: kv.OpGet, Key: []byte("k")}}}
		if got := w.Do(lab.Request{Node: core.NodeID(leader), Keyspace: "default", Command: read, Timeout: 300 * time.Millisecond}); got.Code < kv.Unavailable {
			t.Errorf("the leader behind the cut answers %v %q", got.Code, got.Value)
		}
		if got := w.Do(lab.Request{Node: core.NodeID(leader), Keyspace: "default", Command: set("other", "x"), Timeout: 300 * time.Millisecond}); got.Code < kv.Unavailable {
			t.Errorf("the leader behind the cut takes a write: %v", got.Code)
		}
	}
	// The canary: had the node answered from what it holds, the referee would say so.
	stale := c.timed(r, referee.Op{Kind: referee.Get, Key: "k"}, func() kv.Result { return c.holds(w, leader, "k") })
	before := r.done.Load()
	await(t, patience, func() error { return atLeast(r.done.Load()-before, 50) })
	c.isolate(w, leader, lab.Link{})
	c.awaitReady(1, 2, 3)
	c.get(leader, "k", "new")
	close(stop)
	clients.Wait()
	t.Logf("%s; longest gap %v", r.counts(), r.longestGap().Round(time.Millisecond))
	r.judge()
	c.checkReplicas()
	if v := referee.CheckLinearizable(canary, patience); !v.OK() {
		t.Errorf("without the stale read: %v", v)
	}
	if v := referee.CheckLinearizable(append(canary, stale), patience); v.Decision != referee.Broken {
		t.Errorf("a replica behind the cut still holds %q, and as an answer that is %v", stale.Got, v)
	}
}

func set(key, value string) kv.Command {
	return kv.Command{Ops: []kv.Op{{Kind: kv.OpSet, Key: []byte(key), Value: []byte(value)}}}
}

// ask gives a command to a node until it is executed.
func (c *cluster) ask(w *live.World, id int, command kv.Command) (r kv.Result) {
	c.t.Helper()
	await(c.t, patience, func() error {
		r = w.Do(lab.Request{Node: core.NodeID(id), Keyspace: "default", Command: command, Timeout: 5 * time.Second})
		return r.Err()
	})
	return r
}

// holds is what a node's replica holds at a key, as if it were an answer.
func (c *cluster) holds(w *live.World, id int, key string) kv.Result {
	c.t.Helper()
	items, err := w.State(context.Background(), core.NodeID(id), "default")
	c.did(err)
	at := slices.IndexFunc(items, func(i lab.Item) bool { return string(i.Key) == key })
	if at < 0 {
		return kv.Result{Code: kv.NotFound}
	}
	return kv.Result{Value: items[at].Value, Version: items[at].Version}
}

// timed is one operation with its times.
func (c *cluster) timed(r *recorder, op referee.Op, f func() kv.Result) referee.Op {
	op.Call = r.now()
	result := f()
	op.Answer(r.now(), &result)
	return op
}

// TestClockOfAnHour lets the wall clock of a real leader jump by an hour, either way, and starts it again with that clock.
// A running node goes by its own time, and one that starts with a wrong clock leads nothing until somebody sets it right.
func TestClockOfAnHour(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(jump.String(), func(t *testing.T) {
			c := newCluster(t, "--lab")
			w := c.world()
			ctx := context.Background()
			r := newRecorder(c)
			stop := make(chan struct{})
			clients := r.clients(4, 3*time.Second, stop)
			leader := c.leader()
			// Half an hour to live: whoever believes the jump takes it away.
			c.did(c.redis(leader, 5*time.Second).Set(ctx, "short", "lived", 30*time.Minute).Err())
			c.did(w.SetClock(ctx, core.NodeID(leader), lab.Clock{Offset: jump}))
			c.awaitAlarm(leader, "the wall clock is")
			before := r.done.Load()
			await(t, patience, func() error { return atLeast(r.done.Load()-before, 100) })
			c.get(leader, "short", "lived")

			c.kill(leader)
			c.start(leader)
			c.awaitAlarm(leader, "it leads nothing until its clock is set right")
			before = r.done.Load()
			await(t, patience, func() error { return atLeast(r.done.Load()-before, 100) })
			if g, err := c.replica(leader, "default"); err != nil || g.Leader == uint32(leader) {
				t.Errorf("a node whose clock is %v off leads: %+v, %v", jump, g, err)
			}
			c.get(others(leader)[0], "short", "lived")

			c.did(w.SetClock(ctx, core.NodeID(leader), lab.Clock{}))
			c.awaitReady(1, 2, 3)
			c.get(leader, "short", "lived")
			close(stop)
			clients.Wait()
			t.Log(r.counts())
			r.judge()
			c.checkReplicas()
		})
	}
}

func (c *cluster) awaitAlarm(id int, text string) {
	c.t.Helper()
	await(c.t, patience, func() error {
		s, err := c.status(id)
		if err != nil {
			return err
		}
		if !strings.Contains(strings.Join(s.Alarms, "\n"), text) {
			return fmt.Errorf("node %d has no alarm of %q: %q", id, text, s.Alarms)
		}
		return nil
	})
}

// TestFailedSyncEndsTheProcess holds the promise that a node that could not sync its log does not go on: it says why, exits
// with 1, and the others serve. Started again it is a node like before.
func TestFailedSyncEndsTheProcess(t *testing.T) {
	c := newCluster(t, "--lab")
	w := c.world()
	leader := c.leader()
	c.put(leader, "before", "1")
	c.did(w.SetDisk(context.Background(), core.NodeID(leader), lab.Disk{SyncError: true}))
	for _, id := range others(leader) {
		c.put(id, fmt.Sprint("meanwhile ", id), "2")
	}
	if code := c.exit(leader); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if lines := c.nodes[leader].log.grep("what was written may not be on disk, so this node must stop"); len(lines) == 0 {
		t.Error("the node did not say why")
	}
	for _, id := range others(leader) {
		c.get(id, "before", "1")
	}
	c.start(leader)
	c.awaitReady(1, 2, 3)
	c.get(leader, fmt.Sprint("meanwhile ", others(leader)[0]), "2")
	c.checkReplicas()
}

// TestNobodyIsAttackedUnasked holds that a cluster that was not started with --lab refuses every fault.
func TestNobodyIsAttackedUnasked(t *testing.T) {
	c := newCluster(t)
	_, err := live.Attach(context.Background(), []string{c.addr(1, httpDoor)})
	if !errors.Is(err, lab.ErrNotOurs) || !strings.Contains(err.Error(), "node 1 at "+c.addr(1, httpDoor)) || !strings.Contains(err.Error(), "gamut start --lab") {
		t.Errorf("attach: %v", err)
	}
	for _, q := range []string{"PUT /v1/lab/links/2/in", "PUT /v1/lab/clock", "PUT /v1/lab/disk", "DELETE /v1/lab/faults", "GET /v1/lab/faults", "POST /v1/lab/command"} {
		method, path, _ := strings.Cut(q, " ")
		req, err := http.NewRequest(method, "http://"+c.addr(1, httpDoor)+path, strings.NewReader(`{"down":true}`))
		c.did(err)
		resp, err := httpClient.Do(req)
		c.did(err)
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusForbidden || !strings.Contains(string(b), "start it with --lab") {
			t.Errorf("%s: %s %s %v", q, resp.Status, b, err)
		}
	}
	if s, err := c.status(1); err != nil || s.Lab {
		t.Errorf("the status says lab %v, %v", s.Lab, err)
	}
	code, out := c.gamut("lab", "fuzz", "--live", "--addr", c.addr(1, httpDoor), "--for", "1s")
	if code != 1 || !strings.Contains(out, "start it with gamut start --lab") {
		t.Errorf("lab fuzz exits with %d: %s", code, out)
	}
	script := filepath.Join(t.TempDir(), "attack.lab")
	c.did(os.WriteFile(script, []byte("world live\nisolate 1\nput k v at 1\n"), 0o644))
	code, out = c.gamut("lab", "run", "--addr", c.addr(1, httpDoor), script)
	if code != 1 || !strings.Contains(out, "start it with gamut start --lab") {
		t.Errorf("lab run exits with %d: %s", code, out)
	}
	c.put(1, "unhurt", "yes")
}

// TestLabFuzz runs the command on processes of its own, once as it is, which must hold, and once with clients that believe
// stale replicas, which must not.
func TestLabFuzz(t *testing.T) {
	if testing.Short() {
		t.Skip("runs processes; left out by -short")
	}
	faults := []string{"--faults", "partition,crash,pause,clock", "--consistency", "linearizable", "--seed", "4"}
	code, out := labFuzz(t, append(faults, "--for", "8s")...)
	if code != 0 || !strings.Contains(out, "linearizable: holds") || !strings.Contains(out, "durability: holds") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	code, out = labFuzz(t, append(faults, "--for", "4s", "--canary")...)
	if code != 6 || !strings.Contains(out, "broken") {
		t.Errorf("with stale reads, exit code %d\n%s", code, out)
	}
}

// TestEachFaultStrikes lets every fault that real processes can suffer strike some, and has what clients saw judged all the same.
func TestEachFaultStrikes(t *testing.T) {
	if testing.Short() {
		t.Skip("runs processes; left out by -short")
	}
	names := live.KindNames()
	const half = 9
	for _, c := range []struct {
		seed   string
		faults []string
	}{{"200", names[:half]}, {"3485", names[half : len(names)-1]}} { // the last is lead, and nobody leads a quorum keyspace
		code, out := labFuzz(t, "--consistency", "quorum", "--workload", "register,sessions", "--seed", c.seed, "--for", "12s",
			"--faults", strings.Join(c.faults, ","))
		if code != 0 || !strings.Contains(out, "quorum: holds") || !strings.Contains(out, "convergence: holds") {
			t.Errorf("exit code %d\n%s", code, out)
		}
		_, struck, _ := strings.Cut(out, "faults: ")
		struck, _, _ = strings.Cut(struck, "\n")
		for _, name := range c.faults {
			if !strings.Contains(struck, name+" ") {
				t.Errorf("no %s struck: %s", name, struck)
			}
		}
	}
}

// TestLabRunAttacksProcesses plays a script on real processes, which lose nothing when they are killed.
func TestLabRunAttacksProcesses(t *testing.T) {
	script := filepath.Join(t.TempDir(), "attack.lab")
	text := `world live
cluster nodes 3
keyspace k consistency=linearizable
put city Paris at 1
crash 2 kept
put city Rome at 1 timeout 20s
start 2
await ready
get city at 2 timeout 20s
isolate 3
put city Oslo at 1 timeout 20s
heal
restart all kept
await ready
get city at 3 timeout 20s
keyspace c consistency=causal
put a 1 at 1
stabilize
printStore 3
check
----
ok
ok
Rome
ok
Oslo
ok
a:1
c: causal, by all checkers
k: linearizable, by all checkers
`
	if err := os.WriteFile(script, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	playLive(t, script)
}

// TestAWalkThroughHoldsOnRealProcesses plays what the simulator plays on processes, word for word.
func TestAWalkThroughHoldsOnRealProcesses(t *testing.T) {
	t.Parallel() // it mostly waits
	playLive(t, filepath.Join("..", "examples", "two_phase.lab"))
}

// TestQuorumTranscriptHoldsOnRealProcesses plays the walk through a quorum keyspace on processes: what was written at one and at quorum
// while a server was killed is given to it when it is back, two dead replicas of three leave level one, and the inspector agrees. Only
// the versions are others, so they are numbered in the order in which they are first printed.
func TestQuorumTranscriptHoldsOnRealProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute; left out by -short")
	}
	t.Parallel() // it mostly waits
	want, err := os.ReadFile(filepath.Join("..", "examples", "quorum.lab"))
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(t.TempDir(), "quorum.lab")
	if err := os.WriteFile(script, want, 0o644); err != nil {
		t.Fatal(err)
	}
	playLive(t, script, "--rewrite")
	got, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(withoutVersions(want), withoutVersions(got)); diff != "" {
		t.Errorf("on processes it went otherwise (-simulated +live):\n%s", diff)
	}
	if strings.Contains(string(got), "Ooops") || !strings.Contains(withoutVersions(got), "version #3") {
		t.Errorf("the inspector warns, or shows nothing:\n%s", got)
	}
}

var versionText = regexp.MustCompile(`version \d+`)

// withoutVersions numbers the versions of a transcript in the order in which they come.
func withoutVersions(transcript []byte) string {
	numbers := map[string]int{}
	return versionText.ReplaceAllStringFunc(string(transcript), func(v string) string {
		if numbers[v] == 0 {
			numbers[v] = len(numbers) + 1
		}
		return fmt.Sprintf("version #%d", numbers[v])
	})
}

// playLive fails the test if a script prints something else than it expects.
func playLive(t *testing.T, script string, more ...string) {
	t.Helper()
	args := append([]string{"lab", "run", "--world", "live", "--base-port", fmt.Sprint(freeport.Block(t, 5)), script}, more...)
	cmd := exec.Command(program, args...)
	var got lastLines
	cmd.Stdout, cmd.Stderr = &got, &got
	if err := startProcess(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, got.String())
	}
}

// TestLabFuzzOfARunningCluster attacks nodes that were started by somebody else: their processes are not ended, and in the end
// nothing hurts them any more.
func TestLabFuzzOfARunningCluster(t *testing.T) {
	c := newCluster(t, "--lab")
	code, out := c.gamut("lab", "fuzz", "--live", "--addr", c.addr(2, httpDoor), "--for", "4s", "--seed", "3")
	if code != 0 || !strings.Contains(out, "linearizable: holds") || strings.Contains(out, "kill -9") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if code, out := c.gamut("lab", "fuzz", "--live", "--addr", c.addr(2, httpDoor), "--faults", "crash"); code != 1 || !strings.Contains(out, "not started here") {
		t.Errorf("to crash them: exit code %d\n%s", code, out)
	}
	for id := range c.nodes {
		s, err := c.status(id)
		if err != nil || strings.Contains(strings.Join(s.Alarms, "\n"), "the lab hurts this node") {
			t.Errorf("node %d after the run: %q, %v", id, s.Alarms, err)
		}
	}
	c.checkReplicas()
}

func labFuzz(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	temp := t.TempDir()
	cmd := exec.Command(program, append([]string{"lab", "fuzz", "--live", "--base-port", fmt.Sprint(freeport.Block(t, 5))}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+temp)
	var text lastLines
	cmd.Stdout, cmd.Stderr = &text, &text
	if err := startProcess(cmd); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // its code says how it ended
	return cmd.ProcessState.ExitCode(), text.String()
}
