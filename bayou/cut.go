package bayou

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/wire"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

// How cuts are decided, and how they spread. Any member may ask the companion for the next cut: its number is a key there that is
// written once, so whoever comes second is told what the first one wrote. It asks for what a majority of the members has on disk:
// so what is committed is lost with a majority of disks only, and holds, with each write, all that led to it, since
// every member's state does.

// Order tells a peer which cuts the sender holds, and carries some that the peer lacks.
type Order struct {
	// Known is the last cut that is durable at the sender.
	Known uint64
	Cuts  []cut
}

const kindOrder byte = 16

// AppendTo encodes the message.
func (m Order) AppendTo(b []byte) []byte {
	return appendCuts(binary.AppendUvarint(append(b, kindOrder), m.Known), m.Cuts)
}

func (r *reader) order() Order { return Order{Known: r.Uint(), Cuts: r.cuts()} }

// String tells of the message in a line.
func (m Order) String() string {
	text := fmt.Sprintf("cuts known up to %d", m.Known)
	for _, c := range m.Cuts {
		text += fmt.Sprintf("; %d goes on to %v", c.number, c.beyond)
	}
	return text
}

// cutsMax bounds the cuts of a message.
const cutsMax = 256

// validOrdered is Pair.valid in a state with a commit order.
func (p *Pair) validOrdered() bool {
	switch p.Key[0] {
	case dataKind:
		_, err := machine.DecodeRecord(p.Value)
		return err == nil
	case undoKind:
		record := undone(p.Value)
		_, err := machine.DecodeRecord(record)
		return record == nil || err == nil
	case cutKind:
		r := reader{wire.Reader{B: p.Value}}
		r.vector()
		return len(p.Key) == 9 && !r.Bad && len(r.B) == 0
	case logKind:
		w, err := decodeWrite(p.Value)
		return err == nil && string(dotKey(logKind, w.Dot, nil)) == string(p.Key)
	}
	return false
}

// tellCuts tells a peer which cuts are here, with those from a number on.
func (r *Replica) tellCuts(p *peer, from uint64) {
	o := &r.ordering
	m := Order{Known: o.known()}
	if from >= o.state.oldest {
		r.in.View.Scan(cutKey(from), cutKey(o.known()+1), func(key, raw []byte) bool {
			in := reader{wire.Reader{B: slices.Clone(raw)}}
			m.Cuts = append(m.Cuts, cut{binary.BigEndian.Uint64(key[1:]), in.vector()})
			return len(m.Cuts) < cutsMax
		})
	}
	// Early: what the state shows of cuts is durable here.
	r.out.SendEarly(p.id, m)
}

// onOrder takes the cuts that a peer has, and hands it those that it lacks.
func (r *Replica) onOrder(p *peer, m Order) {
	o := &r.ordering
	if !o.on {
		return
	}
	p.cut, p.cutsHeard = m.Known, true
	for _, c := range m.Cuts {
		r.learnCut(c)
	}
	if m.Known < o.known() && m.Known+1 >= o.state.oldest && len(r.out.State) == 0 && !r.cells.changed() {
		r.tellCuts(p, m.Known+1)
	}
}

// lacksCuts says that a peer needs cuts which are forgotten here: only the state can help it.
func (r *Replica) lacksCuts(p *peer) bool {
	return r.ordering.on && p.cutsHeard && p.cut+1 < r.ordering.state.oldest
}

// spreadTold tells all peers of a cut that this replica had decided, once it is durable.
func (r *Replica) spreadTold() {
	o := &r.ordering
	if o.told == 0 || o.known() < o.told || len(r.out.State) > 0 || r.cells.changed() {
		return
	}
	for _, p := range r.peers {
		if p.up && !p.gone {
			r.tellCuts(p, o.told)
		}
	}
	o.told = 0
}

// spread is what a majority of the members has on disk, as far as it is here.
func (r *Replica) spread() (v Vector) {
	holders := []Vector{r.meta.vector}
	for _, p := range r.peers {
		if _, is := r.meta.member(p.id); is && !p.gone {
			holders = append(holders, p.known)
		}
	}
	need := len(holders)/2 + 1
	if r.options.Mutation == CommitAlone {
		need = 1
	}
	stamps := make([]kv.HLC, len(holders))
	for _, e := range r.meta.vector {
		for i := range holders {
			stamps[i] = holders[i].At(e.Replica)
		}
		slices.SortFunc(stamps, func(a, b kv.HLC) int { return cmp.Compare(b, a) })
		if stamp := min(stamps[need-1], e.Stamp); stamp > 0 {
			v = append(v, Entry{e.Replica, stamp})
		}
	}
	return v
}

// turn is how many members come before this one in asking for a cut: the others wait, so that mostly one asks.
func (r *Replica) turn() (n core.Time) {
	for _, p := range r.peers {
		if p.up && !p.gone && p.id < r.self {
			n++
		}
	}
	return n
}

// due is when the companion is to be asked for the cut that there is to ask for.
func (r *Replica) due() core.Time {
	return max(r.ordering.next, r.ordering.since+r.turn()*r.options.Interval)
}

