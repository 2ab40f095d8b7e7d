package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/store"
)

// Node is a process of the cluster. It is a kv.Database and a kv.Admin.
type Node struct {
	config   Config
	log      *slog.Logger
	fs       vfs.FS
	disk     *store.Disk
	identity store.Identity
	clocks   *clocks
	started  time.Time
	reserve  uint64

	listener net.Listener
	peers    atomic.Pointer[peerSet]
	inbox    inbox
	gate     gate // of all commands on their way to the loop
	batches  chan host.Batch
	table    atomic.Pointer[table]

	// serving is held for reading while a batch is submitted, so that Close can wait for those that read the state.
	serving sync.RWMutex
	closing bool
	// silent says that nothing is submitted any more, not even by the node itself.
	silent bool

	// The loop's.
	host           *host.Host
	running        []running
	recovered      store.Recovered
	hadState       map[core.GroupID]bool // groups that had state when the disk was opened
	dropping       map[core.GroupID]bool // groups whose state is being removed
	catalogChanged bool
	tableCurrent   bool  // the table is made of what the catalog's copy holds
	barred         error // why the catalog does not let this node run
	healing        healing
	writing        bool
	needsRoll      bool
	stopped        bool
	unsent         []unsent
	unsentSpare    []unsent
	waiting        []waiting
	freeTokens     []uint64
	ended          []*submission
	marks          []markWaiter
	touched        []*shard // without a replica here, and with room that has changed

	submissions sync.Pool
	parcels     parcelPool
	checkpoints checkpoints
	alarms      alarms
	skewed      atomic.Bool
	diskFull    atomic.Bool
	joiners     atomic.Int64 // nodes that are being admitted
	// tableChanged asks for the catalog's copy to be made durable soon.
	tableChanged atomic.Bool
	registered   atomic.Bool
	failed       atomic.Pointer[error]
	droppedMu    sync.Mutex
	dropped      []core.GroupID
	counters     counters
	// transactions are those over several shards that are under way here.
	transactions atomic.Int64
	forgets      forgets
	asked        sync.Pool // of batches in which commands of transactions are submitted
	leases       leases
	leaseWanted  chan struct{}
	wishes       wishes
	births       births
	splits       splitPlans
	values       keepers

	// ctx ends with the node.
	ctx       context.Context
	cancel    context.CancelFunc
	workers   sync.WaitGroup
	writer    sync.WaitGroup
	loopEnded chan struct{}
	closeOnce sync.Once
	closeErr  error
}

var (
	_ kv.Database = (*Node)(nil)
	_ kv.Admin    = (*Node)(nil)
	_ host.Port   = (*Node)(nil)
)

type counters struct {
	requests, refused, unknown, syncs, syncBytes, blocks, recovered atomic.Uint64
}

// Start opens the node's folder and joins the cluster. It returns as soon as the node works; Ready tells when it serves.
func Start(config Config) (*Node, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	n := &Node{config: config, log: config.Logger.With("node", config.Node), started: time.Now(), batches: make(chan host.Batch, 1),
		hadState: map[core.GroupID]bool{}, dropping: map[core.GroupID]bool{}, needsRoll: true, loopEnded: make(chan struct{}), leaseWanted: make(chan struct{}, 1),
		forgets: forgets{wake: make(chan struct{}, 1)}, asked: sync.Pool{New: func() any { return new(kv.Batch) }},
		wishes: wishes{list: map[core.GroupID]wish{}, wake: make(chan struct{}, 1), seen: map[core.GroupID]seenLease{}}}
	mono, wall := monotonic, config.wall
	if config.Faults != nil {
		mono, wall = config.Faults.Clocks(mono, wall)
	}
	n.births = births{under: map[core.GroupID]bool{}, ready: map[core.GroupID]bool{}}
	n.clocks = newClocks(mono, wall)
	n.submissions.New = func() any { return &submission{} }
	n.inbox.init()
	n.gate.room.Store(unlimited)
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.peers.Store(&peerSet{})
	if err := n.open(); err != nil {
		return nil, err
	}
	err := guarded(n.prepare)
	if err == nil {
		err = n.barred
	}
	if err != nil {
		n.fail(err)
		n.cancel()
		n.workers.Wait()
		return nil, errors.Join(err, n.disk.Close(), n.listener.Close())
	}
	n.begin()
	return n, nil
}

