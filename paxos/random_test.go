package paxos

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/coretest"
	"github.com/gamutdb/gamut/kv"
)

// TestRandomSchedules lets messages be lost, doubled, delayed and reordered, disks lag, replicas crash, and sometimes lose
// their logs, and checks after every step that no two replicas apply different blocks at one index, that no acknowledged
// increment is missing, none that was refused is there, and no read misses one that was acknowledged before it. Then all heals, and commands must succeed again.
func TestRandomSchedules(t *testing.T) {
	seeds := 100
	if testing.Short() {
		seeds = 20
	}
	for seed := range seeds {
		func() {
			defer func() {
				if r := recover(); r != nil {
					t.Errorf("seed %d: %v", seed, r)
				}
			}()
			newSchedule(uint64(seed)).run(t)
		}()
		if t.Failed() {
			t.Fatalf("seed %d fails", seed)
		}
	}
}

type schedule struct {
	*cluster
	rng    *rand.Rand
	hashes map[uint64]Hash
	// sure and maybe count the increments that were acknowledged, and those that may have happened.
	sure, maybe int64
	open        map[core.RequestID]bool
	// spare says that there are replicas beyond the first voters, and that voters change.
	spare bool
	// reads are the reads under way, with the increments that were acknowledged before they began.
	reads map[core.RequestID]int64
}

func newSchedule(seed uint64) *schedule {
	rng := rand.New(rand.NewPCG(seed, 1))
	config := Config{LeaseMillis: uint32(rng.IntN(2)) * 400}
	options := Options{ElectionMin: 300 * millisecond, ElectionMax: 600 * millisecond}
	if rng.IntN(2) == 0 {
		options.RetainBytes = 600 // snapshots all the time
	}
	s := &schedule{cluster: newCluster(3+2*rng.IntN(2), config, options), rng: rng, hashes: map[uint64]Hash{}, open: map[core.RequestID]bool{}, reads: map[core.RequestID]int64{}}
	if s.spare = rng.IntN(2) == 0; s.spare {
		s.add(2)
	}
	s.onApplied = func(id core.ReplicaID, n AppliedNote) {
		if h, ok := s.hashes[n.Index]; ok && h != n.Hash {
			panic(fmt.Sprintf("replica %d applies %v at %d, another applied %v", id, n.Hash, n.Index, h))
		}
		s.hashes[n.Index] = n.Hash
	}
	return s
}

func (s *schedule) run(t *testing.T) {
	t.Helper()
	for range 1500 {
		s.act()
		s.collect()
	}
	s.heal(t)
	m := s.Member(s.leader())
	value, _ := m.State.Get([]byte("dn"))
	n, at := int64(0), m.Replica.applied.Index
	if value != nil {
		n = number64(describeRecord(value))
	}
	if n < s.sure || n > s.sure+s.maybe {
		t.Errorf("%d increments at block %d; %d were acknowledged, %d may have happened", n, at, s.sure, s.maybe)
	}
	for _, id := range m.Replica.config.Voters {
		other := s.Member(id)
		if other.Replica.applied != m.Replica.applied {
			t.Errorf("replica %d applied up to %d, the leader up to %d", other.ID, other.Replica.applied.Index, at)
		}
		if got, _ := other.State.Get([]byte("dn")); string(got) != string(value) {
			t.Errorf("replica %d holds %q, the leader %q", other.ID, got, value)
		}
		if other.Replica.suspect {
			t.Errorf("replica %d was not cured", other.ID)
		}
	}
}

func number64(s string) (n int64) {
	if _, err := fmt.Sscan(s, &n); err != nil {
		panic(err)
	}
	return n
}

