package sim

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

// toy is the smallest honest protocol, to try the world and its checkers on: the lowest replica always leads, a log entry
// is committed when a majority holds it durably, reads go through the log. It has no elections: while its leader is down
// nothing moves, and its followers' logs are prefixes of the leader's because the leader sends only what it has synced.
type toy struct {
	self    core.ReplicaID
	members []core.ReplicaID
	log     [][]byte // entry i is at i+1
	durable uint64   // leader: own durable entries
	match   map[core.ReplicaID]uint64
	commit  uint64
	applied uint64
	waiting map[uint64]core.RequestID
	next    core.Time
	machine machine.Machine
}

func toyProtocol() Protocol {
	return Protocol{
		Name: "toy",
		New:  func(self core.ReplicaID) core.Replica { return &toy{self: self} },
		Config: func(members []core.ReplicaID) (b []byte) {
			for _, m := range members {
				b = append(b, byte(m))
			}
			return b
		},
		Decode: decodeToy,
		Read: func(v core.View, c *kv.Command, wall int64) (kv.Result, bool) {
			return machine.Read(v, c, kv.HLCOf(wall))
		},
		Position: machine.Position,
		Look: func(r core.Replica) Inside {
			t := r.(*toy)
			return Inside{Leads: t.leader() == t.self, Applied: t.applied, Commit: t.commit}
		},
	}
}

// toyMessage is an entry on its way, its acknowledgement, or the leader's word on what is committed.
type toyMessage struct {
	kind   byte
	index  uint64
	commit uint64
	entry  []byte
}

const (
	toyAccept = iota + 1
	toyAccepted
)

func (m *toyMessage) AppendTo(b []byte) []byte {
	b = append(b, m.kind)
	b = binary.AppendUvarint(b, m.index)
	b = binary.AppendUvarint(b, m.commit)
	return append(b, m.entry...)
}

func (m *toyMessage) String() string {
	return fmt.Sprintf("%d index %d commit %d %q", m.kind, m.index, m.commit, m.entry)
}

func decodeToy(b []byte) (core.Message, error) {
	if len(b) < 3 {
		return nil, errors.New("short message")
	}
	m := &toyMessage{kind: b[0]}
	b = b[1:]
	for _, at := range []*uint64{&m.index, &m.commit} {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, errors.New("short message")
		}
		*at, b = v, b[n:]
	}
	m.entry = b
	return m, nil
}

func (t *toy) leader() core.ReplicaID {
	least := t.members[0]
	for _, m := range t.members {
		least = min(least, m)
	}
	return least
}

func (t *toy) Leader() core.ReplicaID { return t.leader() }

func (t *toy) Deadline() (core.Time, bool) { return t.next, true }

func (t *toy) Step(in *core.Input, out *core.Effects) {
	switch e := in.Event.(type) {
	case core.Start:
		t.start(in, e.Config)
	case core.Recover:
		t.start(in, e.Config)
		for _, r := range e.Records {
			t.log = append(t.log, r.Body)
		}
		t.durable = uint64(len(t.log))
	case core.Requests:
		for _, r := range e.List {
			t.propose(in, r, out)
		}
	case core.Received:
		t.receive(in, e, out)
	case core.Again:
		t.apply(in, out)
	case core.Tick:
		t.next = in.Now + 20*Millisecond
		if t.leader() == t.self {
			t.spread(out)
		}
	}
}

func (t *toy) start(in *core.Input, config []byte) {
	t.match, t.waiting, t.next = map[core.ReplicaID]uint64{}, map[uint64]core.RequestID{}, in.Now
	for _, m := range config {
		t.members = append(t.members, core.ReplicaID(m))
	}
	if v, ok := in.View.Get(core.AppliedKey); ok {
		t.applied = binary.BigEndian.Uint64(v)
		t.commit = t.applied
	}
}

func (t *toy) propose(in *core.Input, r core.Request, out *core.Effects) {
	if t.leader() != t.self {
		out.Reply(r.ID, kv.Result{Code: kv.NotLeader})
		return
	}
	now := in.Stamp
	if n := len(t.log); n > 0 {
		now = max(now, kv.HLC(binary.BigEndian.Uint64(t.log[n-1]))+1)
	}
	index := t.write(append(binary.BigEndian.AppendUint64(nil, uint64(now)), r.Command...), out)
	t.waiting[index] = r.ID
	out.Send(t.self, &toyMessage{kind: toyAccepted, index: index})
}

func (t *toy) write(entry []byte, out *core.Effects) uint64 {
	t.log = append(t.log, entry)
	// The whole log is kept: the toy knows no snapshots.
	out.Write(core.Record{Kind: 1, Pos: 1 << 60, Body: entry})
	return uint64(len(t.log))
}

// spread sends each follower its next entries.
func (t *toy) spread(out *core.Effects) {
	for _, m := range t.members {
		if m == t.self {
			continue
		}
		from := t.match[m] + 1
		for i := from; i <= t.durable && i < from+20; i++ {
			out.Send(m, &toyMessage{toyAccept, i, min(t.commit, i), t.log[i-1]})
		}
		if from > t.durable && t.durable > 0 {
			out.Send(m, &toyMessage{toyAccept, t.durable, t.commit, t.log[t.durable-1]})
		}
	}
}

func (t *toy) receive(in *core.Input, e core.Received, out *core.Effects) {
	m := e.Message.(*toyMessage)
	switch m.kind {
	case toyAccept:
		if m.index == uint64(len(t.log))+1 {
			t.write(append([]byte{}, m.entry...), out)
		}
		if m.index <= uint64(len(t.log)) {
			t.commit = max(t.commit, min(m.commit, m.index))
			t.apply(in, out)
		}
		out.Send(e.From, &toyMessage{kind: toyAccepted, index: uint64(len(t.log))})
	case toyAccepted:
		if e.From == t.self {
			t.durable = max(t.durable, m.index)
		}
		t.match[e.From] = max(t.match[e.From], m.index)
		t.match[t.self] = t.durable
		held := 0
		for i := t.commit + 1; i <= t.durable; i++ {
			held = 0
			for _, p := range t.members {
				if t.match[p] >= i {
					held++
				}
			}
			if held > len(t.members)/2 {
				t.commit = i
			}
		}
		t.apply(in, out)
		if e.From == t.self {
			t.spread(out)
		}
	}
}

// apply executes the next committed entry and asks for another turn for the one after it.
func (t *toy) apply(in *core.Input, out *core.Effects) {
	if t.applied >= t.commit || t.applied >= uint64(len(t.log)) || len(out.State) > 0 {
		return
	}
	entry := t.log[t.applied]
	t.applied++
	now := kv.HLC(binary.BigEndian.Uint64(entry))
	t.machine.Begin(in.View, t.applied, now)
	r := t.machine.Apply(entry[8:], true)
	out.State = append(out.State, t.machine.Finish()...)
	applied := binary.BigEndian.AppendUint64(nil, t.applied)
	out.State = append(out.State, core.Change{Kind: core.Put, Key: core.AppliedKey, Value: binary.BigEndian.AppendUint64(applied, uint64(now))})
	if id, ok := t.waiting[t.applied]; ok {
		delete(t.waiting, t.applied)
		out.Reply(id, r)
	}
	out.Again = true
}
