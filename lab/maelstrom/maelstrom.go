// Package maelstrom runs one replica behind Maelstrom's protocol.
//
// Maelstrom (https://github.com/jepsen-io/maelstrom) starts one process for each node, carries lines of JSON between their
// standard inputs and outputs, attacks that network, and judges what its clients saw with checkers of its own. This is a
// node for its workload lin-kv: the real host and the real protocol, whose messages travel in those lines. So the cores
// are judged by somebody else's tools.
//
// Others rely on this: what is refused is answered with an error that Maelstrom takes for certain (11), what is not known
// with one that it does not (13). A node keeps its log in memory: it must not be killed and started again.
//
// Start with Run.
package maelstrom

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/store"
)

// lineMax bounds one line: a snapshot in base64 is the longest.
const lineMax = 64 << 20

// patience is how long a node tries to carry out a request. Maelstrom's clients wait for a second by default.
const patience = core.Time(900 * time.Millisecond)

// envelope is a line.
type envelope struct {
	Src  string          `json:"src"`
	Dest string          `json:"dest"`
	Body json.RawMessage `json:"body"`
}

// node is one process. One goroutine uses it.
type node struct {
	out   *bufio.Writer
	began time.Time
	rand  *rand.Rand

	name  string
	names []string // by node id, from 1; empty before init
	group core.GroupID
	host  *host.Host
	disk  *store.Memory
	// waiting are the requests under way, by token.
	waiting map[uint64]request
	token   uint64
	err     error // of writing
}

// Run is a node: it reads lines from in and writes lines to out until in ends.
func Run(in io.Reader, out io.Writer) error {
	n := &node{out: bufio.NewWriter(out), began: time.Now(), rand: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), waiting: map[uint64]request{}}
	lines := make(chan []byte, 64)
	over := make(chan struct{})
	defer close(over)
	var read error // set before lines is closed
	go func() {
		defer close(lines)
		scanner := bufio.NewScanner(in)
		scanner.Buffer(nil, lineMax)
		for scanner.Scan() {
			select {
			case lines <- bytes.Clone(scanner.Bytes()):
			case <-over:
				return
			}
		}
		read = scanner.Err()
	}()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for n.err == nil {
		select {
		case line, ok := <-lines:
			if !ok {
				return errors.Join(read, n.out.Flush())
			}
			if err := n.hear(line, lines); err != nil {
				return err
			}
		case <-timer.C:
		}
		timer.Reset(n.pass())
	}
	return n.err
}

// hear takes a line, and those that have come meanwhile.
func (n *node) hear(line []byte, more <-chan []byte) error {
	for {
		var e envelope
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("a line that is not Maelstrom's: %w: %.200q", err, line)
		}
		if err := n.receive(e); err != nil {
			return err
		}
		select {
		case next, ok := <-more:
			if !ok {
				return nil // the caller finds out
			}
			line = next
		default:
			return nil
		}
	}
}

func (n *node) now() host.Now {
	passed := time.Since(n.began)
	// An origin of its own, so that zero is no time.
	return host.Now{Mono: core.Time(time.Hour + passed), Wall: n.began.Add(passed).UnixMilli()}
}

// pass lets the host follow what was heard, and says when it wants to be called again.
func (n *node) pass() time.Duration {
	if n.host == nil {
		n.err = n.out.Flush()
		return time.Hour
	}
	now := n.now()
	if now.Mono >= n.host.Deadline() {
		n.host.Tick(now)
	}
	n.host.Settle(now)
	for n.write(now) {
		n.host.Settle(now)
	}
	if n.err == nil {
		n.err = n.out.Flush()
	}
	return max(time.Millisecond, time.Duration(n.host.Deadline()-n.now().Mono))
}

// write makes the open batch durable, as far as memory is; false: there is none.
func (n *node) write(now host.Now) bool {
	if n.disk.NeedsRoll() {
		n.host.Roll(now)
		n.host.Settle(now)
	}
	b, ok := n.host.TakeBatch(now)
	if !ok {
		return false
	}
	items := make([]store.Item, len(b.Items))
	copy(items, b.Items)
	n.disk.Begin(store.Batch{HLCUpper: b.HLCUpper, Items: items, Roll: b.Roll})
	n.disk.Complete()
	if b.Roll {
		if err := n.disk.Flush(); err != nil && n.err == nil {
			n.err = err
		}
	}
	n.host.Synced(now, b)
	return true
}

// protocolOptions are those of nodes elsewhere: Maelstrom's network is as fast as it is told to be.
var protocolOptions = keyspace.Options{Heartbeat: core.Time(50 * time.Millisecond), ElectionMin: core.Time(500 * time.Millisecond),
	ElectionMax: core.Time(time.Second), LeaseMillis: 500}

// begin starts the replica of this node, as the init message says who there is.
func (n *node) begin(name string, names []string) error {
	var ids []core.NodeID
	self := core.NodeID(0)
	for i, other := range names {
		ids = append(ids, core.NodeID(i+1))
		if other == name {
			self = core.NodeID(i + 1)
		}
	}
	if self == 0 {
		return fmt.Errorf("node %s is not among %v", name, names)
	}
	d, _, err := keyspace.Plan(kv.CreateKeyspace{Name: "lin-kv", Consistency: kv.Linearizable, Replicas: len(ids)}, ids, keyspace.FirstNext())
	if err != nil {
		return err
	}
	n.name, n.names, n.group = name, names, d.Shards[0].Group
	n.disk = store.NewMemory(store.MemoryOptions{SegmentBytes: 1 << 20})
	now := n.now()
	n.host = host.New(n, n.rand, 0, now, host.Options{})
	shard := &d.Shards[0]
	replica := shard.On(self)
	n.host.Add(now, host.Replica{Group: n.group, Self: replica, Nodes: shard.Nodes(),
		Core:  keyspace.NewReplica(d, replica, protocolOptions),
		State: n.disk.Group(n.group), First: core.Start{Config: d.FirstConfig([16]byte{}, 0, protocolOptions)}})
	return nil
}

// send writes a line.
func (n *node) send(to string, body any) {
	b, err := json.Marshal(body)
	if err == nil {
		b, err = json.Marshal(envelope{Src: n.name, Dest: to, Body: b})
	}
	if err == nil {
		_, err = n.out.Write(append(b, '\n'))
	}
	if err != nil && n.err == nil {
		n.err = err
	}
}
