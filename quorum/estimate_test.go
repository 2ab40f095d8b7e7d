package quorum

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gamutdb/gamut/core"
)

const draws = 10_000

func times(ms ...core.Time) (list []core.Time) {
	for _, t := range ms {
		list = append(list, t*millisecond)
	}
	return list
}

// sees is a group of nodes of which each has seen the same: writes with rows of its own time and that of each other, reads of others alike.
func sees(n int, writes [][2]core.Time, reads ...core.Time) (list []Seen) {
	for from := range n {
		s := Seen{From: core.NodeID(from + 1)}
		for i := range n {
			s.Nodes = append(s.Nodes, core.NodeID(i+1))
		}
		row := func(own, other core.Time) []core.Time {
			times := slices.Repeat([]core.Time{other * millisecond}, n)
			if times[from] = own * millisecond; own < 0 {
				times[from] = Unheard
			}
			return times
		}
		for _, w := range writes {
			s.Writes = append(s.Writes, row(w[0], w[1]))
		}
		for _, t := range reads {
			s.Reads = append(s.Reads, row(-1, t))
		}
		list = append(list, s)
	}
	return list
}

// With times that are always the same, or one of two, the answers are known.
func TestEstimateWhereTheAnswerIsKnown(t *testing.T) {
	always := func(own, other core.Time) [][2]core.Time { return [][2]core.Time{{own, other}} }
	slowOne := sees(3, always(3, 3), 2)
	for i := range slowOne {
		slowOne[i].Writes[0][2] = 1002 * millisecond
	}
	onlyOneReads := sees(2, always(2, 13), 2)
	onlyOneReads[0].Reads = nil
	for _, x := range []struct {
		name        string
		seen        []Seen
		read, write int
		atOnce      float64 // the probability to miss what was acknowledged just now
		half, whole core.Time
	}{
		{"others have it when the writer has", sees(3, always(2, 3), 2), 1, 1, 0, 0, 0},
		{"others have it 10 ms later", sees(3, always(2, 13), 2), 1, 1, 1, 10 * millisecond, 10 * millisecond},
		{"the second to be read is the writer in half of the cases, and else the way of the read helps", sees(3, always(2, 13), 2), 2, 1, 0.5, -1, 9 * millisecond},
		{"two must have it: the writer and one of two equals", sees(3, always(2, 13), 2), 1, 2, 0, 0, 0},
		{"one in four is 100 ms late", sees(2, [][2]core.Time{{2, 3}, {2, 3}, {2, 3}, {2, 103}}, 2), 1, 1, 0.25, 0, 100 * millisecond},
		{"without reads the way back is nothing", sees(3, always(2, 13)), 1, 1, 1, 11 * millisecond, 11 * millisecond},
		{"a read the other way tells the way as well", onlyOneReads, 1, 1, 1, 10 * millisecond, 10 * millisecond},
		{"one of three is a second late", slowOne, 1, 2, -1, 0, 998 * millisecond},
		{"what is slow is slow for all", sees(3, [][2]core.Time{{2, 3}, {302, 303}}, 2), 1, 1, 0, 0, 0},
	} {
		s, ok := Estimate(x.seen, x.read, x.write, draws, rand.New(rand.NewPCG(1, 2)))
		if !ok {
			t.Errorf("%s: nothing", x.name)
			continue
		}
		if got := s.Missing(0); x.atOnce >= 0 && math.Abs(got-x.atOnce) > 0.02 {
			t.Errorf("%s: at once %v are missed, not %v", x.name, got, x.atOnce)
		}
		if half, whole := s.Within(0.5), s.Within(1); x.half >= 0 && half != x.half || whole != x.whole {
			t.Errorf("%s: half within %v, all within %v; not %v, %v", x.name, half, whole, x.half, x.whole)
		}
		if got := s.Missing(s.Within(1)); got != 0 {
			t.Errorf("%s: %v are missed beyond the oldest", x.name, got)
		}
	}
}

// Where reads and writes overlap nothing is missed, however long anything takes; where they do not, with such times something is.
func TestEstimateOfOverlapIsNothing(t *testing.T) {
	chance := rand.New(rand.NewPCG(7, 8))
	for n := 2; n <= 5; n++ {
		seen := sees(n, make([][2]core.Time, 60), 1, 2, 40)
		for i := range seen {
			for _, row := range seen[i].Writes {
				for j := range row {
					row[j] = times(1, 5, 20, 300)[chance.IntN(4)]
				}
			}
		}
		for read := 1; read <= n; read++ {
			for write := 1; write <= n; write++ {
				s, ok := Estimate(seen, read, write, draws, rand.New(rand.NewPCG(3, 4)))
				if missed := s.Missing(0) > 0; !ok || missed != (read+write <= n) {
					t.Errorf("%d replicas, %d read, %d written: %v are missed", n, read, write, s.Missing(0))
				}
			}
		}
	}
}

func TestEstimateNeedsMeasurements(t *testing.T) {
	source := func() *rand.Rand { return rand.New(rand.NewPCG(5, 6)) }
	seen := sees(3, [][2]core.Time{{1, 1}, {1, 7}})
	if _, ok := Estimate(seen, 2, 1, draws, source()); ok {
		t.Error("reads of two replicas are estimated without one")
	}
	a, ok := Estimate(seen, 1, 1, draws, source())
	b, _ := Estimate(seen, 1, 1, draws, source())
	if !ok || !slices.Equal(a.ends, b.ends) {
		t.Error("the same chance gives another answer")
	}
	for i := range seen {
		for j := range seen[i].Writes {
			seen[i].Writes[j][1] = Unheard
		}
	}
	if _, ok := Estimate(seen, 1, 1, draws, source()); ok {
		t.Error("a replica is estimated that nothing is known of")
	}
	if _, ok := Estimate(nil, 1, 1, draws, source()); ok {
		t.Error("nothing is estimated")
	}
}

func TestTheLatestTimesAreKept(t *testing.T) {
	var s samples
	for i := range core.Time(samplesMax + 2) {
		s.add(sample{i, 7, 9}, mask(0).with(0).with(2))
	}
	if len(s.list) != samplesMax || s.list[0][0] != samplesMax || s.list[1][0] != samplesMax+1 || s.list[2][0] != 2 || s.list[0][1] != Unheard || s.list[0][2] != 9 {
		t.Errorf("%v", s.list)
	}
	if s.forget(2); s.list[5][2] != Unheard || s.list[5][0] == Unheard {
		t.Errorf("forgotten, %v", s.list[5])
	}
}
