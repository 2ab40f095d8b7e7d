package node

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

// Automatic splits: each node looks after the shards that it leads, for it alone knows what is written to them, and begins a split
// in the catalog as an operator would. One split is under way in a keyspace at a time.

const (
	// hotFor is how many looks in a row a shard must be too hot before it is split.
	hotFor = int(keyspace.SplitHotSeconds * time.Second / stewardEvery)
	// growth is the part of its limit that a shard must have been written before its size is measured again, which reads all of it.
	growth = 8
	// idleEvery is how many looks go by between two measurements of shards that nobody has written much to: all of them at once, when
	// a node begins to lead many, would keep its disk busy.
	idleEvery = 10
)

// splitPlans are what this node would split, for those who ask.
type splitPlans struct {
	mu   sync.Mutex
	list []kv.Split
}

// watched is what is known of a shard that is led here.
type watched struct {
	// bytes and writes are those executed here as of the last look, hot how many looks in a row were above the limit.
	bytes, writes uint64
	hot           int
	// measured says that size was, when so many bytes had been executed.
	measured bool
	size     int64
	sizedAt  uint64
	// late is the key before which most of the records lie.
	middle, late []byte
	seen         bool
	bounds       *machine.Bounds
	cold         coldness
}

// look is one shard as the loop showed it.
type look struct {
	shard         *shard
	bytes, writes uint64
	samples       [][]byte
	bounds        *machine.Bounds
}

// splitAlone begins splits of shards that have grown too large or too hot, and sees to what the last ones have left behind.
func (n *Node) splitAlone(ctx context.Context) {
	known := map[core.GroupID]*watched{}
	for i := range ticks(ctx, stewardEvery) {
		var looks []look
		if n.onLoop(ctx, func(now host.Now) { n.wean(now); looks = n.lookAtLed() }) != nil {
			return
		}
		plans := n.judgeAll(ctx, looks, known, i%idleEvery == 0)
		n.splits.mu.Lock()
		n.splits.list = plans
		n.splits.mu.Unlock()
		for _, p := range plans {
			n.splitPlanned(ctx, p)
		}
		n.mergeCold(ctx, looks, known)
	}
}

// splitPlanned begins a planned split, if none is under way in the keyspace.
func (n *Node) splitPlanned(ctx context.Context, p kv.Split) {
	key := p.Key64
	if len(key) == 0 {
		key = []byte(p.Key)
	}
	s := n.table.Load().byName[p.Keyspace]
	if len(key) == 0 || s == nil || len(s.children) > 0 || s.descriptor.Uniting() {
		return
	}
	if _, err := n.beginSplit(ctx, p.Keyspace, key, true); err != nil {
		n.log.Debug("a split did not begin", "keyspace", p.Keyspace, "shard", p.Shard, "error", err)
		return
	}
	n.log.Info("a shard is split", "keyspace", p.Keyspace, "shard", p.Shard, "key", string(key), "why", p.Why)
}

// lookAtLed lists the shards led here that may be split by themselves. It is called by the loop.
func (n *Node) lookAtLed() (list []look) {
	for _, r := range n.running {
		d := r.shard.space.descriptor
		size, writes := d.SplitAt()
		if r.led == nil || r.led.Leader() != r.shard.self || size+writes == 0 || r.shard.space.children[r.shard.parent] != nil {
			continue
		}
		l := look{shard: r.shard, bounds: r.shard.bounds.Load()}
		l.writes, l.bytes, l.samples = keyspace.Written(n.host.Replica(r.shard.group))
		list = append(list, l)
	}
	return list
}

func (n *Node) judgeAll(ctx context.Context, looks []look, known map[core.GroupID]*watched, idle bool) (plans []kv.Split) {
	for _, w := range known {
		w.seen = false
	}
	for i := range looks {
		l := &looks[i]
		w := known[l.shard.group]
		if w == nil {
			w = &watched{bytes: l.bytes, writes: l.writes, sizedAt: l.bytes, bounds: l.bounds}
			known[l.shard.group] = w
		}
		w.seen = true
		if n.measure(ctx, l, w, idle) {
			idle = false
		}
		if p := judgeShard(l, w); p != nil {
			plans = append(plans, *p)
		}
	}
	for g, w := range known {
		if !w.seen {
			delete(known, g) // it is led elsewhere
		}
	}
	return plans
}

