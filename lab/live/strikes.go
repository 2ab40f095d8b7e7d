package live

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/door/http/remote"
	"github.com/gamutdb/gamut/lab"
)

// kind is a fault that Fuzz draws. Its strike says in words what it did, to which nodes, and how it is taken back; words
// that are empty mean that there was nothing to hit.
type kind struct {
	name               string
	lastsMin, lastsMax time.Duration
	// process says that it needs processes of our own.
	process bool
	strike  func(*strikes, context.Context, *rand.Rand) (done, error)
}

type done struct {
	what  string // one word for an event
	words string
	nodes []core.NodeID
	undo  func(context.Context) error
}

var kinds = []kind{
	{"partition", 300 * time.Millisecond, 4 * time.Second, false, (*strikes).partition},
	{"link", 300 * time.Millisecond, 3 * time.Second, false, (*strikes).link},
	{"crash", 0, 2 * time.Second, true, (*strikes).crash},
	{"pause", 200 * time.Millisecond, 3 * time.Second, true, (*strikes).pause},
	{"clock", 300 * time.Millisecond, 4 * time.Second, false, (*strikes).clock},
	{"disk", 200 * time.Millisecond, 1500 * time.Millisecond, false, (*strikes).disk},
	{"sync-error", 200 * time.Millisecond, 2 * time.Second, true, (*strikes).syncError},
	{"handoff", 0, 0, false, (*strikes).handoff},
}

// text is a fault as it travels.
func text(fault any) string {
	b, err := json.Marshal(fault)
	if err != nil {
		panic(err) // it is made of numbers and words
	}
	return string(b)
}

// percent draws a chance below a highest one, small ones more often.
func percent(chance *rand.Rand, highest float64) float64 {
	return math.Round(100*highest*chance.Float64()*chance.Float64()) / 100
}

// strikes hurts a world as a plan says. One goroutine uses it.
type strikes struct {
	*World
	keyspace string
	// condemned are nodes that a fault has ended or will end: that they do not run is no surprise.
	condemned map[core.NodeID]bool
}

// running are the nodes that run and are not paused.
func (s *strikes) running() (list []core.NodeID) {
	for _, id := range s.nodes {
		if s.runs(id) && !s.members[id].paused && !s.condemned[id] {
			list = append(list, id)
		}
	}
	return list
}

// victim draws a node that can be hit, the leader more often than chance would.
func (s *strikes) victim(ctx context.Context, chance *rand.Rand) (core.NodeID, bool) {
	list := s.running()
	if len(list) == 0 {
		return 0, false
	}
	if chance.IntN(2) == 0 {
		if leader := s.leader(ctx); slices.Contains(list, leader) {
			return leader, true
		}
	}
	return list[chance.IntN(len(list))], true
}

// leader is the node that leads the keyspace's first shard, by its own word; 0: none says so.
func (s *strikes) leader(ctx context.Context) core.NodeID {
	replicas, err := s.Replicas(ctx, s.keyspace)
	if err != nil {
		return 0 // nobody answers at this moment
	}
	for _, r := range replicas {
		if r.Shard == 0 && core.NodeID(r.Status.Leader) == r.Node {
			return r.Node
		}
	}
	return 0
}

func (s *strikes) partition(ctx context.Context, chance *rand.Rand) (done, error) {
	side := map[core.NodeID]bool{}
	if victim, ok := s.victim(ctx, chance); ok && chance.IntN(2) == 0 {
		side[victim] = true
	} else {
		for _, id := range s.nodes {
			side[id] = chance.IntN(2) == 0
		}
	}
	oneWay := chance.IntN(4) == 0
	var here []core.NodeID
	for _, id := range s.nodes {
		if side[id] {
			here = append(here, id)
		}
	}
	if len(here) == 0 || len(here) == len(s.nodes) {
		return done{}, nil
	}
	each := func(ctx context.Context, l lab.Link) error {
		return s.eachLink(func(from, to core.NodeID) error {
			if side[from] == side[to] || oneWay && side[to] {
				return nil
			}
			return s.SetLink(ctx, from, to, l)
		})
	}
	words := fmt.Sprintf("cut %v off from the others", here)
	if oneWay {
		words = fmt.Sprintf("let nothing that %v say reach the others", here)
	}
	return done{"cut", words, here, func(ctx context.Context) error { return each(ctx, lab.Link{}) }}, each(ctx, lab.Link{Down: true})
}

