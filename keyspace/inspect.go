package keyspace

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gamutdb/gamut/bayou"
	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
	"github.com/gamutdb/gamut/paxos"
	"github.com/gamutdb/gamut/quorum"
	"github.com/gamutdb/gamut/twophase"
)

// Report tells operators of a replica. Who it is and where its leader lives is for the caller to fill in; nodes says where
// its peers live.
func Report(replica core.Replica, nodes map[core.ReplicaID]core.NodeID, now core.Time) (s kv.GroupStatus) {
	if r, ok := replica.(*quorum.Replica); ok {
		return reportQuorum(r.Status(), nodes)
	}
	if b, ok := replica.(*bayou.Replica); ok {
		return reportCausal(b, now)
	}
	if a, ok := replica.(*twophase.Replica); ok {
		return reportAtomic(a.Status(), nodes, now)
	}
	r, ok := replica.(*paxos.Replica)
	if !ok {
		return s
	}
	st := r.Status()
	s = kv.GroupStatus{Role: st.Role.String(), Ballot: st.Ballot.String(), Commit: st.Commit, Applied: st.Applied,
		Durable: st.Durable, First: st.First, Last: st.Last, Hash: hex.EncodeToString(st.Hash[:]), Suspect: st.Suspect}
	if st.LeaseUntil > now {
		s.LeaseMS = int64(st.LeaseUntil-now) / 1e6
	}
	if len(st.Match) > 0 {
		s.Match = map[string]uint64{}
		// order does not matter: one map becomes another.
		for id, index := range st.Match {
			s.Match[fmt.Sprint(id)] = index
		}
	}
	return s
}

// nodesOf are where replicas live.
func nodesOf(list []core.ReplicaID, nodes map[core.ReplicaID]core.NodeID) (ids []uint32) {
	for _, id := range list {
		ids = append(ids, uint32(nodes[id]))
	}
	return ids
}

func reportQuorum(st quorum.Status, nodes map[core.ReplicaID]core.NodeID) kv.GroupStatus {
	on := func(list []core.ReplicaID) []uint32 { return nodesOf(list, nodes) }
	say := func(s quorum.Saying) string {
		var names []string
		for _, node := range on(s.Replicas) {
			names = append(names, fmt.Sprintf("node %d", node))
		}
		return s.Of(strings.Join(names, ", "))
	}
	at := func(h kv.HLC) (t time.Time) {
		if h != 0 {
			t = h.Time()
		}
		return t
	}
	q := &kv.QuorumStatus{Up: on(st.Up), Behind: on(st.Behind), Repair: say(st.Repair), Change: say(st.Change), RepairedAt: at(st.RepairedAt), PurgedTo: at(st.Purged),
		Keys: st.Tally.Keys, Tombstones: st.Tally.Tombstones, Bytes: st.Tally.Bytes, Counted: st.Counted,
		ReadRepairs: st.ReadRepairs, EntropyRepairs: st.EntropyRepairs}
	q.Times = seenTimes(&st.Observed, nodes)
	for _, h := range st.Hints {
		q.Hints = append(q.Hints, kv.HintStatus{Node: uint32(nodes[h.Replica]), Count: h.Count, Bytes: h.Bytes, Oldest: at(h.Oldest)})
	}
	return kv.GroupStatus{Role: "replica", Suspect: st.Suspect, Applied: st.Applied, Last: st.Position, Durable: st.Applied, Quorum: q}
}

// seenTimes tells times of replicas as those of nodes, in the order of these.
func seenTimes(o *quorum.Observed, nodes map[core.ReplicaID]core.NodeID) (t kv.SeenTimes) {
	order := make([]int, len(o.Replicas))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(nodes[o.Replicas[a]], nodes[o.Replicas[b]]) })
	rows := func(times [][]core.Time) (list [][]int64) {
		for _, row := range times {
			micros := make([]int64, len(order))
			for i, at := range order {
				if micros[i] = -1; row[at] != quorum.Unheard {
					micros[i] = int64(row[at]) / 1e3
				}
			}
			list = append(list, micros)
		}
		return list
	}
	for _, at := range order {
		t.Nodes = append(t.Nodes, uint32(nodes[o.Replicas[at]]))
	}
	t.Writes, t.Reads = rows(o.Writes), rows(o.Reads)
	return t
}