// judgeShard says whether a shard should be split, where and why; nil: it should not.
func judgeShard(l *look, w *watched) *kv.Split {
	limit, rate := l.shard.space.descriptor.SplitAt()
	writes := int64(l.writes - min(w.writes, l.writes))
	w.writes = l.writes
	if w.hot++; rate == 0 || writes < rate {
		w.hot = 0
	}
	p := &kv.Split{Keyspace: l.shard.space.keyspace.Name, Shard: l.shard.index}
	var key []byte
	oneWay := grows(l.samples) // before their order is lost
	switch {
	case limit > 0 && w.measured && w.size >= limit:
		key = w.middle
		if w.late != nil && oneWay {
			key = w.late // what lies before it stays as it is: half of a shard would be left for ever
		}
		p.Why = fmt.Sprintf("it holds %d MiB, and the limit is %d", w.size>>20, limit>>20)
		if key == nil {
			p.Why += "; it is one record, which no split divides"
		}
	case w.hot >= hotFor:
		key = middleOf(l.samples, l.bounds)
		p.Why = fmt.Sprintf("%d writes a second for %d s, and the limit is %d", writes, w.hot, rate)
		switch {
		case oneWay:
			key = nil
			p.Why += "; its keys only grow, or only fall, so that all go to one part of whatever is divided"
		case key == nil:
			p.Why += "; most are to one key, which no split divides"
		}
	default:
		return nil
	}
	if !l.bounds.Divides(key) {
		key = nil
	}
	p.Key, p.Key64 = keyText(key)
	return p
}

// keyText is a key as text, or as it is where it is none.
func keyText(key []byte) (text string, raw []byte) {
	if utf8.Valid(key) {
		return string(key), nil
	}
	return "", key
}

// measure reads a shard's records when it may have grown beyond its limit since the last time, or, if idle, when it never was measured.
func (n *Node) measure(ctx context.Context, l *look, w *watched, idle bool) (done bool) {
	limit, _ := l.shard.space.descriptor.SplitAt()
	if w.bounds != l.bounds {
		w.bounds, w.measured, w.size, w.hot = l.bounds, false, 0, 0 // it was split: what that has helped is seen later
	}
	grown := int64(l.bytes - min(w.sizedAt, l.bytes))
	if limit == 0 || grown < limit/growth && (w.measured || !idle) || w.measured && w.size+grown < limit {
		return false
	}
	err := guarded(func() {
		s := l.shard.state.Snapshot()
		defer s.Close()
		w.size, w.middle, w.late = machine.Measure(s, func() bool { return ctx.Err() != nil })
	})
	if err != nil {
		n.fail(err)
	}
	w.measured, w.sizedAt = true, l.bytes
	return true
}

// grows reports whether keys are written in their order, or against it: of the later half of the samples nearly all lie beyond all of the
// earlier half. A split at any key that was written would leave all that is still to come on one side.
func grows(samples [][]byte) bool {
	if len(samples) < 32 {
		return false
	}
	earlier := slices.Clone(samples[:len(samples)/2])
	later := samples[len(samples)/2:]
	slices.SortFunc(earlier, bytes.Compare)
	below, above := 0, 0
	for _, key := range later {
		switch {
		case bytes.Compare(key, earlier[0]) < 0:
			below++
		case bytes.Compare(key, earlier[len(earlier)-1]) > 0:
			above++
		}
	}
	return max(below, above) > len(later)*7/8
}

// middleOf is the key in the middle of those that were written; nil: one key is most of them, or there are too few to tell.
func middleOf(samples [][]byte, bounds *machine.Bounds) []byte {
	samples = slices.DeleteFunc(samples, func(key []byte) bool { return !bounds.Holds(key) })
	slices.SortFunc(samples, bytes.Compare)
	if len(samples) < 32 {
		return nil
	}
	middle := samples[len(samples)/2]
	before := slices.IndexFunc(samples, func(key []byte) bool { return bytes.Equal(key, middle) })
	// What a split leaves on one side must be less than nearly all.
	if before < len(samples)/8 {
		behind := slices.IndexFunc(samples, func(key []byte) bool { return bytes.Compare(key, middle) > 0 })
		if behind < 0 || len(samples)-behind < len(samples)/8 {
			return nil
		}
		middle = samples[behind]
	}
	return middle
}

// plannedSplits are those under way, and those that this node would begin next.
func (n *Node) plannedSplits() (list []kv.Split) {
	for _, s := range n.table.Load().ordered {
		for i := range s.descriptor.Shards {
			if split := s.descriptor.Shards[i].Split; split != nil {
				p := kv.Split{Keyspace: s.descriptor.Name, Shard: i, Underway: true, Why: "under way"}
				p.Key, p.Key64 = keyText(split.Key)
				list = append(list, p)
			}
		}
	}
	n.splits.mu.Lock()
	defer n.splits.mu.Unlock()
	for _, p := range n.splits.list {
		if !slices.ContainsFunc(list, func(u kv.Split) bool { return u.Keyspace == p.Keyspace && u.Shard == p.Shard }) {
			list = append(list, p)
		}
	}
	return list
}
