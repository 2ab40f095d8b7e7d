package twophase

import (
	"fmt"
	"slices"
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
	role := "none of them"
	switch {
	case slices.Contains(s.Joiners, m.ID):
		role = "joiner"
	case s.Leads && s.Opening:
		role = "opens"
	case s.Leads:
		role = "coordinates"
	case m.Replica.told.has(m.ID):
		role = "member"
	}
	line := fmt.Sprintf("%d %s, told %d, obeys %d, applied %d, final %d, last %d", m.ID, role, s.Epoch, s.Fenced, s.Applied, s.Resolved, s.Last)
	if held := m.Replica.held; held > s.Last {
		line += fmt.Sprintf(", log held to %d", held)
	}
	if s.Suspect {
		line += ", suspect"
	}
	for n := s.Applied + 1; n <= s.Last; n++ {
		if slot := m.Replica.slots.at(n); slot != nil {
			line += "; " + describeSlot(slot)
		}
	}
	return line
}

func describeSlot(s *slot) string {
	if s.aborted {
		return fmt.Sprintf("%d aborted", s.n)
	}
	return fmt.Sprintf("%d %s", s.n, describeBatch(s.batch.raw))
}

func describeBatch(raw []byte) string {
	b, err := decodeBatch(raw)
	if err != nil {
		panic(err)
	}
	var words []string
	switch b.kind {
	case expiry:
		return "expiry"
	case mark:
		return "mark"
	}
	_ = b.each(func(_ int, encoded []byte) {
		var c kv.Command
		if err := kv.DecodeCommand(encoded, &c); err != nil {
			panic(err)
		}
		o := &c.Ops[0]
		words = append(words, strings.TrimSpace(fmt.Sprintf("%s %s %s", opNames[o.Kind], o.Key, o.Value)))
	})
	return strings.Join(words, ", ")
}

var opNames = map[kv.OpKind]string{kv.OpSet: "set", kv.OpIncr: "incr", kv.OpDelete: "del", kv.OpGet: "get", kv.OpScan: "scan"}

func describeRecord(b []byte) string {
	r, err := machine.DecodeRecord(b)
	if err != nil {
		panic(err)
	}
	return string(r.Value)
}

func describeMessage(message core.Message) string {
	kind := coretest.KindOf(message)
	switch m := message.(type) {
	case Fence:
		return fmt.Sprintf("%s %s", kind, m.Config)
	case FenceOK:
		text := fmt.Sprintf("%s %d final %d", kind, m.Epoch, m.Resolved)
		for _, o := range m.Open {
			text += fmt.Sprintf(", %d %s", o.N, map[bool]string{true: "aborted", false: "prepared"}[o.Aborted])
		}
		return text
	case Prepare:
		return fmt.Sprintf("%s %d.%d final %d: %s", kind, m.Epoch, m.N, m.Resolved, describeBatch(m.Batch))
	case Vote:
		return fmt.Sprintf("%s %d.%d %s", kind, m.Epoch, m.N, map[bool]string{true: "yes", false: "no"}[m.Yes])
	case Abort:
		return fmt.Sprintf("%s %d.%d", kind, m.Epoch, m.N)
	case AbortOK:
		return fmt.Sprintf("%s %d.%d", kind, m.Epoch, m.N)
	case Heartbeat:
		return fmt.Sprintf("%s %d final %d", kind, m.Epoch, m.Resolved)
	case Resolved:
		return fmt.Sprintf("%s %d up to %d", kind, m.Epoch, m.UpTo)
	case Alive:
		return fmt.Sprintf("%s %d final %d joined %t sick %t", kind, m.Epoch, m.Resolved, m.Joined, m.Sick)
	case SnapshotChunk:
		return fmt.Sprintf("%s %d of %d part %d done %t", kind, m.Epoch, m.At.n, m.N, m.Done)
	case SnapshotReply:
		return fmt.Sprintf("%s %d part %d", kind, m.Epoch, m.N)
	case Feed:
		if len(m.Batch) == 0 {
			return fmt.Sprintf("%s %d.%d: aborted", kind, m.Epoch, m.N)
		}
		return fmt.Sprintf("%s %d.%d: %s", kind, m.Epoch, m.N, describeBatch(m.Batch))
	}
	return kind
}
