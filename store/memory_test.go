package store

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gamutdb/gamut/core"
)

// memoryAppender lets Memory run where Disk does.
type memoryAppender struct{ *Memory }

func (m memoryAppender) Append(b Batch) error { m.Begin(b); m.Complete(); return nil }
func (m memoryAppender) Close() error         { return nil }

func TestMemoryKeepsWhatWasCompleted(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 9))
		m := NewMemory(MemoryOptions{SegmentBytes: 8 << 10, MemTableBytes: 16 << 10})
		w := newWorld(seed)
		for life := range 4 {
			if err := w.boot(memoryAppender{m}, m.Recover()); err != nil {
				t.Fatalf("seed %d, life %d: %v", seed, life, err)
			}
			for range rng.IntN(100) {
				if err := w.step(); err != nil {
					t.Fatal(err)
				}
			}
			durable := map[core.GroupID]uint64{}
			for g := core.GroupID(1); g <= 4; g++ {
				durable[g] = m.Group(g).DurableApplied()
			}
			pending := rng.IntN(2) == 0
			if pending {
				m.Begin(Batch{Roll: m.NeedsRoll(), Items: []Item{item(9, 1, "in flight")}})
			}
			want := map[core.GroupID]uint64{}
			for g := core.GroupID(1); g <= 4; g++ {
				want[g] = w.group(g).pos
			}
			tail := []Tail{TailLost, TailTorn, TailChance, TailChance}[rng.IntN(4)]
			m, _ = m.Crash(rng, tail)
			r := m.Recover()
			if len(r.Reports) != 0 || r.AllSuspect || len(r.Suspect) != 0 || tail != TailChance && len(r.Groups[9]) > life {
				t.Fatalf("seed %d: recovered %+v", seed, r)
			}
			if err := w.boot(memoryAppender{m}, r); err != nil {
				t.Fatalf("seed %d, life %d: %v", seed, life, err)
			}
			for g := core.GroupID(1); g <= 4; g++ {
				if w.group(g).pos != want[g] || m.Group(g).Applied() < durable[g] {
					t.Fatalf("seed %d: group %d recovered to %d of %d, applied %d, durable before %d", seed, g, w.group(g).pos, want[g], m.Group(g).Applied(), durable[g])
				}
			}
		}
	}
}

func TestMemoryFallsBackToAPrefixOverAllGroups(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(200) {
		m := NewMemory(MemoryOptions{})
		for i := range uint64(6) {
			apply(t, m.Group(core.GroupID(i%2)), applied(i+1))
			if i == 1 {
				if err := m.Flush(); err != nil {
					t.Fatal(err)
				}
			}
		}
		m, _ = m.Crash(rand.New(rand.NewPCG(seed, 0)), TailLost)
		seen[fmt.Sprint(m.Group(0).Applied(), m.Group(1).Applied())] = true
	}
	want := map[string]bool{"1 2": true, "3 2": true, "3 4": true, "5 4": true, "5 6": true}
	if !cmp.Equal(seen, want) {
		t.Fatalf("the states after a crash are %v", seen)
	}
}

func TestMemoryCorruptionIsSuspect(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 0))
		m := NewMemory(MemoryOptions{})
		for i := range uint64(10) {
			m.Begin(Batch{Roll: i == 0, Items: []Item{item(core.GroupID(i+1), 1, "x")}})
			m.Complete()
		}
		if !m.Corrupt(rng) {
			t.Fatal("nothing to corrupt")
		}
		m, _ = m.Crash(rng, TailLost)
		r := m.Recover()
		if len(r.Reports) != 1 || len(r.Groups) == 10 {
			t.Fatalf("recovered %+v", r)
		}
		for g := core.GroupID(1); g <= 10; g++ {
			if lost := len(r.Groups[g]) == 0; lost && !r.AllSuspect && !r.Suspect[g] || !lost && r.Suspect[g] {
				t.Fatalf("group %d: recovered %+v", g, r)
			}
		}
		m.Wipe()
		if r := m.Recover(); len(r.Groups) != 0 || len(r.Reports) != 0 || len(m.GroupsWithState()) != 0 {
			t.Fatalf("after a wipe: %+v", r)
		}
	}
}