// propose asks the companion for the next cut, if there is something to commit.
func (r *Replica) propose() {
	o := &r.ordering
	if !o.on || o.state.tentative == 0 || o.asked != 0 || o.logged != o.known() || o.state.stale || r.suspect || !r.joined() || r.transfer.running() {
		return
	}
	known := o.knownCut()
	next := r.spread()
	if known.Covers(next) {
		o.since = 0
		return
	}
	if o.since == 0 {
		o.since = r.in.Now
	}
	if r.in.Now < r.due() {
		return
	}
	o.asked, o.asking = max(r.in.Now, 1), cut{o.known() + 1, next.beyond(known)}
	command := r.decree(o.asking)
	r.out.Consult = kv.AppendCommand(nil, &command)
}

// The companion's keys: that of each cut, and floorName, where the number of the first one stands that it still has, once it has
// dropped any.
var floorName = []byte("floor")

func cutName(number uint64) []byte { return fmt.Appendf(nil, "cut/%016x", number) }

// floorMax bounds the cuts that the companion drops with one command.
const floorMax = 64

// decree is the command that decides the next cut, unless it is decided: then its answer tells what it is. It drops old cuts that all
// members hold. Where the one before is gone, this replica must not write anew what was decided and dropped: it looks whether the
// next is still there, and else waits for one of the others, who had it.
func (r *Replica) decree(next cut) kv.Command {
	o := &r.ordering
	name, floor := cutName(next.number), kv.Op{Kind: kv.OpGet, Key: floorName}
	if o.looking {
		return kv.Command{Ops: []kv.Op{{Kind: kv.OpGet, Key: name}, floor}}
	}
	c := kv.Command{Conds: []kv.Cond{{Kind: kv.CondPresent, Key: cutName(next.number - 1)}},
		Ops: []kv.Op{{Kind: kv.OpSet, Key: name, Value: next.beyond.AppendTo(nil), When: kv.IfAbsent, Old: true}, floor}}
	if next.number == 1 {
		c.Conds = []kv.Cond{{Kind: kv.CondAbsent, Key: floorName}}
	}
	end := min(r.spreadCuts(), next.number-min(next.number, r.options.KeepCuts), o.floor+floorMax)
	if end <= o.floor {
		return c
	}
	c.Ops = append(c.Ops, kv.Op{Kind: kv.OpSet, Key: floorName, Value: fmt.Append(nil, end)})
	for n := o.floor; n < end; n++ {
		c.Ops = append(c.Ops, kv.Op{Kind: kv.OpDelete, Key: cutName(n)})
	}
	return c
}

// consulted takes the companion's answer. Whether this replica's cut was decided or another one, it is the next; if nobody knows,
// it is asked again, and the answer tells.
func (r *Replica) consulted(res kv.Result) {
	o := &r.ordering
	if !o.on || o.asked == 0 {
		return
	}
	looked := o.looking
	o.asked, o.since, o.next, o.looking = 0, 0, r.in.Now+r.options.Interval, res.Code == kv.ConditionFailed
	if len(res.Items) < 2 {
		return
	}
	if floor, err := strconv.ParseUint(string(res.Items[1].Value), 10, 64); err == nil {
		o.floor = max(o.floor, floor)
	}
	decided, first := o.asking, &res.Items[0]
	if looked && first.Code == kv.NotFound {
		r.missCut()
	}
	if first.Code == kv.ConditionFailed || looked && first.Code == kv.OK {
		in := reader{wire.Reader{B: first.Value}}
		if decided.beyond = in.vector(); in.Bad || len(in.B) > 0 {
			return
		}
	} else if first.Code != kv.OK {
		return
	}
	o.next = r.in.Now + r.options.CommitInterval
	if decided.number == o.logged+1 {
		r.learnCut(decided)
		o.told = decided.number
	}
	r.out.Again = true
}

// missCut takes notice when the companion has neither the next cut nor the one before, which it did not drop: an operator has given up
// a majority of it that alone held what was decided. Nothing more is committed here, for what came of the cut elsewhere is not known.
func (r *Replica) missCut() {
	if o := &r.ordering; o.floor <= o.known() && !o.lost {
		o.lost = true
		r.out.Note(LostCutNote{o.known()})
	}
}

// Note lines of a trace.
type (
	// LostCutNote tells that the companion has lost a cut that it had decided: nothing more is committed.
	LostCutNote struct{ Number uint64 }
	// CutNote tells of a cut that is durable here.
	CutNote struct {
		Number uint64
		Vector Vector
	}
	// CommitNote tells that a write has its final place, counted from 1.
	CommitNote struct {
		Place uint64
		Dot   Dot
	}
	// UndoneNote tells that tentative writes were executed again, because something came before them.
	UndoneNote struct{ Writes int }
)

// String is a line of a trace.
func (n LostCutNote) String() string {
	return fmt.Sprintf("cut %d was decided, and the companion has lost it", n.Number)
}

// String is a line of a trace.
func (n CutNote) String() string { return fmt.Sprintf("learns cut %d, %v", n.Number, n.Vector) }

// String is a line of a trace.
func (n CommitNote) String() string { return fmt.Sprintf("commits %d: %v", n.Place, n.Dot) }

// String is a line of a trace.
func (n UndoneNote) String() string {
	return fmt.Sprintf("undoes and redoes %d tentative writes", n.Writes)
}
