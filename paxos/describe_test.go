package paxos

import (
	"fmt"
	"strings"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/coretest"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

func describeMember(m *member) string {
	if m.Replica == nil {
		return fmt.Sprintf("%d is down", m.ID)
	}
	s := m.Replica.Status()
	line := fmt.Sprintf("%d %s promised %v leader %d commit %d applied %d durable %d last %d", m.ID, s.Role, s.Ballot, s.Leader,
		s.Commit, s.Applied, s.Durable, s.Last)
	if s.Suspect {
		line += " suspect"
	}
	return line
}

func describeFresh(f core.Freshness) string {
	text := fmt.Sprintf("whole as of %d ms", f.Whole/millisecond)
	if f.Recent != 0 {
		text += fmt.Sprintf(", but for %d blocks as of %d ms", f.Lacking, f.Recent/millisecond)
	}
	return text
}

func describeBlock(b *Block) string {
	var commands []string
	if b.Kind == Commands {
		_ = EachCommand(b.Payload, func(_ int, encoded []byte) {
			var c kv.Command
			if err := kv.DecodeCommand(encoded, &c); err != nil {
				panic(err)
			}
			o := &c.Ops[0]
			commands = append(commands, strings.TrimSpace(fmt.Sprintf("%s %s %s", opNames[o.Kind], o.Key, shorten(o.Value))))
		})
		return fmt.Sprintf("%d ballot %v: %s", b.Index, b.Ballot, strings.Join(commands, ", "))
	}
	text := fmt.Sprintf("%d ballot %v: %s", b.Index, b.Ballot, b.Kind)
	if b.Kind != Configuration {
		return text
	}
	config, err := DecodeConfig(b.Payload)
	if err != nil {
		panic(err)
	}
	return text + strings.TrimPrefix(ConfigNote{config}.String(), "proposes")
}

var opNames = map[kv.OpKind]string{kv.OpSet: "set", kv.OpIncr: "incr", kv.OpDelete: "del", kv.OpGet: "get", kv.OpScan: "scan"}

func shorten(value []byte) string {
	if len(value) > 100 {
		return fmt.Sprintf("(%d bytes)", len(value))
	}
	return string(value)
}

func describeRecord(b []byte) string {
	r, err := machine.DecodeRecord(b)
	if err != nil {
		panic(err)
	}
	return shorten(r.Value)
}

func describeMessage(message core.Message) string {
	kind := coretest.KindOf(message)
	switch m := message.(type) {
	case Nominate:
		return fmt.Sprintf("%s %v, log ends at %d of %v", kind, m.Ballot, m.LastIndex, m.LastBallot)
	case NominateReply:
		return fmt.Sprintf("%s %v grant %t promised %v", kind, m.Ballot, m.Grant, m.Promised)
	case Prepare:
		return fmt.Sprintf("%s %v, log ends at %d of %v", kind, m.Ballot, m.LastIndex, m.LastBallot)
	case Promise:
		return fmt.Sprintf("%s %v ok %t promised %v, log ends at %d of %v", kind, m.Ballot, m.OK, m.Promised, m.LastIndex, m.LastBallot)
	case Fetch:
		return fmt.Sprintf("%s %v %d..%d", kind, m.Ballot, m.From, m.To)
	case Blocks:
		return fmt.Sprintf("%s %v %s", kind, m.Ballot, indexes(m.Blocks))
	case Accept:
		return fmt.Sprintf("%s %v behind %d %s commit %d", kind, m.Ballot, m.PrevIndex, indexes(m.Blocks), m.Commit)
	case Accepted:
		return fmt.Sprintf("%s %v ok %t match %d promised %v", kind, m.Ballot, m.OK, m.Match, m.Promised)
	case Heartbeat:
		return fmt.Sprintf("%s %v commit %d", kind, m.Ballot, m.Commit)
	case HeartbeatReply:
		return fmt.Sprintf("%s %v ok %t promised %v", kind, m.Ballot, m.OK, m.Promised)
	case TimedHeartbeat:
		return fmt.Sprintf("%s %v commit %d, all up to %d ms is behind %d", kind, m.Ballot, m.Commit, m.Safe.Time.UnixMilli(), m.Safe.Index)
	case TimedReply:
		return fmt.Sprintf("%s %v ok %t, tells %d ms", kind, m.Ballot, m.OK, m.Time.UnixMilli())
	case SnapshotChunk:
		return fmt.Sprintf("%s %v of %d part %d done %t", kind, m.Ballot, m.At.Index, m.N, m.Done)
	case SnapshotReply:
		return fmt.Sprintf("%s %v part %d done %t match %d", kind, m.Ballot, m.N, m.Done, m.Match)
	case Cured:
		return fmt.Sprintf("%s %v at %d", kind, m.Ballot, m.Index)
	}
	return kind
}

func indexes(list []*Block) string {
	var words []string
	for _, b := range list {
		words = append(words, fmt.Sprint(b.Index))
	}
	return "[" + strings.Join(words, " ") + "]"
}