// Inspect tells what a replica holds, from a key on: that key alone, or so many.
func Inspect(c kv.Consistency, view core.View, nodes map[core.ReplicaID]core.NodeID, replica core.Replica, from []byte, one bool, limit int) (p kv.InspectPage) {
	start := append([]byte{machine.DataKind}, from...)
	end := []byte{machine.DataKind + 1}
	if one {
		end = append(bytes.Clone(start), 0)
	}
	visible := func([]byte) bool { return true }
	if onPaxos(c) {
		visible = machine.Visible(view)
	}
	view.Scan(start, end, func(key, raw []byte) bool {
		if !visible(key) {
			return true // a split has left it behind
		}
		if len(p.Items) == limit {
			p.Next = bytes.Clone(key[1:])
			return false
		}
		item := inspectItem(c, raw)
		item.Key = bytes.Clone(key[1:])
		if Causal(c) {
			if standing := bayou.Touched(view, item.Key); standing != "" {
				at := kv.HLC(item.Version)
				item.Stamp = fmt.Sprintf("%d.%d %s", at.UnixMilli(), uint16(at), standing)
			}
		}
		p.Items = append(p.Items, item)
		return true
	})
	if r, ok := replica.(*quorum.Replica); ok && one {
		for _, id := range r.HintsFor(view, start) {
			p.Hints = append(p.Hints, uint32(nodes[id]))
		}
	}
	return p
}

func inspectItem(c kv.Consistency, raw []byte) kv.InspectItem {
	if c == kv.Quorum {
		r, err := quorum.DecodeRecord(raw)
		if err != nil {
			return kv.InspectItem{Stamp: "unreadable: " + err.Error()}
		}
		return kv.InspectItem{Version: uint64(r.Stamp.Time), Origin: uint32(r.Stamp.Origin), Stamp: r.Stamp.String(), Deleted: r.Deleted, ExpireAt: r.ExpireAt, Flags: r.Flags,
			Value: bytes.Clone(kv.Shown(r.Value))}
	}
	if Causal(c) {
		r, err := bayou.Inspect(raw)
		if err != nil {
			return kv.InspectItem{Stamp: "unreadable: " + err.Error()}
		}
		return kv.InspectItem{Version: uint64(r.Dot.Stamp), Origin: uint32(r.Dot.Replica), Stamp: r.Dot.String(), Deleted: r.Deleted, ExpireAt: r.ExpireAt, Flags: r.Flags,
			Value: bytes.Clone(kv.Shown(r.Value))}
	}
	r, err := machine.DecodeRecord(raw)
	if err != nil {
		return kv.InspectItem{Stamp: "unreadable: " + err.Error()}
	}
	return kv.InspectItem{Version: r.Version, ExpireAt: r.ExpireAt, Flags: r.Flags, Value: bytes.Clone(kv.Shown(r.Value))}
}

// Suspect reports whether a replica found its disk damaged and is not cured yet.
func Suspect(replica core.Replica) bool {
	switch r := replica.(type) {
	case *paxos.Replica:
		return r.Status().Suspect
	case *bayou.Replica:
		return r.Status().Suspect
	case *quorum.Replica:
		return r.Suspect()
	case *twophase.Replica:
		return r.Status().Suspect
	}
	return false
}

// HeldBlocks takes hold of the blocks that a replica has in memory, from an index on. They never change: the function
// that it returns may be called later and elsewhere, to check and describe them.
func HeldBlocks(replica core.Replica, from uint64, limit int) func(payload bool) []kv.BlockInfo {
	r, ok := replica.(*paxos.Replica)
	if !ok {
		return func(bool) []kv.BlockInfo { return nil }
	}
	blocks := r.Blocks(from, limit)
	return func(payload bool) []kv.BlockInfo {
		infos := make([]kv.BlockInfo, len(blocks))
		for i, b := range blocks {
			infos[i] = describe(b, payload)
		}
		for i := 1; i < len(blocks); i++ {
			infos[i].Intact = infos[i].Intact && blocks[i].Prev == blocks[i-1].Hash
		}
		return infos
	}
}

