package sim

import (
	"math/rand/v2"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
)

// network carries messages between nodes. Protocol messages may be dropped, doubled, delayed and reordered. Forwarded
// commands and their answers travel on a connection: they may be lost, but are never doubled, and never reach another life
// of the peer than the one that the connection was made to.
type network struct {
	w   *world
	rng *rand.Rand
	// links[from][to] is one direction between two nodes.
	links [][]link
	// streams says that nothing overtakes anything on a connection, and nothing arrives behind what is lost, as it is in truth. Runs
	// that do not ask for it are more cruel.
	streams bool
}

type link struct {
	cut  int // how many faults cut it now
	slow core.Time
	last core.Time // when the latest message will have arrived
	// streamed is when the latest frame of the connection will have arrived; broken counts connections.
	streamed core.Time
	broken   int
	// breaking is the life of the sender that will be told that its connection broke.
	breaking int
	// set is what was asked for this link alone; flaps counts its settings, so that an old one flaps no more.
	set   Link
	flaps int
}

func newNetwork(w *world) *network {
	n := &network{w: w, rng: stream(w.options.Seed, "network", 0)}
	for range w.options.Nodes {
		n.links = append(n.links, make([]link, w.options.Nodes))
	}
	return n
}

// travel is how long the next message takes over a link; false: it is lost.
func (n *network) travel(from, to *node) (core.Time, bool) {
	f := n.w.options.Faults
	l := &n.links[from.index][to.index]
	if l.cut > 0 {
		return 0, false
	}
	if n.struck(f.Drop) || n.chance(l.set.Loss) {
		n.w.hit("loss")
		return 0, false
	}
	d := f.DelayMin + core.Time(n.rng.Int64N(int64(f.DelayMax-f.DelayMin+1))) + l.slow + core.Time(l.set.Delay)
	if l.set.Jitter > 0 {
		d += core.Time(n.rng.Int64N(int64(l.set.Jitter) + 1))
	}
	if n.struck(f.Straggle) {
		n.w.hit("delay")
		return d + core.Time(n.rng.Int64N(int64(300*Millisecond))), true
	}
	if n.chance(l.set.Reorder) {
		return d + core.Time(n.rng.Int64N(int64(heldBack))), true
	}
	if n.struck(f.Reorder) {
		if n.w.now+d < l.last {
			n.w.hit("reordering")
		}
		return d, true
	}
	d = max(d, l.last+1-n.w.now)
	l.last = n.w.now + d
	return d, true
}

// heldBack is the most by which a message comes late that a link reorders: time enough for others to overtake it.
const heldBack = 10 * Millisecond

// struck draws from the chance of a fault of the swarm, chance from any; neither draws what cannot happen.
func (n *network) struck(p float64) bool { return !n.w.faults.over && n.chance(p) }

func (n *network) chance(p float64) bool { return p > 0 && n.rng.Float64() < p }

// message sends a protocol message in its encoding.
func (n *network) message(from, to *node, m host.Envelope) {
	n.w.stats.Messages++
	encoded := m.Message.AppendTo(nil)
	n.w.trace.mix('M', uint64(from.id)<<32|uint64(to.id), uint64(m.Group), encoded)
	times := 1
	if n.struck(n.w.options.Faults.Duplicate) || n.chance(n.links[from.index][to.index].set.Duplicate) {
		times = 2
		n.w.hit("duplication")
	}
	for range times {
		d, ok := n.travel(from, to)
		if !ok {
			if n.w.trace.on {
				n.w.trace.tellf("n%d -> n%d g%d lost: %T%v", from.id, to.id, m.Group, m.Message, m.Message)
			}
			continue
		}
		life := to.life
		n.w.after(d, func() { n.deliver(from, to, life, m, encoded) })
	}
}

func (n *network) deliver(from, to *node, life int, m host.Envelope, encoded []byte) {
	if !to.up || to.life != life || n.links[from.index][to.index].cut > 0 {
		return
	}
	decoded, err := n.w.byID[m.Group].protocol.Decode(encoded)
	if err != nil {
		n.w.fail(Invariant, "message does not decode: %v: %v, %x", err, m.Message, encoded)
		return
	}
	if n.w.trace.on {
		n.w.trace.tellf("n%d -> n%d g%d %T%v", from.id, to.id, m.Group, decoded, decoded)
	}
	m.Message = decoded
	to.arrive(func(now host.Now) { to.host.Receive(now, m) })
}

// connected carries something over the connection between two nodes as they are now.
func (n *network) connected(from, to *node, do func(now host.Now)) {
	if !to.up {
		n.breakLater(from, to)
		return
	}
	n.connect(from, to)
	l := &n.links[from.index][to.index]
	life, fromLife, broken := from.known[to.index], from.life, l.broken
	d, ok := n.travel(from, to)
	if !ok || n.streams && l.breaking == from.life {
		n.lose(from, to)
		return
	}
	if n.streams {
		d = max(d, l.streamed+1-n.w.now)
		l.streamed = n.w.now + d
	}
	n.w.after(d, func() {
		switch {
		case !to.up || to.life != life || from.life != fromLife || l.broken != broken:
		case l.cut > 0:
			n.lose(from, to)
		default:
			to.arrive(do)
		}
	})
}

// lose takes note that something on a connection is lost: then all is that is on its way behind it, and the connection.
func (n *network) lose(from, to *node) {
	if n.streams {
		n.links[from.index][to.index].broken++
		n.breakLater(from, to)
	}
}

// connect makes a connection if there is none.
func (n *network) connect(from, to *node) {
	if from.known[to.index] == 0 {
		from.known[to.index] = to.life
		from.arrive(func(now host.Now) { from.host.PeerUp(now, to.id) })
	}
}

// dialEvery is how often a node without a connection to a peer tries to make one.
const dialEvery = 50 * Millisecond

// dial connects a node to a peer, again and again while its process lives.
func (n *network) dial(from, to *node) {
	life := from.life
	n.w.after(core.Time(n.rng.Int64N(int64(dialEvery))), func() {
		if !from.up || from.life != life {
			return
		}
		if to.up && n.links[from.index][to.index].cut == 0 && n.links[to.index][from.index].cut == 0 {
			n.connect(from, to)
		}
		n.w.after(dialEvery, func() { n.dial(from, to) })
	})
}

// nodeDown tells all others that their connection to a node broke.
func (n *network) nodeDown(down *node) {
	for _, peer := range n.w.nodes {
		if peer != down && peer.up {
			n.breakLater(peer, down)
		}
	}
}

// breakLater lets one side find out that its connection to the other broke.
func (n *network) breakLater(side, other *node) {
	life, l := side.life, &n.links[side.index][other.index]
	if l.breaking == life {
		return // a connection breaks once, however much was to be sent over it
	}
	l.breaking = life
	n.w.after(core.Time(n.rng.Int64N(int64(2*Millisecond))), func() {
		if side.up && side.life == life {
			l.breaking = 0
			n.w.trace.line("n%d loses its connection to n%d", side.id, other.id)
			side.arrive(func(now host.Now) {
				side.known[other.index] = 0
				side.host.PeerDown(now, other.id)
			})
		}
	})
}

// cut severs a direction; the cuts of several faults add up.
func (n *network) cut(from, to *node, cut bool) {
	l := &n.links[from.index][to.index]
	if cut {
		l.cut++
		if n.rng.IntN(2) == 0 {
			n.breakLater(from, to)
		}
		if n.rng.IntN(2) == 0 {
			n.breakLater(to, from)
		}
	} else {
		l.cut--
	}
}