func (s *schedule) act() {
	m := s.Members[s.rng.IntN(len(s.Members))]
	switch k := s.rng.IntN(100); {
	case k < 45:
		for range s.rng.IntN(12) {
			s.jostle()
		}
	case k < 65:
		s.Sync(m)
	case k < 70:
		s.Begin(m)
	case k < 80:
		s.Now += core.Time(s.rng.IntN(60)) * millisecond
		for _, m := range s.Members {
			if m.Replica != nil {
				s.Step(m, core.Tick{})
			}
		}
	case k < 88:
		s.increment(m)
	case k < 94:
		s.readCounter(m)
	case k < 96:
		if m.Replica != nil {
			m.Flush()
		}
	case k < 97 && s.spare && s.rng.IntN(2) == 0:
		if m.Replica != nil {
			s.Step(m, core.Reconfigure{Voters: s.someVoters()})
		}
	case k < 97:
		if m.Replica != nil {
			s.Step(m, core.Handoff{To: s.Members[s.rng.IntN(len(s.Members))].ID})
		}
	case k < 98:
		if s.rng.IntN(3) == 0 {
			s.Cut(m.ID)
		} else {
			s.Heal()
		}
	default:
		s.crashOrRestart(m)
	}
}

// someVoters are three or more replicas, so that one of them may lose its disk.
func (s *schedule) someVoters() (voters []core.ReplicaID) {
	for _, at := range s.rng.Perm(len(s.Members))[:3+s.rng.IntN(len(s.Members)-2)] {
		voters = append(voters, core.ReplicaID(at+1))
	}
	slices.Sort(voters)
	return voters
}

// jostle loses, doubles or delivers one message, not always the oldest.
func (s *schedule) jostle() {
	if len(s.Network) == 0 {
		return
	}
	at := 0
	if s.rng.IntN(4) == 0 {
		at = s.rng.IntN(len(s.Network))
	}
	p := s.Network[at]
	switch k := s.rng.IntN(100); {
	case k < 4:
		s.Network = slices.Delete(s.Network, at, at+1)
		return
	case k < 10:
		s.Network = append(s.Network, p)
	}
	i := -1
	s.Deliver(func(packet) bool { i++; return i == at })
}

func (s *schedule) increment(m *member) {
	if m.Replica == nil {
		return
	}
	q := s.Request(&kv.Command{Ops: []kv.Op{{Kind: kv.OpIncr, Key: []byte("n"), Delta: 1}}})
	s.open[q.ID] = true
	s.Submit(m, q)
}

// readCounter asks a replica that thinks it leads, however wrong it may be.
func (s *schedule) readCounter(m *member) {
	if m.Replica == nil || m.Replica.role != Leader {
		return
	}
	q := s.Request(&kv.Command{Ops: []kv.Op{{Kind: kv.OpGet, Key: []byte("n")}}})
	s.reads[q.ID] = s.sure
	s.Submit(m, q)
}

// crashOrRestart may also damage the disk, of one replica at a time, so that a majority could always recover.
func (s *schedule) crashOrRestart(m *member) {
	if m.Replica != nil {
		if s.rng.IntN(4) == 0 {
			s.Crash(m)
		}
		return
	}
	hurt := slices.ContainsFunc(s.Members, func(o *member) bool { return o.Damaged || (o.Replica != nil && o.Replica.suspect) || isSuspect(o) })
	if !hurt && len(m.Durable) > 0 && s.rng.IntN(3) == 0 {
		m.Damaged = true
		from := s.rng.IntN(len(m.Durable))
		if s.rng.IntN(2) == 0 { // the state is lost; the log reaches back to anywhere
			m.State, m.Flushed, from = coretest.NewState(), coretest.NewState(), 0
		}
		m.Durable = slices.Delete(m.Durable, from, from+s.rng.IntN(len(m.Durable)-from)+1)
	}
	s.Restart(m)
}

// isSuspect reads the flag from the disk of a replica that is down.
func isSuspect(m *member) (suspect bool) {
	for _, r := range m.Durable {
		if r.Kind == recordHard {
			h, _ := decodeHard(r.Body)
			suspect = h.suspect
		}
	}
	return suspect
}

