package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/kv"
)

// inMemory gives every node of a cluster a file system that can lose its power.
func (c *cluster) inMemory() map[core.NodeID]*vfs.MemFS {
	disks := map[core.NodeID]*vfs.MemFS{}
	for id, config := range c.configs {
		disks[id] = vfs.NewCrashableMem()
		config.Store.FS = disks[id]
		c.configs[id] = config
	}
	return disks
}

// After a power cut the states have fallen back, the catalog's with them: the replicas of a keyspace are on the disk before
// the catalog names them again, and must lose nothing meanwhile, not even in a second cut.
func TestAcknowledgedWritesSurvivePowerCutsOfAllNodes(t *testing.T) {
	for _, promise := range []kv.Consistency{kv.Linearizable, kv.Atomic} {
		t.Run(string(promise), func(t *testing.T) { cutPower(t, kv.CreateKeyspace{Name: "default", Shards: 2, Consistency: promise}) })
	}
}

func cutPower(t *testing.T, spec kv.CreateKeyspace) {
	c := newCluster(t, 3)
	disks := c.inMemory()
	c.start(1, 2, 3)
	c.ready()
	c.create(1, spec)
	c.hasKeyspace("default")
	written := 0
	for round := range 3 {
		for range 10 {
			mustSet(t, c.nodes[core.NodeID(written%3+1)], "default", fmt.Sprint("k", written), fmt.Sprint("v", written))
			written++
		}
		rng := rand.New(rand.NewPCG(uint64(round), 1))
		for id := range disks {
			disks[id] = disks[id].CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng})
		}
		for id, config := range c.configs {
			c.close(id)
			config.Store.FS = disks[id]
			c.configs[id] = config
		}
		c.start(1, 2, 3)
		c.hasKeyspace("default")
		c.ready()
		for i := range written {
			mustGet(t, c.nodes[core.NodeID(i%3+1)], "default", fmt.Sprint("k", i), fmt.Sprint("v", i))
		}
	}
}

func TestWritesGoOnWithoutTheLeader(t *testing.T) {
	c := newCluster(t, 3)
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "default"})
	c.hasKeyspace("default")
	mustSet(t, c.nodes[1], "default", "a", "1")
	leader := core.NodeID(c.nodes[1].table.Load().byName["default"].shards[0].leader.Load())
	c.close(leader)
	for id, n := range c.nodes {
		mustSet(t, n, "default", fmt.Sprint("b", id), "2")
		mustGet(t, n, "default", "a", "1")
	}
	c.start(leader)
	c.ready()
	c.hasKeyspace("default")
	mustGet(t, c.nodes[leader], "default", "a", "1")
}

// A node that is alone answers every call, within its deadline, and says that nothing was sent.
func TestANodeAloneRefuses(t *testing.T) {
	c := newCluster(t, 3)
	c.start(1)
	n := c.nodes[1]
	if err := n.Ready(); err == nil || !strings.Contains(err.Error(), "no leader is known for system/0") {
		t.Errorf("ready: %v", err)
	}
	var b kv.Batch
	b.Reset(time.Now().Add(100 * time.Millisecond))
	for range 3 {
		call := b.Add()
		call.Keyspace, call.Command = n.system(), set("a", "b")
	}
	n.Submit(&b)
	b.Wait()
	for _, call := range b.Calls() {
		if call.Result.Code != kv.Unavailable {
			t.Errorf("%+v", call.Result)
		}
	}
}

// lowDisk is a file system with as little room as a test wants, whose files fail when it says so.
type lowDisk struct {
	vfs.FS
	free atomic.Uint64
}

func (d *lowDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	free := d.free.Load()
	return vfs.DiskUsage{AvailBytes: free, TotalBytes: 100 << 30, UsedBytes: 100<<30 - free}, nil
}

