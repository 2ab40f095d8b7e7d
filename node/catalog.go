package node

import (
	"fmt"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

// readCatalog decodes this node's copy of the catalog, which may be behind but is some true earlier state.
func readCatalog(view core.View) (*keyspace.Catalog, error) {
	c := keyspace.NewCatalog()
	command := kv.Command{Ops: []kv.Op{{Kind: kv.OpScan}}}
	for {
		r, _ := machine.Read(view, &command, 0)
		for i := range r.Items {
			if err := c.Put(r.Items[i].Key, r.Items[i].Value); err != nil {
				return nil, err
			}
		}
		if r.Key == nil {
			return c, nil
		}
		command.Ops[0].Key = r.Key
	}
}

// reconcile brings the replicas of this node in line with its copy of the catalog.
func (n *Node) reconcile(now host.Now) {
	c, err := readCatalog(n.disk.Group(keyspace.SystemGroup))
	if err != nil {
		n.log.Error("the catalog cannot be read; keyspaces stay as they are", "error", err)
		n.alarms.set(catalogAlarm, "the catalog cannot be read: "+err.Error())
		n.tableCurrent = false
		return
	}
	n.alarms.clear(catalogAlarm)
	if err := n.bar(c); err != nil {
		n.barred = err
		n.fail(err)
		return
	}
	old := n.table.Load()
	t := n.newTable(c, old)
	n.followNodes(c)
	n.endGone(now, c)
	n.endLeftovers(t)
	n.followMembers(now, t)
	for _, s := range t.ordered {
		for _, sh := range s.groups() {
			for _, sh := range []*shard{sh, s.children[sh.group]} {
				if sh != nil && sh.self != 0 && !n.host.Has(sh.group) && !n.dropping[sh.group] && n.mayBegin(t, sh) {
					n.startReplica(now, sh)
				}
			}
		}
	}
	n.setCompanions(t)
	n.table.Store(t)
	n.tableCurrent = true
	n.followViews(now)
	if old != nil && !slices.Equal(t.ordered, old.ordered) {
		// After a crash this node speaks with those nodes only that the durable copy has, and until it hears from the catalog's
		// leader, which it may not while it is cut off, it serves those keyspaces only.
		n.tableChanged.Store(true)
	}
	if old != nil {
		close(old.replaced)
	}
	n.checkDisks(c)
}

// bar says why this node must not run. All that is here stays as it is.
func (n *Node) bar(c *keyspace.Catalog) error {
	switch {
	case c.Nodes[n.config.Node].State == keyspace.NodeRemoved:
		// Were the catalog's replica dropped, a later start would begin it with nothing, and it could vote under its old id beside
		// another old one that knows nothing of the removal, either (rule M5).
		return errRemoved
	case c.Level > n.config.level:
		// Its logs may hold what this program does not know, or would make something else of (trap T1.15).
		return fmt.Errorf("all nodes of the cluster came to know feature level %d, and this program knows level %d: start a newer one", c.Level, n.config.level)
	}
	return nil
}

// setCompanions says to the replicas of keyspaces with a commit order where their companions are.
func (n *Node) setCompanions(t *table) {
	for _, s := range t.ordered {
		c := t.byName[keyspace.CompanionName(s.keyspace.Name)]
		if s.descriptor.Terms.CommitOrder && c != nil {
			n.host.SetCompanion(s.shards[0].group, host.Companion{Group: c.shards[0].group, Nodes: c.shards[0].nodes})
		}
	}
}

// startReplica starts one that has never run, or lets it recover what the disk holds of it. Group ids are never given
// twice, so what the disk holds under an id is of that very replica.
func (n *Node) startReplica(now host.Now, sh *shard) {
	d := sh.space.descriptor
	options := n.config.protocolOptions()
	options.Cluster = n.identity.Cluster
	config := sh.firstConfig(options)
	replica := keyspace.NewReplica(d, sh.self, options)
	state := &replicaState{Group: sh.state, bounds: sh.bounds, open: map[*lentSnapshot]struct{}{}}
	if sh.group == keyspace.SystemGroup {
		state.changed, state.leasesChanged = &n.catalogChanged, &n.leases.changed
	}
	n.openValues(sh)
	var first any = core.Start{Config: config}
	records, suspect := n.recovered.Groups[sh.group], n.recovered.AllSuspect || n.recovered.Suspect[sh.group]
	if n.births.begun(sh.group) {
		delete(n.hadState, sh.group)
	} else if len(records) > 0 || n.hadState[sh.group] || suspect || sh.parent != 0 && sh.state.Applied() > 0 {
		first = core.Recover{Config: config, Records: records, Suspect: suspect}
	}
	delete(n.recovered.Groups, sh.group)
	sh.bounds.Store(machine.BoundsOf(sh.state))
	n.host.Add(now, host.Replica{Group: sh.group, Self: sh.self, Nodes: sh.where, Core: replica, State: state, First: first})
	n.tellMembers(now, sh)
	if suspect || keyspace.Suspect(replica) {
		n.healing.under.Store(true)
	}
	r := running{shard: sh, state: state}
	r.led, _ = replica.(core.Led)
	r.leased, _ = replica.(core.Leased)
	r.timed, _ = replica.(core.Timed)
	r.locking, _ = replica.(core.Locking)
	r.fresh, _ = replica.(core.Fresh)
	r.bounded, _ = replica.(core.Bounded)
	r.divided, _ = replica.(interface{ Bounds() *machine.Bounds })
	n.running = append(n.running, r)
	n.log.Info("replica started", "keyspace", d.Name, "shard", sh.index, "group", sh.group, "replica", sh.self,
		"recovered", len(records), "suspect", suspect || keyspace.Suspect(replica))
}

// endGone removes the replicas of dropped keyspaces, those that only the disk still has included.
func (n *Node) endGone(now host.Now, c *keyspace.Catalog) {
	kept := n.running[:0]
	for _, r := range n.running {
		if !c.Gone(r.shard.group) {
			kept = append(kept, r)
			continue
		}
		if merged(c, r.shard) {
			n.host.Displace(now, r.shard.group, machine.RetiredOf(r.shard.state) != nil)
		}
		n.endReplica(now, r)
	}
	clear(n.running[len(kept):])
	n.running = kept
	for g := range n.recovered.Groups {
		if c.Gone(g) {
			delete(n.recovered.Groups, g)
			n.dropState(g)
		}
	}
	for g := range n.hadState {
		if c.Gone(g) {
			delete(n.hadState, g)
			n.dropState(g)
		}
	}
}

// endLeftovers drops what the disk holds of replicas that were moved away before this start: a crash, or the records of a
// segment that is kept for others, may bring that back, and it would keep the log's segments for ever. Ids are given in order,
// and none twice: one that was given before this copy of the catalog, and is no member in it, has left for good. A higher one
// is of a replica that the copy has not heard of yet.
func (n *Node) endLeftovers(t *table) {
	for g, records := range n.recovered.Groups {
		sh := t.groups[g]
		if sh == nil || g == keyspace.SystemGroup || n.recovered.AllSuspect {
			continue
		}
		if self := keyspace.Writer(sh.space.descriptor.Consistency, records); self != 0 && sh.described().Left(self) {
			delete(n.recovered.Groups, g)
			n.dropState(g)
		}
	}
	n.endBirths(t)
}

func (n *Node) endReplica(now host.Now, r running) {
	r.shard.readUntil.Store(0)
	r.shard.safe.Store(0)
	n.alarms.clear(outAlarm(r.shard.group))
	n.host.Remove(now, r.shard.group)
	r.state.closeLent()
	n.dropState(r.shard.group)
}

// dropState lets the chores goroutine remove a group's state; it syncs, which the loop must not.
func (n *Node) dropState(g core.GroupID) {
	n.log.Info("replica dropped", "group", g)
	n.checkpoints.drop(g)
	delete(n.hadState, g)
	n.dropping[g] = true
	n.droppedMu.Lock()
	n.dropped = append(n.dropped, g)
	n.droppedMu.Unlock()
}

// appendOrphans carries the records of replicas that the catalog's copy does not have yet into the new segment: after a
// crash the copy may be older than the replicas, and what they voted must not go with the old segments.
func (n *Node) appendOrphans(items []core.Item) []core.Item {
	for g, records := range n.recovered.Groups {
		for _, r := range records {
			if r.Pos == 0 {
				items = append(items, core.Item{Group: g, Record: r})
			}
		}
	}
	return items
}

// checkDisks ends this node if the catalog knows another disk for it, and hangs up on peers whose disk is not theirs.
func (n *Node) checkDisks(c *keyspace.Catalog) {
	mine := c.Nodes[n.config.Node].Store
	if mine != (keyspace.StoreID{}) && mine != keyspace.StoreID(n.identity.Store) {
		n.fail(fmt.Errorf("the folder %s holds disk %v, but the cluster knows node %d by disk %v: %w",
			n.config.Dir, keyspace.StoreID(n.identity.Store), n.config.Node, mine, errOurDisk))
		return
	}
	for _, p := range n.everyPeer() {
		known := c.Nodes[p.id].Store
		p.mu.Lock()
		wrong := known != keyspace.StoreID{} && p.store != keyspace.StoreID{} && p.store != known
		p.mu.Unlock()
		if wrong {
			n.log.Warn("hang up on a peer whose disk is not the one that the cluster knows", "peer", p.id)
			p.hangUp()
		}
	}
}
