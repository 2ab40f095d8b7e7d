package client

import (
	"context"
	"slices"
	"time"

	"github.com/gamutdb/gamut/door/http/remote"
)

// nearness is which replica to ask when any will do. How far an address is, is measured beside the operations, by questions that
// cost a node nothing: how long operations take says more of the work than of the way. The client stays with one replica until
// another one is nearer by far: at a weak level whoever goes from replica to replica may not find what it has just written.
type nearness struct {
	client *Client
	// distances are round-trip times by address, smoothed; near is the address that was asked last.
	distances map[string]time.Duration
	near      string
}

// nearerBy is by how much another address must be nearer to be moved to: by half, and by so much.
const nearerBy = time.Millisecond

// order puts the replica to ask first. list is in the order of preference of who knows no distances.
func (n *nearness) order(list []string) {
	if len(list) == 0 {
		return
	}
	best := n.near
	if !slices.Contains(list, best) {
		best = n.first(list)
	}
	slices.SortStableFunc(list, func(a, b string) int { return int(n.distance(a) - n.distance(b)) })
	if n.distances[best] == 0 || n.distance(list[0]) > n.distance(best)/2 || n.distance(best)-n.distance(list[0]) < nearerBy {
		at := slices.Index(list, best)
		list = slices.Insert(slices.Delete(list, at, at+1), 0, best)
	}
	n.near = list[0]
}

// first is the address to begin with: one that the client was given, if there is one.
func (n *nearness) first(list []string) string {
	for _, a := range n.client.wire.Addresses() {
		if slices.Contains(list, a) {
			return a
		}
	}
	return list[0]
}

// distance of an address that is not measured is more than that of any that is.
func (n *nearness) distance(address string) time.Duration {
	if d, ok := n.distances[address]; ok {
		return d
	}
	return time.Hour
}

// measure asks every node twice whether it lives; the first time may have to open a connection.
func (t *topology) measure(ctx context.Context) {
	for _, address := range t.everyone() {
		for last := range 2 {
			began := time.Now()
			resp, err := t.client.wire.Node(address).Do(ctx, remote.Request{Method: "GET", Path: "/livez"})
			if err != nil {
				break
			}
			resp.Body.Close()
			if last == 1 {
				t.measured(address, time.Since(began))
			}
		}
	}
}

func (t *topology) measured(address string, d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before, known := t.distances[address]
	if !known {
		before = d
	}
	t.distances[address] = before + (d-before)/4
}