// writeBuffer is the size of the state's write buffer in bytes: 6, 8 or 10 MiB. The replicas of a group apply the same writes, so
// with buffers of one size they would all flush and merge at the same moments, and no majority would be quick then.
func writeBuffer(node core.NodeID) uint64 { return 6<<20 + uint64(node%3)<<21 }

// open takes the folder and the address: what only one process can have.
func (n *Node) open() error {
	var err error
	if n.listener, err = net.Listen("tcp", n.config.Listen); err != nil {
		return fmt.Errorf("listen for peers: %w", err)
	}
	want := store.Identity{Cluster: n.config.clusterID(), Node: n.config.Node}
	options := n.config.Store
	if options.FS == nil {
		options.FS = vfs.Default
	}
	if n.config.Faults != nil {
		options.FS = n.config.Faults.FS(options.FS)
	}
	n.fs = options.FS
	options.Logger = func(text string) { n.log.Warn("disk", "report", text) }
	options.OnDamage = n.fail
	if options.MemTableBytes == 0 {
		options.MemTableBytes = writeBuffer(n.config.Node)
	}
	if n.disk, n.recovered, err = store.Open(n.config.Dir, want, options); err != nil {
		return errors.Join(err, n.listener.Close())
	}
	n.identity = n.disk.Identity()
	n.healing.under.Store(n.recovered.AllSuspect)
	n.makeKeepers()
	n.reserve = uint64(n.config.DiskReserveBytes)
	if n.reserve == 0 {
		usage, err := n.fs.GetDiskUsage(n.config.Dir)
		if err != nil {
			n.log.Warn("the size of the disk cannot be read", "error", err)
		}
		n.reserve = max(reserveMin, usage.TotalBytes/reservePart)
	}
	return nil
}

// prepare starts the replicas that the disk's copy of the catalog names.
func (n *Node) prepare() {
	for _, g := range n.disk.GroupsWithState() {
		n.hadState[g] = true
	}
	now := n.now()
	seed := uint64(time.Now().UnixNano())
	n.host = host.New(n, rand.New(rand.NewPCG(seed, uint64(n.config.Node))), n.recovered.HLCUpper, now, n.config.Host)
	n.host.SetUnfit(len(n.config.Cluster) > 1) // until watch has compared the clocks
	n.leases.changed = true                    // to see for the first time what the catalog's copy has
	n.reconcileFirst(now)
	n.heal(now)
}

// begin starts all goroutines.
func (n *Node) begin() {
	n.watchDisk()
	n.writer.Add(1)
	go func() {
		defer n.writer.Done()
		n.writeLog()
	}()
	n.workers.Add(1)
	go n.loop()
	work := []func(context.Context){n.accept, n.watch, n.tend, n.register, n.moveShards, n.pushSplits, n.pushMerges, n.splitAlone, n.steward, n.holdLease,
		n.changeViews, n.sweep, n.forget}
	work = append(work, n.values.work(n)...)
	for _, f := range work {
		n.workers.Add(1)
		go func() {
			defer n.workers.Done()
			f(n.ctx)
		}()
	}
	n.log.Info("node started", "dir", n.config.Dir, "boot", n.identity.Boot, "disk", keyspace.StoreID(n.identity.Store).String())
}

// reconcileFirst is the first reconcile: if the catalog's copy cannot be read, its own replica must run all the same.
func (n *Node) reconcileFirst(now host.Now) {
	n.table.Store(n.newTable(keyspace.NewCatalog(), nil))
	n.reconcile(now)
	if !n.host.Has(keyspace.SystemGroup) {
		n.startReplica(now, n.table.Load().groups[keyspace.SystemGroup])
	}
}

