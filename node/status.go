package node

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
)

// statusWithin is how long a status may take; a loop that does not answer is itself worth telling.
const statusWithin = 2 * time.Second

// Status is this node's view of itself and of its peers.
func (n *Node) Status() kv.Status {
	s := kv.Status{Cluster: hex.EncodeToString(n.identity.Cluster[:]), Node: uint32(n.config.Node), Version: n.config.Version,
		Boot: n.identity.Boot, Started: n.started, Dir: n.config.Dir, Alarms: n.alarms.list(), Counters: n.counters.read()}
	if f := n.config.Faults; f != nil {
		s.Lab = true
		s.Alarms = append(s.Alarms, "started with --lab: whoever reaches its HTTP door may cut its links, move its clocks and fail its disk")
		if text := f.String(); text != "" {
			s.Alarms = append(s.Alarms, "the lab hurts this node: "+text)
		}
	}
	if err := n.Ready(); err != nil {
		s.NotReady = err.Error()
	}
	s.Ready = s.NotReady == ""
	t := n.table.Load()
	s.Nodes, s.Reads, s.FeatureLevel, s.Stores = n.nodeStatus(t), t.readAges(), t.catalog.Level, n.values.status()
	ctx, cancel := context.WithTimeout(context.Background(), statusWithin)
	defer cancel()
	var groups []kv.GroupStatus
	if err := n.onLoop(ctx, func(now host.Now) { groups = n.groupStatus(now.Mono) }); err != nil {
		s.Alarms = append(s.Alarms, fmt.Sprintf("the replicas do not answer: %v", err))
		return s
	}
	s.Groups, s.Times = groups, kv.MergeTimes(groups)
	s.Transactions = n.openTransactions()
	return s
}

func (c *counters) read() kv.Counters {
	return kv.Counters{Requests: c.requests.Load(), Refused: c.refused.Load(), UnknownCount: c.unknown.Load(),
		Syncs: c.syncs.Load(), SyncBytes: c.syncBytes.Load(), Blocks: c.blocks.Load(),
		Recovered: c.recovered.Load()}
}

func (n *Node) nodeStatus(t *table) []kv.NodeStatus {
	var list []kv.NodeStatus
	now := n.clocks.mono()
	for _, id := range n.nodes() {
		s := kv.NodeStatus{Node: uint32(id), Addresses: t.catalog.Nodes[id].Addresses, State: string(t.catalog.Nodes[id].State),
			Zone: t.catalog.Nodes[id].Zone}
		if s.Addresses == nil {
			s.Addresses = map[string]string{"peer": n.config.Cluster[id]}
		}
		if p := n.peer(id); p != nil {
			p.mu.Lock()
			skew, _ := p.measured.skew()
			s.LastSeen, s.RTTMicros, s.SkewMillis = p.measured.lastSeen, p.measured.rtt.Microseconds(), skew.Milliseconds()
			s.Up = p.connected.Load() && p.measured.heard != 0 && now-p.measured.heard < heardWithin
			p.mu.Unlock()
		} else {
			s.Up, s.LastSeen = true, time.Now()
		}
		list = append(list, s)
	}
	return list
}

// groupStatus is called by the loop.
func (n *Node) groupStatus(now core.Time) []kv.GroupStatus {
	var list []kv.GroupStatus
	views := n.table.Load().views
	for _, r := range n.running {
		s := keyspace.Report(n.host.Replica(r.shard.group), r.shard.where, now)
		s.Group, s.Keyspace, s.Shard = uint64(r.shard.group), r.shard.space.keyspace.Name, r.shard.index
		s.Replica = uint32(r.shard.self)
		if rng := r.shard.space.keyspace.Range; rng != nil {
			s.From, s.To = rng(r.shard.index)
		}
		s.Retired = r.shard.retired
		if b := r.shard.bounds.Load(); b != nil && b != nothing {
			s.From, s.To = b.From, b.To
		}
		if r.led != nil {
			s.Leader = uint32(r.shard.where[r.led.Leader()])
		}
		if v := views[r.shard.group]; v != nil && s.Atomic != nil {
			s.Atomic.History = v.record.History
			if v.next != nil {
				s.Atomic.Announced = v.next.Epoch
			}
		}
		list = append(list, s)
	}
	return list
}