func TestAFullDiskRefusesWritesAndRecovers(t *testing.T) {
	c := newCluster(t, 1)
	disk := &lowDisk{FS: vfs.NewMem()}
	disk.free.Store(50 << 30)
	config := c.configs[1]
	config.Store.FS, config.DiskReserveBytes = disk, 0
	c.configs[1] = config
	c.start(1)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "default"})
	n := c.nodes[1]
	mustSet(t, n, "default", "a", "1")
	disk.free.Store(1<<30 - 1) // 1 % of 100 GiB is kept
	eventually(t, "the disk is full", func() error {
		if r := submit(n, "default", set("w", "2"))[0]; r.Code != kv.DiskFull {
			return fmt.Errorf("a write is answered %v", r.Code)
		}
		return nil
	})
	if err := n.Ready(); err == nil || !strings.Contains(err.Error(), "nearly full") {
		t.Errorf("ready: %v", err)
	}
	if alarms := n.Status().Alarms; len(alarms) != 1 || !strings.Contains(alarms[0], "takes no writes") {
		t.Errorf("alarms %q", alarms)
	}
	mustGet(t, n, "default", "a", "1")
	disk.free.Store(50 << 30)
	mustSet(t, n, "default", "a", "3")
	eventually(t, "ready again", n.Ready)
}

func TestProofOfDamageRaisesAnAlarm(t *testing.T) {
	c := newCluster(t, 1)
	c.start(1)
	c.ready()
	n := c.nodes[1]
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := n.onLoop(ctx, func(host.Now) { n.Note(7, core.DamageNote{Text: "two blocks 3"}) }); err != nil {
		t.Fatal(err)
	}
	if alarms := n.Status().Alarms; len(alarms) != 1 || !strings.Contains(alarms[0], "group 7: two blocks 3") || !strings.Contains(alarms[0], "gamut audit") {
		t.Errorf("alarms %q", alarms)
	}
}

func TestAFailedSyncEndsTheNode(t *testing.T) {
	c := newCluster(t, 1)
	var broken atomic.Bool
	inject := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && strings.Contains(op.Path, "log") && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) {
			return errors.New("the disk is broken")
		}
		return nil
	})
	config := c.configs[1]
	config.Store.FS = errorfs.Wrap(vfs.NewMem(), inject)
	c.configs[1] = config
	c.start(1)
	c.ready()
	n := c.nodes[1]
	broken.Store(true)
	var b kv.Batch
	b.Reset(time.Now().Add(time.Second))
	call := b.Add()
	call.Keyspace, call.Command = n.system(), set("a", "b")
	n.Submit(&b)
	b.Wait()
	if r := call.Result; r.Code != kv.Unknown {
		t.Errorf("the write is answered %+v", r)
	}
	select {
	case err := <-c.fatal:
		if !strings.Contains(err.Error(), "the disk is broken") || !strings.Contains(err.Error(), ".log") {
			t.Errorf("it ends with %v", err)
		}
	case <-time.After(patience):
		t.Error("the node goes on")
	}
	delete(c.nodes, 1)
	if err := n.Close(context.Background()); err == nil {
		t.Error("closing hides the error")
	}
}

// What waits for a peer is bounded: messages beyond it are lost, commands come back, and a peer that does not take its
// answers is hung up on.
func TestTheQueueToAPeerIsBounded(t *testing.T) {
	p := &peer{id: 2, wake: make(chan struct{}, 1)}
	n := &Node{}
	n.peers.Store(&peerSet{byID: map[core.NodeID]*peer{2: p}, ordered: []*peer{p}})
	m := host.Envelope{Group: 1, From: 1, To: 2, Message: word(strings.Repeat("m", 1<<20))}
	n.Message(2, m)
	n.Forward(2, host.Forward{ID: 5})
	if p.buildingBytes != 0 || len(n.unsent) != 1 {
		t.Fatalf("without a connection %d bytes wait, %d commands came back", p.buildingBytes, len(n.unsent))
	}
	here, there := net.Pipe()
	p.opened(here, [16]byte{})
	p.hearing.Store(true)
	for range 200 {
		n.Message(2, m)
		p.flush()
	}
	if queued := p.queued.Load(); queued < queueMax || queued > queueMax+4<<20 {
		t.Errorf("%d bytes wait", queued)
	}
	n.Forward(2, host.Forward{ID: 6})
	if len(n.unsent) != 2 {
		t.Error("a command that does not fit was taken")
	}
	n.Return(2, 7, kv.Result{}, false)
	if _, err := there.Read(make([]byte, 1)); err == nil {
		t.Error("the connection goes on without an answer")
	}
	frames := p.take(nil)
	p.recycle(frames)
	if p.queued.Load() != 0 {
		t.Errorf("%d bytes wait in an empty queue", p.queued.Load())
	}
}