// fail ends the node: it must not go on. The first error counts.
func (n *Node) fail(err error) {
	if n.failed.CompareAndSwap(nil, &err) {
		n.log.Error("the node stops", "error", err)
		n.inbox.call(func(host.Now) {}) // the loop ends
		n.config.Fatal(err)
	}
}

// Close hands leaderships over, answers what is under way, and releases the folder. When ctx ends before all is handed
// over or answered, the rest ends as unknown.
func (n *Node) Close(ctx context.Context) error {
	n.closeOnce.Do(func() { n.closeErr = n.close(ctx) })
	return n.closeErr
}

func (n *Node) close(ctx context.Context) error {
	n.serving.Lock()
	n.closing = true
	n.serving.Unlock()
	if n.failed.Load() == nil {
		n.handOver(ctx)
		n.dropLease(ctx)
		n.leaveViews(ctx)
	}
	n.serving.Lock()
	n.silent = true
	n.serving.Unlock()
	n.inbox.call(func(host.Now) { n.stopped = true })
	<-n.loopEnded
	n.cancel()
	err := n.listener.Close()
	n.inbox.close()
	n.workers.Wait()
	n.values.resolving.Wait()
	close(n.batches)
	n.writer.Wait()
	n.checkpoints.close()
	for _, r := range n.running {
		r.state.closeLent()
	}
	if err := errors.Join(n.dropAll(), err); err != nil {
		n.log.Warn("close", "error", err)
	}
	if err := n.values.close(); err != nil {
		n.log.Warn("close", "error", err)
	}
	if err := n.disk.Close(); err != nil {
		return fmt.Errorf("close the folder %s: %w", n.config.Dir, err)
	}
	n.log.Info("node closed")
	return nil
}

// handOverMax bounds how long a closing node waits for others to take over what it leads.
const handOverMax = 2 * time.Second

// handOver asks peers to lead what this node leads, and waits for that and for the commands under way.
func (n *Node) handOver(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, handOverMax)
	defer cancel()
	for ctx.Err() == nil {
		left := 0
		err := n.onLoop(ctx, func(now host.Now) {
			left = n.host.Pending()
			for _, r := range n.running {
				left += n.handOverGroup(now, r)
			}
		})
		if err != nil || left == 0 {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// handOverGroup returns 1 if the group is led here and somebody else could lead it.
func (n *Node) handOverGroup(now host.Now, r running) int {
	if r.led == nil || r.led.Leader() != r.shard.self {
		return 0
	}
	v := n.table.Load().views[r.shard.group]
	for _, m := range r.shard.at.Replicas {
		if v != nil && !v.holds(m.Replica) {
			continue
		}
		if p := n.peer(m.Node); p != nil && p.connected.Load() {
			n.host.Event(now, r.shard.group, core.Handoff{To: m.Replica})
			return 1
		}
	}
	return 0
}

var errStopped = kv.Errorf(kv.Unavailable, "the node has stopped")

// onLoop calls f in the loop's next pass and waits for it.
func (n *Node) onLoop(ctx context.Context, f func(host.Now)) error {
	done := make(chan struct{})
	if !n.inbox.call(func(now host.Now) { f(now); close(done) }) {
		return errStopped
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-n.loopEnded:
		return errStopped
	}
}

// Keyspace finds a keyspace by name; nil if there is none.
func (n *Node) Keyspace(name string) *kv.Keyspace {
	if s := n.table.Load().byName[name]; s != nil && name != keyspace.SystemName && !keyspace.IsCompanion(name) {
		return s.keyspace
	}
	return nil
}

// Keyspaces lists all that clients may use, by name.
func (n *Node) Keyspaces() []*kv.Keyspace { return n.table.Load().served }