func TestMemoryMissesTheEndOfItsLogAfterAFlush(t *testing.T) {
	seen := false
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 0))
		m := NewMemory(MemoryOptions{})
		for i := range uint64(4) {
			m.Begin(Batch{Roll: i == 0, Items: []Item{item(core.GroupID(i+1), 1, "x")}})
			m.Complete()
			if err := m.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		m.Corrupt(rng)
		m, _ = m.Crash(rng, TailLost)
		r := m.Recover()
		if seen = seen || len(r.Groups[4]) == 0; len(r.Reports) == 0 {
			t.Fatalf("seed %d: recovered %+v", seed, r)
		}
		// The next batch must not close the gap in the numbers.
		m.Begin(Batch{Roll: true, Items: []Item{item(9, 1, "x")}})
		m.Complete()
		m, _ = m.Crash(rng, TailLost)
		if again := m.Recover(); len(again.Reports) == 0 {
			t.Fatalf("seed %d: recovered %+v, then %+v", seed, r, again)
		}
	}
	if !seen {
		t.Fatal("the end of the log was never lost")
	}
}

func TestEqualStatesHaveEqualDigests(t *testing.T) {
	a, b := NewMemory(MemoryOptions{}), NewMemory(MemoryOptions{})
	put := func(key, value string) core.Change {
		return core.Change{Kind: core.Put, Key: []byte(key), Value: []byte(value)}
	}
	apply(t, a.Group(1), put("a", "1"), put("b", "2"), put("c", "3"))
	apply(t, b.Group(1), put("b", "9"), put("x", "9"), put("c", "3"), put("b", "2"))
	if a.Digest(1) == b.Digest(1) {
		t.Fatal("different states have one digest")
	}
	apply(t, b.Group(1), core.Change{Kind: core.DeleteRange, Key: []byte("d")}, put("a", "1"))
	if a.Digest(1) != b.Digest(1) || a.Digest(1) == 0 {
		t.Fatalf("digests %x and %x", a.Digest(1), b.Digest(1))
	}
}

// TestTornBatchIsCutOff: of a batch that was being written some sectors are on the disk, others are not. It is never taken for
// one that was written, nor anything in it, and what was durable before is untouched; the next life writes on behind it.
func TestTornBatchIsCutOff(t *testing.T) {
	partly, assembled := 0, 0
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 11))
		m := NewMemory(MemoryOptions{})
		m.Recover()
		m.Begin(Batch{Roll: true, Items: []Item{item(1, 1, "durable")}})
		m.Complete()
		// No byte of it is zero, so that a sector that is missing is missed. Long ones are several chunks.
		long := strings.Repeat("x", 1+rng.IntN(100_000))
		m.Begin(Batch{Roll: rng.IntN(2) == 0, Items: []Item{item(1, 2, long), item(2, 1, "torn")}})
		n, some := m.Crash(rng, TailTorn)
		if some {
			partly++
		}
		last := n.segments[len(n.segments)-1]
		for reader := last.torn.reader(); ; {
			record, _, _, ok := reader.next()
			if !ok {
				break
			}
			if _, err := decodeBatch(record); err == nil {
				t.Fatalf("seed %d: a torn batch of %d bytes passes for a whole one", seed, len(long))
			}
			assembled++
		}
		for life := range 2 {
			r := n.Recover()
			if len(r.Reports) != 0 || r.AllSuspect || len(r.Suspect) != 0 || len(r.Groups[1]) != 1+life || len(r.Groups[2]) != 0 {
				t.Fatalf("seed %d, life %d: recovered %+v", seed, life, r)
			}
			n.Begin(Batch{Roll: true, Items: []Item{item(1, 2, "next")}})
			n.Complete()
			n, _ = n.Crash(rng, TailLost)
		}
	}
	// The canaries: parts were there, and some looked like a record until its checksum was compared.
	if partly < 150 || assembled == 0 {
		t.Errorf("%d of 300 batches were there in part, %d looked whole by their chunks", partly, assembled)
	}
}