func (s *strikes) eachLink(f func(from, to core.NodeID) error) error {
	for _, from := range s.nodes {
		for _, to := range s.nodes {
			if from != to {
				if err := f(from, to); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (s *strikes) link(ctx context.Context, chance *rand.Rand) (done, error) {
	l := lab.Link{Delay: between(chance, 0, 60*time.Millisecond), Jitter: between(chance, 0, 100*time.Millisecond),
		Loss: percent(chance, 0.5), Duplicate: percent(chance, 0.8), Reorder: percent(chance, 0.8)}
	if chance.IntN(4) == 0 {
		l = lab.Link{Down: true, Flap: between(chance, 20*time.Millisecond, 500*time.Millisecond)}
	}
	node := s.nodes[chance.IntN(len(s.nodes))]
	each := func(ctx context.Context, l lab.Link) error {
		return s.eachLink(func(from, to core.NodeID) error {
			if from != node && to != node {
				return nil
			}
			return s.SetLink(ctx, from, to, l)
		})
	}
	return done{"link", fmt.Sprintf("links of node %d: %s", node, text(linkOf(l))), []core.NodeID{node},
		func(ctx context.Context) error { return each(ctx, lab.Link{}) }}, each(ctx, l)
}

func (s *strikes) crash(ctx context.Context, chance *rand.Rand) (done, error) {
	hit := s.running()
	if chance.IntN(8) > 0 {
		victim, ok := s.victim(ctx, chance)
		if !ok {
			return done{}, nil
		}
		hit = []core.NodeID{victim}
	}
	for _, id := range hit {
		s.condemned[id] = true
	}
	return done{"crash", fmt.Sprintf("kill -9 %v", hit), hit, s.restart(hit)}, s.Crash(ctx, lab.TailKept, hit...)
}

// restart starts nodes again that have ended.
func (s *strikes) restart(nodes []core.NodeID) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, id := range nodes {
			if !s.runs(id) {
				delete(s.condemned, id)
				if err := s.Start(ctx, id); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

func (s *strikes) pause(ctx context.Context, chance *rand.Rand) (done, error) {
	id, ok := s.victim(ctx, chance)
	if !ok {
		return done{}, nil
	}
	resume := func(ctx context.Context) error {
		if !s.runs(id) || !s.members[id].paused {
			return nil
		}
		return s.Resume(ctx, id)
	}
	return done{"pause", fmt.Sprintf("stop the process of node %d", id), []core.NodeID{id}, resume}, s.Pause(ctx, id)
}

// rateMax is by how many millionths a monotonic clock may be wrong: what leases allow for.
const rateMax = 20_000

func (s *strikes) clock(ctx context.Context, chance *rand.Rand) (done, error) {
	id := s.nodes[chance.IntN(len(s.nodes))]
	var c lab.Clock
	switch chance.IntN(3) {
	case 0:
		c.Offset = between(chance, -time.Hour, time.Hour)
	case 1:
		c.Offset = between(chance, -time.Second, time.Second)
	default:
		c.Rate = chance.Int64N(2*rateMax) - rateMax
	}
	undo := func(ctx context.Context) error { return s.SetClock(ctx, id, lab.Clock{}) }
	return done{"clock", fmt.Sprintf("clock of node %d: %s", id, text(clockOf(c))), []core.NodeID{id}, undo}, s.SetClock(ctx, id, c)
}

func (s *strikes) disk(ctx context.Context, chance *rand.Rand) (done, error) {
	id := s.nodes[chance.IntN(len(s.nodes))]
	d := lab.Disk{SyncDelay: between(chance, 0, 100*time.Millisecond)}
	switch chance.IntN(4) {
	case 0:
		d.Hung = true
	case 1:
		d = lab.Disk{Full: true}
	}
	undo := func(ctx context.Context) error { return s.SetDisk(ctx, id, lab.Disk{}) }
	return done{"disk", fmt.Sprintf("disk of node %d: %s", id, text(diskOf(d))), []core.NodeID{id}, undo}, s.SetDisk(ctx, id, d)
}

func (s *strikes) syncError(ctx context.Context, chance *rand.Rand) (done, error) {
	id, ok := s.victim(ctx, chance)
	if !ok {
		return done{}, nil
	}
	s.condemned[id] = true
	undo := func(ctx context.Context) error {
		if s.runs(id) && !s.members[id].paused {
			// Nobody has synced since; without the fault it is a node like others.
			if err := s.SetDisk(ctx, id, lab.Disk{}); err != nil {
				return err
			}
		}
		if err := s.restart([]core.NodeID{id})(ctx); err != nil {
			return err
		}
		delete(s.condemned, id)
		return nil
	}
	return done{"disk", fmt.Sprintf("the next sync of node %d fails", id), []core.NodeID{id}, undo}, s.SetDisk(ctx, id, lab.Disk{SyncError: true})
}

func (s *strikes) handoff(ctx context.Context, chance *rand.Rand) (done, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	leader, list := s.leader(ctx), s.running()
	if leader == 0 || len(list) == 0 {
		return done{}, nil
	}
	to := list[chance.IntN(len(list))]
	query := map[string][]string{"to": {fmt.Sprint(to)}}
	replicas, err := s.Replicas(ctx, s.keyspace)
	if err != nil || len(replicas) == 0 {
		return done{}, nil // nobody can be asked now
	}
	path := fmt.Sprintf("/v1/groups/%d/handoff", replicas[0].Status.Group)
	// A leader that does not want to is no fault of the cluster's.
	_ = s.members[leader].remote.JSON(ctx, remote.Request{Method: "POST", Path: path, Query: query}, new(any))
	return done{"handoff", fmt.Sprintf("ask node %d to hand over to node %d", leader, to), []core.NodeID{leader, to}, nil}, nil
}