// HeldWrites takes hold of the newest writes that a replica without a leader has in its write log; nil for other replicas. The
// function that it returns may be called later and elsewhere, with the replica's state: it describes them in the order of writes.
func HeldWrites(replica core.Replica, limit int) func(core.View) []kv.BlockInfo {
	r, ok := replica.(*bayou.Replica)
	if !ok {
		return nil
	}
	newest := r.Newest(limit)
	return func(view core.View) (infos []kv.BlockInfo) {
		standing := bayou.Standing(view)
		for _, w := range newest(view) {
			infos = append(infos, kv.BlockInfo{Ballot: w.Dot.String(), Time: w.Stamp.Time(), Kind: cmp.Or(standing(w.Dot), "write"), Bytes: w.Size(), Intact: true,
				Summary: []string{w.Changes()}})
		}
		return infos
	}
}

// summaryMax bounds the commands of a block that are put into words.
const summaryMax = 1000

func describe(b *paxos.Block, payload bool) kv.BlockInfo {
	info := kv.BlockInfo{Index: b.Index, Ballot: b.Ballot.String(), Time: b.Time.Time(), Kind: b.Kind.String(),
		Prev: hex.EncodeToString(b.Prev[:]), Hash: hex.EncodeToString(b.Hash[:]), Bytes: len(b.Payload), Intact: b.Intact()}
	if !payload || b.Kind != paxos.Commands {
		return info
	}
	err := paxos.EachCommand(b.Payload, func(i int, command []byte) {
		if i < summaryMax {
			info.Summary = append(info.Summary, summarize(command))
		}
	})
	if err != nil {
		info.Intact = false
	}
	return info
}

func summarize(command []byte) string {
	var c kv.Command
	if err := kv.DecodeCommand(command, &c); err != nil {
		return fmt.Sprintf("%d bytes that are no command", len(command))
	}
	text := ""
	if len(c.Conds) > 0 {
		text = fmt.Sprintf("if %d conditions hold: ", len(c.Conds))
	}
	for i := range c.Ops {
		if i == 3 {
			return text + fmt.Sprintf(" and %d more", len(c.Ops)-i)
		}
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%s %q (%d bytes)", opNames[c.Ops[i].Kind], shorten(c.Ops[i].Key), len(c.Ops[i].Value))
	}
	return text
}

var opNames = map[kv.OpKind]string{kv.OpNone: "nothing", kv.OpGet: "get", kv.OpScan: "scan", kv.OpSet: "set",
	kv.OpDelete: "delete", kv.OpIncr: "incr", kv.OpIncrFloat: "incr by float", kv.OpCounter: "counter",
	kv.OpAppend: "append", kv.OpPrepend: "prepend", kv.OpSetRange: "set range", kv.OpExpire: "expire",
	kv.OpRename: "rename", kv.OpCopy: "copy", kv.OpClear: "clear", kv.OpRecache: "recache", kv.OpInvalidate: "invalidate",
	kv.OpInclude: "include", kv.OpExclude: "exclude", kv.OpMembers: "members", kv.OpMember: "member", kv.OpSiblings: "siblings",
	kv.OpOutcome: "outcome", kv.OpAbsorb: "absorb"}

func shorten(key []byte) []byte { return key[:min(len(key), 64)] }

// IsInstalled reports whether a note tells that a snapshot has replaced a state.
func IsInstalled(note core.Note) bool {
	_, ok := note.(paxos.InstalledNote)
	return ok
}

// LostCut says what a note means by which a replica tells that its keyspace's companion has lost what it had decided; "": it tells
// something else.
func LostCut(note core.Note) string {
	if n, ok := note.(bayou.LostCutNote); ok {
		return n.String() + ", so nothing more is committed; what was committed stays. Carry its records to a new keyspace (gamut dump lists them)"
	}
	return ""
}

// IsApplied reports whether a note tells of an applied block and no more.
func IsApplied(note core.Note) bool {
	switch note.(type) {
	case paxos.AppliedNote, bayou.AppliedNote, bayou.CutNote, bayou.CommitNote, bayou.UndoneNote, twophase.AppliedNote:
		return true
	}
	return false
}