// Ready is nil when the node can serve; the error says what is missing.
func (n *Node) Ready() error {
	if err := n.failed.Load(); err != nil {
		return fmt.Errorf("the node has failed: %w", *err)
	}
	n.serving.RLock()
	closing := n.closing
	n.serving.RUnlock()
	switch {
	case closing:
		return errStopped
	case n.diskFull.Load():
		return kv.Errorf(kv.DiskFull, "the disk of %s is nearly full; make room", n.config.Dir)
	case n.skewed.Load():
		return kv.Errorf(kv.ClockSkew, "this node's clock is too far from the others'")
	}
	err := n.leaderless()
	if n.healing.under.Load() {
		text := "the state was damaged and is being refilled from peers"
		if err != nil {
			text += "; " + err.Error()
		}
		return kv.Errorf(kv.Unavailable, "%s", text)
	}
	if err != nil {
		return err
	}
	if !n.registered.Load() {
		return kv.Errorf(kv.Unavailable, "the node is not in the catalog yet")
	}
	return nil
}

// leaderless tells of the replicas here that know no leader.
func (n *Node) leaderless() error {
	var without []string
	for _, s := range n.table.Load().ordered {
		for _, sh := range s.shards {
			if sh.self != 0 && keyspace.Led(s.keyspace.Consistency) && sh.ledBy.Load() == 0 {
				without = append(without, fmt.Sprintf("%s/%d", s.keyspace.Name, sh.index))
			}
		}
	}
	if len(without) == 0 {
		return nil
	}
	const named = 5
	more := ""
	if len(without) > named {
		more = fmt.Sprintf(" and %d more", len(without)-named)
		without = without[:named]
	}
	return kv.Errorf(kv.Unavailable, "no leader is known for %s%s%s", strings.Join(without, ", "), more, n.troubles())
}

// troubles says why peers cannot be reached.
func (n *Node) troubles() string {
	text := ""
	for _, p := range n.everyPeer() {
		p.mu.Lock()
		if p.trouble != "" {
			text += fmt.Sprintf("; node %d: %s", p.id, p.trouble)
		}
		p.mu.Unlock()
	}
	return text
}

// DescribeKeyspaces tells options, placement and promise of each keyspace, the catalog's own first.
func (n *Node) DescribeKeyspaces() []kv.KeyspaceInfo {
	var list []kv.KeyspaceInfo
	for _, s := range n.table.Load().ordered {
		d := s.descriptor
		info := kv.KeyspaceInfo{CreateKeyspace: d.Spec(), ID: d.ID, Explain: d.Explain()}
		for i := range d.Shards {
			g := kv.GroupInfo{Group: uint64(d.Shards[i].Group), Shard: i, Replicas: map[string]uint32{}}
			for _, m := range d.Shards[i].Replicas {
				g.Replicas[fmt.Sprint(m.Replica)] = uint32(m.Node)
			}
			if s.keyspace.Range != nil {
				g.From, g.To = s.keyspace.Range(i)
			}
			if split := d.Shards[i].Split; split != nil {
				g.SplitAt = split.Key
			}
			if merge := d.Shards[i].Merge; merge != nil {
				g.Absorbs = uint64(merge.Group)
			}
			info.Groups = append(info.Groups, g)
		}
		list = append(list, info)
	}
	return list
}

// noteLogged tells the log what is worth an operator's attention, and counts the rest.
// noteDamage raises an alarm that stands until the node starts again: somebody has to look at the disks.
func (n *Node) noteDamage(g core.GroupID, note core.DamageNote) {
	n.judgeAlarm(fmt.Sprint("damage of group ", g), true,
		fmt.Sprintf("group %d: %s; a disk does not hold what was written to it: find it with gamut audit", g, note.Text))
}

func (n *Node) noteLogged(g core.GroupID, note core.Note) {
	if text := keyspace.LostCut(note); text != "" {
		n.judgeAlarm(fmt.Sprint("commit order of group ", g), true, fmt.Sprintf("group %d: %s", g, text))
	}
	if keyspace.IsApplied(note) {
		n.counters.blocks.Add(1)
		return
	}
	n.log.Info("replica", "group", g, "note", note.String())
}
