package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/quorum"
)

// staleRun writes at level one through a node and reads at level one through another one a while after the answer, again and again,
// while all disks are now fast and now slow; and it asks for estimates now and then, as an operator may.
type staleRun struct {
	*Cluster
	space  *keyspace.Descriptor
	chance *rand.Rand
	wait   core.Time
	// reads and missed count what was measured.
	reads, missed int
	// joint and apart are the estimates, of times that belong together, and of the same times shuffled.
	joint, apart []float64
}

func (s *staleRun) ask(t *testing.T, node int, level kv.Level, kind kv.OpKind, key, value string, done func(kv.Result)) {
	answered := false
	command := &kv.Command{Level: level, Ops: []kv.Op{{Kind: kind, Key: []byte(key), Value: []byte(value)}}}
	s.Submit(core.NodeID(node+1), s.space, 0, command, Second, func(r kv.Result) {
		done(r)
		answered = true
	})
	if met, err := s.Until(2*Second, func() bool { return answered }); err != nil || !met {
		t.Fatalf("no answer: %v", err)
	}
}

// once writes and reads.
func (s *staleRun) once(t *testing.T, i int) {
	writer := s.chance.IntN(3)
	reader := (writer + 1 + s.chance.IntN(2)) % 3
	key := fmt.Sprint("k", i%50)
	var written kv.Result
	s.ask(t, writer, kv.LevelOne, kv.OpSet, key, fmt.Sprint(i), func(r kv.Result) { written = r })
	if err := s.Advance(s.wait); err != nil {
		t.Fatal(err)
	}
	s.ask(t, reader, kv.LevelOne, kv.OpGet, key, "", func(r kv.Result) {
		s.reads++
		if written.Code != kv.OK || r.Code.Refused() {
			t.Fatalf("%+v, %+v", written, r)
		}
		if r.Version < written.Version {
			s.missed++
		}
	})
	if i%5 == 0 { // nodes make some of the reads that may miss something once more, of all replicas
		s.ask(t, reader, kv.LevelAll, kv.OpGet, key, "", func(kv.Result) {})
	}
}

// estimate adds what would be shown now. Between the acknowledgement and the read lie two ways between a client and a node.
func (s *staleRun) estimate(t *testing.T) {
	seen := make([]quorum.Seen, 3)
	for i := range seen {
		times := s.Status(core.NodeID(i+1), s.space, 0).Quorum.Times
		seen[i].From = core.NodeID(i + 1)
		for at, node := range times.Nodes {
			seen[i].Nodes = append(seen[i].Nodes, core.NodeID(node))
			if node != uint32(at+1) || len(times.Nodes) != 3 {
				t.Fatalf("nodes %v", times.Nodes)
			}
		}
		seen[i].Writes, seen[i].Reads = nanos(times.Writes), nanos(times.Reads)
	}
	s.joint = append(s.joint, s.missing(t, seen))
	for _, one := range seen {
		for at := range one.Nodes {
			s.chance.Shuffle(len(one.Writes), func(i, j int) { one.Writes[i][at], one.Writes[j][at] = one.Writes[j][at], one.Writes[i][at] })
		}
	}
	s.apart = append(s.apart, s.missing(t, seen))
}

func nanos(rows [][]int64) (list [][]core.Time) {
	for _, row := range rows {
		var times []core.Time
		for _, t := range row {
			if t = t * 1e3; t < 0 {
				t = int64(quorum.Unheard)
			}
			times = append(times, core.Time(t))
		}
		list = append(list, times)
	}
	return list
}

func (s *staleRun) missing(t *testing.T, seen []quorum.Seen) (sum float64) {
	e, ok := quorum.Estimate(seen, 1, 1, 2000, s.chance)
	if !ok {
		t.Fatal("there is no estimate")
	}
	const ages = 200
	for range ages {
		sum += e.Missing(s.travel() + s.wait + s.travel())
	}
	return sum / ages
}

func mean(list []float64) (sum float64) {
	for _, x := range list {
		sum += x
	}
	return sum / float64(len(list))
}

// TestStalenessIsEstimatedAsItIsMeasured: the estimate agrees with what reads really miss, at once and some time later, also when what makes
// one disk slow makes all of them slow; times that are taken apart would let far more be missed.
func TestStalenessIsEstimatedAsItIsMeasured(t *testing.T) {
	for _, x := range []struct {
		seed  uint64
		wait  core.Time
		apart float64 // by how much times taken apart are wrong at least
	}{{1, 0, 0}, {2, 0, 0}, {3, 2 * Millisecond, 0.1}, {4, 2 * Millisecond, 0.1}} {
		s := newStaleRun(t, x.seed, x.wait)
		for i := range 2000 {
			for id := core.NodeID(1); i%6 == 0 && id <= 3; id++ { // all disks are slow by turns
				s.SetDisk(id, Disk{SyncDelay: time.Duration(i/6%2*5) * time.Millisecond})
			}
			s.once(t, i)
			if i%100 == 99 {
				s.estimate(t)
			}
		}
		measured, joint, apart := float64(s.missed)/float64(s.reads), mean(s.joint), mean(s.apart)
		t.Logf("seed %d: of reads %s after the answer to a write %.1f %% missed it, %.1f %% by the estimate, %.1f %% by times taken apart", x.seed,
			clockText(x.wait), 100*measured, 100*joint, 100*apart)
		if math.Abs(joint-measured) > 0.05 {
			t.Errorf("seed %d: %v were missed, %v by the estimate", x.seed, measured, joint)
		}
		if x.apart > 0 && apart-measured < x.apart {
			t.Errorf("seed %d: times taken apart say %v, and %v were missed: this run shows no difference", x.seed, apart, measured)
		}
	}
}

func newStaleRun(t *testing.T, seed uint64, wait core.Time) *staleRun {
	t.Helper()
	c, err := NewCluster(ClusterOptions{Nodes: 3, Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	d, err := c.CreateKeyspace(kv.CreateKeyspace{Name: "q", Consistency: kv.Quorum})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Advance(Second); err != nil {
		t.Fatal(err)
	}
	return &staleRun{Cluster: c, space: d, chance: stream(seed, "staleness", 0), wait: wait}
}
