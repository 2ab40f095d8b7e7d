package node

import (
	"context"
	"slices"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
)

// DropKeyspace removes a keyspace and everything in it. Before that its transactions with other keyspaces come to their ends (rule
// V9 of docs/TRANSACTIONS.md), unless force is set: then those other keyspaces may be left with a part of one.
func (n *Node) DropKeyspace(ctx context.Context, name string, force bool) error {
	if err := keyspace.CheckName(name); err != nil {
		return err
	}
	var id uint32
	for {
		again, err := n.tryDrop(ctx, name, &id, force)
		if !again || !pause(ctx) {
			return err
		}
	}
}

// tryDrop makes one attempt, on the keyspace of that id once there was one. again says that the keyspace is being split, or was changed
// meanwhile by a split or a move: what is sealed must be all groups that it has when it goes.
func (n *Node) tryDrop(ctx context.Context, name string, id *uint32, force bool) (again bool, err error) {
	key := keyspace.DescriptorKey(name)
	read := n.do(ctx, n.system(), 0, kv.Command{Ops: []kv.Op{{Kind: kv.OpGet, Key: key}}})
	if err := read.Err(); err != nil {
		return false, err
	}
	if read.Code == kv.NotFound {
		return false, kv.Errorf(kv.NoKeyspace, "there is no keyspace %q", name)
	}
	d, err := keyspace.DecodeDescriptor(read.Value)
	if err != nil {
		return false, err
	}
	if *id != 0 && *id != d.ID {
		return false, kv.Errorf(kv.NoKeyspace, "keyspace %q was dropped and made anew meanwhile", name)
	}
	*id = d.ID
	s := seal{node: n, keyspace: d.Keyspace(), descriptor: d, id: n.newTxID(), on: d.Consistency == kv.Linearizable && !force}
	if s.on && (d.Splitting() || d.Uniting()) {
		return true, kv.Errorf(kv.Busy, "shards of keyspace %q are being split or merged; drop it when that is over", name)
	}
	if s.on {
		if err := s.putOn(ctx); err != nil {
			s.takeOff()
			return false, err
		}
	}
	r := n.do(ctx, n.system(), 0, n.dropOf(d, read.Version))
	if r.Code == kv.ConditionFailed || r.Code.Refused() {
		s.takeOff()
	}
	if r.Code == kv.ConditionFailed {
		return true, kv.Errorf(kv.Busy, "keyspace %q is being divided or moved; drop it when that is over", name)
	}
	if err := r.Err(); err != nil {
		return false, err // of unknown fate: it may be dropped yet, so the seal stays
	}
	return false, n.waitTable(ctx, func(t *table) bool { return t.byID[d.ID] == nil })
}

// dropOf takes a keyspace out of the catalog, if it is still of that version there.
func (n *Node) dropOf(d *keyspace.Descriptor, version uint64) kv.Command {
	key := keyspace.DescriptorKey(d.Name)
	drop := kv.Command{Conds: []kv.Cond{{Kind: kv.CondVersion, Key: key, Version: version}}, Ops: []kv.Op{{Kind: kv.OpDelete, Key: key}}}
	views, _ := d.FirstViews(n.identity.Cluster, n.config.protocolOptions())
	for _, view := range views {
		drop.Ops = append(drop.Ops, kv.Op{Kind: kv.OpDelete, Key: view})
	}
	if d.Terms.CommitOrder {
		drop.Ops = append(drop.Ops, kv.Op{Kind: kv.OpDelete, Key: keyspace.DescriptorKey(keyspace.CompanionName(d.Name))})
	}
	return drop
}

// seal keeps the groups of a keyspace from beginning transactions with others.
type seal struct {
	node     *Node
	keyspace *kv.Keyspace
	// descriptor is the keyspace as it was read: the groups are its, whatever this node's copy of the catalog has.
	descriptor *keyspace.Descriptor
	id         kv.TxID
	on         bool
}

// putOn seals all shards and waits until nothing is open in any of them. The sweeps end what nobody else does.
func (s *seal) putOn(ctx context.Context) error {
	until, bounded := ctx.Deadline()
	if !bounded {
		until = time.Now().Add(kv.TxnTimeMax)
	}
	until = until.Add(-time.Until(until) / 4) // the rest is for what follows
	groups := s.groups()
	for {
		var left []core.GroupID
		var last kv.Result
		for i, r := range s.command(groups, true, until) {
			if r.Code != kv.OK || r.Int > 0 {
				left, last = append(left, groups[i]), r
			}
		}
		switch groups = left; {
		case len(groups) == 0:
			return nil
		case !time.Now().Add(retryPause).Before(until) || !pause(ctx):
			return s.failed(groups[len(groups)-1], &last)
		}
	}
}

// groups are those of the keyspace's shards, and those that others have absorbed: transactions may be open in these as well.
func (s *seal) groups() (list []core.GroupID) {
	for _, sh := range slices.Concat(s.descriptor.Shards, s.descriptor.Retired) {
		list = append(list, sh.Group)
	}
	return list
}

func (s *seal) failed(group core.GroupID, r *kv.Result) error {
	if r.Code == kv.OK {
		return kv.Errorf(kv.Busy, "%d transactions of group %d of keyspace %q with other keyspaces have not ended; drop it again, or by force, which may leave a part of them", r.Int, group, s.keyspace.Name)
	}
	return kv.Errorf(kv.Unavailable, "whether group %d of keyspace %q has part in transactions with other keyspaces is not known (%v); drop it again, or by force, which may leave a part of them", group, s.keyspace.Name, r.Err())
}

// takeOff lets transactions begin again. Where it does not arrive the seal ends by itself after some minutes.
func (s *seal) takeOff() {
	if !s.on {
		return
	}
	s.command(s.groups(), false, time.Now().Add(time.Second))
}

// command seals groups, or ends that.
func (s *seal) command(groups []core.GroupID, on bool, deadline time.Time) (results []kv.Result) {
	var b kv.Batch
	b.Reset(deadline)
	calls := make([]*kv.Call, len(groups))
	for i, g := range groups {
		calls[i] = b.Add()
		calls[i].Keyspace, calls[i].Group, calls[i].Fixed = s.keyspace, uint64(g), true
		calls[i].Command = kv.Command{Tx: &kv.Tx{Step: kv.TxSeal, ID: s.id, Commit: on}}
	}
	s.node.Submit(&b)
	b.Wait()
	for _, c := range calls {
		results = append(results, c.Result)
	}
	return results
}