// collect reads the answers that were given since.
func (s *schedule) collect() {
	for _, line := range strings.Split(s.Said(), "\n") {
		var by int
		var id core.RequestID
		if n, _ := fmt.Sscanf(line, "%d answers request %d:", &by, &id); n < 2 {
			continue
		}
		if least, ok := s.reads[id]; ok {
			delete(s.reads, id)
			s.checkRead(line, least)
			continue
		}
		if !s.open[id] {
			panic(fmt.Sprintf("request %d was answered twice: %s", id, line))
		}
		delete(s.open, id)
		switch _, answer, _ := strings.Cut(line, ": "); {
		case strings.HasPrefix(answer, "ok"):
			s.sure++
		case answer == "unknown outcome":
			s.maybe++
		case answer != "not leader" && answer != "busy":
			panic(line)
		}
	}
}

// checkRead holds a read against what was acknowledged before it began: a linearizable one cannot show less.
func (s *schedule) checkRead(line string, least int64) {
	_, answer, _ := strings.Cut(line, ": ")
	n := int64(0)
	switch value, ok := strings.CutPrefix(answer, "ok "); {
	case ok:
		n = number64(strings.Trim(value, "\""))
	case answer != "not found":
		return
	}
	if n < least {
		panic(fmt.Sprintf("%s, after %d increments were acknowledged", line, least))
	}
}

// heal ends all faults and waits until a command succeeds and all replicas are alike.
func (s *schedule) heal(t *testing.T) {
	t.Helper()
	s.Heal()
	for _, m := range s.Members {
		s.End(m)
		if m.Replica == nil {
			s.Restart(m)
		}
	}
	s.pass(8000 * millisecond)
	before := s.sure
	for range 20 {
		if id := s.leader(); id != 0 {
			s.increment(s.Member(id))
		}
		s.pass(200 * millisecond)
	}
	if s.sure == before {
		t.Error("no command succeeds although all faults have ended")
	}
	if id := s.leader(); id == 0 {
		panic("nobody leads although all faults have ended")
	}
	if s.spare {
		s.changeVoters(t)
	}
	s.maybe += int64(len(s.open)) // never answered: they may have happened
	for id := range s.open {
		delete(s.open, id)
	}
}

// changeVoters asks for other voters until the configuration says so.
func (s *schedule) changeVoters(t *testing.T) {
	t.Helper()
	want := s.someVoters()
	for range 60 {
		id := s.leader()
		if id == 0 {
			s.pass(200 * millisecond)
			continue
		}
		c := s.Member(id).Replica.config
		if slices.Equal(c.Voters, want) && !c.joint() && slices.Contains(want, id) {
			s.pass(2000 * millisecond)
			return
		}
		s.Step(s.Member(id), core.Reconfigure{Voters: want})
		s.pass(200 * millisecond)
	}
	t.Errorf("the voters are not %d although all faults have ended", want)
}

// pass lets time go by in a healthy cluster.
func (s *schedule) pass(d core.Time) {
	for end := s.Now + d; s.Now < end; s.Now += 20 * millisecond {
		for _, m := range s.Members {
			s.Step(m, core.Tick{})
		}
		s.Settle()
		s.collect()
	}
}

func (s *schedule) leader() core.ReplicaID {
	for _, m := range s.Members {
		if m.Replica != nil && m.Replica.role == Leader {
			return m.ID
		}
	}
	return 0
}

// TestAppliedPositionLeadsItsValue holds the state's applied position to what stores read of it.
func TestAppliedPositionLeadsItsValue(t *testing.T) {
	p := position{Index: 1 << 40, Ballot: Ballot{7, 2}, Time: 99, Hash: Hash{1, 2, 3}}
	b := appendMeta(nil, p)
	if got := binary.BigEndian.Uint64(b); got != p.Index {
		t.Errorf("the value begins with %d", got)
	}
	if got := decodeMeta(b); got != p {
		t.Errorf("decoded %+v", got)
	}
}
