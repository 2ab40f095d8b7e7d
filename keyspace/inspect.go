package keyspace

import (
	"encoding/hex"
	"fmt"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/paxos"
)

// Report tells operators of a replica. Who it is and where its leader lives is for the caller to fill in.
func Report(replica core.Replica, now core.Time) (s kv.GroupStatus) {
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

// Suspect reports whether a replica found its disk damaged and is not cured yet.
func Suspect(replica core.Replica) bool {
	r, ok := replica.(*paxos.Replica)
	return ok && r.Status().Suspect
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
	kv.OpRename: "rename", kv.OpCopy: "copy", kv.OpClear: "clear", kv.OpRecache: "recache", kv.OpInvalidate: "invalidate"}

func shorten(key []byte) []byte { return key[:min(len(key), 64)] }

// IsApplied reports whether a note tells of an applied block and no more.
func IsApplied(note core.Note) bool {
	_, ok := note.(paxos.AppliedNote)
	return ok
}
