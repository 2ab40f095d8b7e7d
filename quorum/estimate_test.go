package quorum

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gamutdb/gamut/core"
)

const draws = 10_000

// network is a group of nodes with the same times between any two of them.
func network(n int, own, other Times) ([][]core.NodeID, map[Way]Times) {
	var group []core.NodeID
	ways := map[Way]Times{}
	for i := range core.NodeID(n) {
		group = append(group, i+1)
		for j := range core.NodeID(n) {
			if ways[Way{i + 1, j + 1}] = other; i == j {
				ways[Way{i + 1, j + 1}] = own
			}
		}
	}
	return [][]core.NodeID{group}, ways
}

func times(ms ...core.Time) (list []core.Time) {
	for _, t := range ms {
		list = append(list, t*millisecond)
	}
	return list
}

// With times that are always the same, or one of two, the answers are known.
func TestEstimateWhereTheAnswerIsKnown(t *testing.T) {
	own := Times{Write: times(2)}
	slowOne := func(ways map[Way]Times) {
		for from := range core.NodeID(3) {
			ways[Way{from + 1, 3}] = Times{times(1002), times(2)}
		}
	}
	for _, x := range []struct {
		name           string
		n, read, write int
		own, other     Times
		change         func(map[Way]Times)
		atOnce         float64 // the probability to miss what was acknowledged just now
		half, whole    core.Time
	}{
		{"others have it when the writer has", 3, 1, 1, own, Times{times(3), times(2)}, nil, 0, 0, 0},
		{"others have it 10 ms later", 3, 1, 1, own, Times{times(13), times(2)}, nil, 1, 10 * millisecond, 10 * millisecond},
		{"the second to be read is the writer in half of the cases, and else the way of the read helps", 3, 2, 1, own, Times{times(13), times(2)}, nil, 0.5, -1, 9 * millisecond},
		{"two must have it: the writer and one of two equals", 3, 1, 2, own, Times{times(13), times(2)}, nil, 0, 0, 0},
		{"one in four is 100 ms late", 2, 1, 1, own, Times{times(3, 3, 3, 103), times(2)}, nil, 0.25, 0, 100 * millisecond},
		{"without reads the way back is nothing", 3, 1, 1, own, Times{Write: times(13)}, nil, 1, 11 * millisecond, 11 * millisecond},
		{"one of three is a second late", 3, 1, 2, own, Times{times(3), times(2)}, slowOne, -1, 0, 998 * millisecond},
	} {
		groups, ways := network(x.n, x.own, x.other)
		if x.change != nil {
			x.change(ways)
		}
		s, ok := Estimate(groups, ways, x.read, x.write, draws, rand.New(rand.NewPCG(1, 2)))
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
	wild := Times{times(1, 5, 20, 300), times(1, 2, 40)}
	for n := 2; n <= 5; n++ {
		groups, ways := network(n, Times{Write: times(1, 9)}, wild)
		for read := 1; read <= n; read++ {
			for write := 1; write <= n; write++ {
				s, ok := Estimate(groups, ways, read, write, draws, rand.New(rand.NewPCG(3, 4)))
				if missed := s.Missing(0) > 0; !ok || missed != (read+write <= n) {
					t.Errorf("%d replicas, %d read, %d written: %v are missed", n, read, write, s.Missing(0))
				}
			}
		}
	}
}

func TestEstimateNeedsMeasurements(t *testing.T) {
	source := func() *rand.Rand { return rand.New(rand.NewPCG(5, 6)) }
	groups, ways := network(3, Times{Write: times(1)}, Times{Write: times(1, 7)})
	if _, ok := Estimate(groups, ways, 2, 1, draws, source()); ok {
		t.Error("reads of two replicas are estimated without one")
	}
	a, ok := Estimate(groups, ways, 1, 1, draws, source())
	b, _ := Estimate(groups, ways, 1, 1, draws, source())
	if !ok || !slices.Equal(a.ends, b.ends) {
		t.Error("the same chance gives another answer")
	}
	for to := range ways {
		if to.To == 2 {
			delete(ways, to)
		}
	}
	if _, ok := Estimate(groups, ways, 1, 1, draws, source()); ok {
		t.Error("a replica is estimated that nothing is known of")
	}
	if _, ok := Estimate(nil, nil, 1, 1, draws, source()); ok {
		t.Error("nothing is estimated")
	}
}

func TestTheLatestTimesAreKept(t *testing.T) {
	var s samples
	for i := range core.Time(samplesMax + 2) {
		s.add(i)
	}
	if len(s.times) != samplesMax || s.times[0] != samplesMax || s.times[1] != samplesMax+1 || s.times[2] != 2 {
		t.Errorf("%v", s.times)
	}
}
