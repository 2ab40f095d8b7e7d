package client

import (
	"slices"
	"testing"
	"time"

	"github.com/gamutdb/gamut/door/http/remote"
)

// TestTheClientStaysWithAReplica: the replica that was asked last is asked again until another one is nearer by far.
func TestTheClientStaysWithAReplica(t *testing.T) {
	n := &nearness{client: &Client{wire: remote.New([]string{"b:1", "x:1"}, time.Second)}, distances: map[string]time.Duration{}}
	ask := func(want string, replicas ...string) {
		t.Helper()
		list := slices.Clone(replicas)
		n.order(list)
		if list[0] != want {
			t.Errorf("%v are asked in the order %v, not %s first", replicas, list, want)
		}
		slices.Sort(list)
		slices.Sort(replicas)
		if !slices.Equal(list, replicas) {
			t.Errorf("%v became %v", replicas, list)
		}
	}
	ask("b:1", "a:1", "b:1", "c:1") // the one that the client was given
	ask("a:1", "a:1", "c:1")        // that one has no replica here
	n.near = "b:1"
	for a, d := range map[string]time.Duration{"a:1": 400 * time.Microsecond, "b:1": 900 * time.Microsecond, "c:1": 3 * time.Millisecond} {
		n.distances[a] = d
	}
	ask("b:1", "a:1", "b:1", "c:1") // nearer, but not by far
	n.distances["b:1"] = 20 * time.Millisecond
	ask("a:1", "a:1", "b:1", "c:1")
	n.distances["b:1"] = 300 * time.Microsecond
	ask("a:1", "a:1", "b:1", "c:1")
	n.near = "c:1"
	delete(n.distances, "c:1")
	ask("c:1", "a:1", "b:1", "c:1") // how far it is is not known yet
	n.order(nil)
}
