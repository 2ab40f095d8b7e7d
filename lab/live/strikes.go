package live

import (
	"context"
	"encoding/json"
	"errors"
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

// kinds are the faults by their words, which are those of the simulator.
var kinds = []kind{
	{"halves", 300 * time.Millisecond, 4 * time.Second, false, (*strikes).halves},
	{"one-way", 300 * time.Millisecond, 4 * time.Second, false, (*strikes).oneWay},
	{"bridge", 300 * time.Millisecond, 4 * time.Second, false, (*strikes).bridge},
	{"single-link", 300 * time.Millisecond, 4 * time.Second, false, (*strikes).singleLink},
	{"flapping", 300 * time.Millisecond, 3 * time.Second, false, (*strikes).flapping},
	{"delay", 300 * time.Millisecond, 3 * time.Second, false, (*strikes).delay},
	{"loss", 300 * time.Millisecond, 3 * time.Second, false, (*strikes).loss},
	{"duplication", 300 * time.Millisecond, 3 * time.Second, false, (*strikes).duplication},
	{"reordering", 300 * time.Millisecond, 3 * time.Second, false, (*strikes).reordering},
	{"kill", 0, 2 * time.Second, true, (*strikes).kill},
	{"restart-all", 0, 500 * time.Millisecond, true, (*strikes).restartAll},
	{"pause", 200 * time.Millisecond, 3 * time.Second, true, (*strikes).pause},
	{"clock-jump", 300 * time.Millisecond, 4 * time.Second, false, (*strikes).clockJump},
	{"clock-rate", 300 * time.Millisecond, 4 * time.Second, false, (*strikes).clockRate},
	{"slow-disk", 200 * time.Millisecond, 1500 * time.Millisecond, false, (*strikes).slowDisk},
	{"hung-disk", 200 * time.Millisecond, 1500 * time.Millisecond, false, (*strikes).hungDisk},
	{"full-disk", 200 * time.Millisecond, 1500 * time.Millisecond, false, (*strikes).fullDisk},
	{"sync-error", 200 * time.Millisecond, 2 * time.Second, true, (*strikes).syncError},
	{"bit-flip", 0, 2 * time.Second, true, (*strikes).bitFlip},
	{"lead", 0, 0, false, (*strikes).handoff},
}

// beyond says why a world cannot inflict what the simulator can.
var beyond = map[string]string{
	"power-loss": "kill -9 leaves what was written, and to lose it a machine must lose its power",
	"torn-write": "a machine must lose its power in the middle of a write",
	"wipe":       "a node whose disk is lost comes back as another one (gamut node replace), not by itself",
	"coup":       "leaders are not watched closely enough; kill and halves hit them, too",
	"desertion":  "links are cut at once here; halves and single-link are near to it",
	"members":    "members are changed by gamut node, not by chance",
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

// sever cuts the directions that cut names.
func (s *strikes) sever(ctx context.Context, words string, nodes []core.NodeID, cut func(from, to core.NodeID) bool) (done, error) {
	each := func(ctx context.Context, l lab.Link) error {
		return s.eachLink(func(from, to core.NodeID) error {
			if !cut(from, to) {
				return nil
			}
			return s.SetLink(ctx, from, to, l)
		})
	}
	return done{"cut", words, nodes, func(ctx context.Context) error { return each(ctx, lab.Link{}) }}, each(ctx, lab.Link{Down: true})
}

// side draws some nodes, but not all: a victim, or any.
func (s *strikes) side(ctx context.Context, chance *rand.Rand) (in map[core.NodeID]bool, list []core.NodeID) {
	in = map[core.NodeID]bool{}
	if victim, ok := s.victim(ctx, chance); ok && chance.IntN(2) == 0 {
		in[victim] = true
	} else {
		order := chance.Perm(len(s.nodes))
		for _, i := range order[:1+chance.IntN(len(order)-1)] {
			in[s.nodes[i]] = true
		}
	}
	for _, id := range s.nodes {
		if in[id] {
			list = append(list, id)
		}
	}
	return in, list
}

func (s *strikes) halves(ctx context.Context, chance *rand.Rand) (done, error) {
	if len(s.nodes) < 2 {
		return done{}, nil
	}
	in, list := s.side(ctx, chance)
	return s.sever(ctx, fmt.Sprintf("cut %v off from the others", list), list, func(from, to core.NodeID) bool { return in[from] != in[to] })
}

func (s *strikes) oneWay(ctx context.Context, chance *rand.Rand) (done, error) {
	if len(s.nodes) < 2 {
		return done{}, nil
	}
	in, list := s.side(ctx, chance)
	return s.sever(ctx, fmt.Sprintf("let nothing that %v say reach the others", list), list, func(from, to core.NodeID) bool { return in[from] && !in[to] })
}

// bridge leaves one node that both sides reach.
func (s *strikes) bridge(ctx context.Context, chance *rand.Rand) (done, error) {
	if len(s.nodes) < 3 {
		return done{}, nil
	}
	order := chance.Perm(len(s.nodes))
	bridge := s.nodes[order[0]]
	in := map[core.NodeID]bool{}
	var list []core.NodeID
	for _, i := range order[1 : 2+chance.IntN(len(order)-2)] {
		in[s.nodes[i]] = true
		list = append(list, s.nodes[i])
	}
	slices.Sort(list)
	return s.sever(ctx, fmt.Sprintf("cut %v off from all but node %d", list, bridge), list,
		func(from, to core.NodeID) bool { return from != bridge && to != bridge && in[from] != in[to] })
}

// pair draws two nodes.
func (s *strikes) pair(chance *rand.Rand) (a, b core.NodeID, ok bool) {
	if len(s.nodes) < 2 {
		return 0, 0, false
	}
	order := chance.Perm(len(s.nodes))
	return s.nodes[order[0]], s.nodes[order[1]], true
}

func (s *strikes) singleLink(ctx context.Context, chance *rand.Rand) (done, error) {
	a, b, ok := s.pair(chance)
	if !ok {
		return done{}, nil
	}
	return s.sever(ctx, fmt.Sprintf("cut the link of nodes %d and %d", a, b), []core.NodeID{a, b},
		func(from, to core.NodeID) bool { return from == a && to == b || from == b && to == a })
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

// link hurts all links of a node, both ways.
func (s *strikes) link(ctx context.Context, chance *rand.Rand, l lab.Link) (done, error) {
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

func (s *strikes) flapping(ctx context.Context, chance *rand.Rand) (done, error) {
	return s.link(ctx, chance, lab.Link{Down: true, Flap: between(chance, 20*time.Millisecond, 500*time.Millisecond)})
}

func (s *strikes) delay(ctx context.Context, chance *rand.Rand) (done, error) {
	return s.link(ctx, chance, lab.Link{Delay: between(chance, time.Millisecond, 60*time.Millisecond), Jitter: between(chance, 0, 100*time.Millisecond)})
}

func (s *strikes) loss(ctx context.Context, chance *rand.Rand) (done, error) {
	return s.link(ctx, chance, lab.Link{Loss: percent(chance, 0.5)})
}

func (s *strikes) duplication(ctx context.Context, chance *rand.Rand) (done, error) {
	return s.link(ctx, chance, lab.Link{Duplicate: percent(chance, 0.8)})
}

func (s *strikes) reordering(ctx context.Context, chance *rand.Rand) (done, error) {
	return s.link(ctx, chance, lab.Link{Reorder: percent(chance, 0.8)})
}

func (s *strikes) kill(ctx context.Context, chance *rand.Rand) (done, error) {
	victim, ok := s.victim(ctx, chance)
	if !ok {
		return done{}, nil
	}
	return s.killAll(ctx, []core.NodeID{victim})
}

func (s *strikes) restartAll(ctx context.Context, _ *rand.Rand) (done, error) {
	hit := s.running()
	if len(hit) == 0 {
		return done{}, nil
	}
	return s.killAll(ctx, hit)
}

func (s *strikes) killAll(ctx context.Context, hit []core.NodeID) (done, error) {
	for _, id := range hit {
		s.condemned[id] = true
	}
	return done{"crash", fmt.Sprintf("kill -9 %v", hit), hit, s.restart(hit)}, s.Crash(ctx, lab.TailKept, hit...)
}

// bitFlip alters the log of a node that was stopped in order: what the last batch of one that was killed held can be lost
// without a trace, and is no promise of its disk. Only ever one node is hit, so that the others can make it good.
func (s *strikes) bitFlip(ctx context.Context, chance *rand.Rand) (done, error) {
	id := s.nodes[len(s.nodes)-1]
	if !slices.Contains(s.running(), id) {
		return done{}, nil
	}
	s.condemned[id] = true
	hit := done{"disk", fmt.Sprintf("stop node %d and flip a bit in its log", id), []core.NodeID{id}, s.restart([]core.NodeID{id})}
	if err := s.Stop(ctx, id); err != nil {
		return hit, err
	}
	err := s.Damage(ctx, id, lab.Damage{Kind: lab.LogBitFlip, Seed: chance.Uint64()})
	if errors.Is(err, errNothing) {
		err = nil
	}
	return hit, err
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

func (s *strikes) clockJump(ctx context.Context, chance *rand.Rand) (done, error) {
	most := time.Hour
	if chance.IntN(2) == 0 {
		most = time.Second
	}
	return s.clock(ctx, chance, lab.Clock{Offset: between(chance, -most, most)})
}

func (s *strikes) clockRate(ctx context.Context, chance *rand.Rand) (done, error) {
	return s.clock(ctx, chance, lab.Clock{Rate: chance.Int64N(2*rateMax) - rateMax})
}

func (s *strikes) clock(ctx context.Context, chance *rand.Rand, c lab.Clock) (done, error) {
	id := s.nodes[chance.IntN(len(s.nodes))]
	undo := func(ctx context.Context) error { return s.SetClock(ctx, id, lab.Clock{}) }
	return done{"clock", fmt.Sprintf("clock of node %d: %s", id, text(clockOf(c))), []core.NodeID{id}, undo}, s.SetClock(ctx, id, c)
}

func (s *strikes) slowDisk(ctx context.Context, chance *rand.Rand) (done, error) {
	return s.disk(ctx, chance, lab.Disk{SyncDelay: between(chance, 5*time.Millisecond, 100*time.Millisecond)})
}

func (s *strikes) hungDisk(ctx context.Context, chance *rand.Rand) (done, error) {
	return s.disk(ctx, chance, lab.Disk{Hung: true})
}

func (s *strikes) fullDisk(ctx context.Context, chance *rand.Rand) (done, error) {
	return s.disk(ctx, chance, lab.Disk{Full: true})
}

func (s *strikes) disk(ctx context.Context, chance *rand.Rand, d lab.Disk) (done, error) {
	id := s.nodes[chance.IntN(len(s.nodes))]
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