// A client that asks another node for more than the connection carries must not take it from everybody: large answers to reads
// are refused before the queue is full, and everything else goes on.
func TestLargeAnswersToReadsLeaveRoomForTheRest(t *testing.T) {
	p := &peer{id: 2, wake: make(chan struct{}, 1)}
	n := &Node{}
	n.peers.Store(&peerSet{byID: map[core.NodeID]*peer{2: p}})
	out, _ := net.Pipe()
	p.opened(out, [16]byte{})
	large := kv.Result{Value: make([]byte, 1<<20)}
	for id := range core.RequestID(200) {
		n.Return(2, id, large, true)
	}
	if p.buildingBytes > queueMax/2 || !p.connected.Load() {
		t.Errorf("%d bytes wait, connected %v", p.buildingBytes, p.connected.Load())
	}
	before := p.buildingBytes
	n.Return(2, 300, large, false) // a write has happened, so its answer is not ours to refuse
	if p.buildingBytes < before+1<<20 {
		t.Error("the answer to a write was withheld")
	}
}

// One of the two connections to a peer may break alone: nobody may wait for an answer that has no way back.
func TestAnswersNeedAWayBack(t *testing.T) {
	p := &peer{id: 2, wake: make(chan struct{}, 1)}
	n := &Node{}
	n.peers.Store(&peerSet{byID: map[core.NodeID]*peer{2: p}})
	out, _ := net.Pipe()
	p.opened(out, [16]byte{})
	n.Forward(2, host.Forward{ID: 5})
	if p.buildingBytes != 0 || len(n.unsent) != 1 {
		t.Errorf("a command was sent to a peer that cannot answer")
	}
	p.closed("")
	in, there := net.Pipe()
	p.in = in
	n.Return(2, 7, kv.Result{}, false)
	if _, err := there.Read(make([]byte, 1)); err == nil {
		t.Error("an answer was lost, and the peer is not told")
	}
}

// A clock that is an hour off must not stamp anything: its node leads nothing and says why; the others serve.
func TestANodeWithAWrongClockLeadsNothing(t *testing.T) {
	for _, off := range []time.Duration{time.Hour, -time.Hour} {
		c := newCluster(t, 3)
		config := c.configs[1] // the catalog's preferred leader
		var cured atomic.Bool
		config.wall = func() time.Time {
			if cured.Load() {
				return time.Now()
			}
			return time.Now().Add(off)
		}
		c.configs[1] = config
		c.start(1, 2, 3)
		wrong := c.nodes[1]
		eventually(t, "the wrong clock is found", func() error {
			if err := wrong.Ready(); err == nil || !strings.Contains(err.Error(), "clock") {
				return fmt.Errorf("ready: %v", err)
			}
			return nil
		})
		for _, id := range []core.NodeID{2, 3} {
			eventually(t, fmt.Sprintf("node %d is ready", id), c.nodes[id].Ready)
		}
		c.create(2, kv.CreateKeyspace{Name: "default", Shards: 3})
		r := submit(c.nodes[2], "default", set("a", "b"), get("a"))
		if skew := time.Since(time.UnixMilli(r[0].AsOf)); r[0].Code != kv.OK || skew.Abs() > time.Minute {
			t.Errorf("the write is answered %v at a log time %v from now", r[0].Code, skew)
		}
		for _, g := range wrong.Status().Groups {
			if g.Role == "leader" {
				t.Errorf("the node with the wrong clock leads group %d", g.Group)
			}
		}
		cured.Store(true)
		eventually(t, "the clock was set right", wrong.Ready)
		c.closeAll()
	}
}
