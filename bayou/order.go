package bayou

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/wire"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

// In a group with a commit order every write has a final place. The group's companion, a group of package paxos, decides a sequence
// of cuts. A cut is a vector, and commits all writes that it describes and that no cut before it does, in the order of writes. So
// a write's place is known to whoever holds the cuts and the writes, whatever came first here, and no place is ever taken
// back. What no cut describes is tentative: it is shown behind all that is committed, in the order of writes (rules B4, B6).

// cut is one decision of the companion. Cuts are numbered from 1 without a hole. beyond says how far it goes on from the one before:
// replicas that have written nothing since, or are no members any more, are not named.
type cut struct {
	number uint64
	beyond Vector
}

// ordering is how far a replica is with the commit order.
type ordering struct {
	on    bool
	state orderState
	// changed: the state's part of it has to be written with this Step.
	changed bool
	// ahead are the cuts behind that of the state, durable here; logged is the last one that is in the log or on its way there.
	ahead  []Vector
	logged uint64
	// asked is when the companion was asked, 0 if nothing is under way; since is when there was first something to ask for, next
	// when it may be asked again.
	asked, since, next core.Time
	asking             cut
	// looking: the cut before the next one is gone there, and it is to be looked whether the next one is.
	looking bool
	// paused is when a part of a cut was committed and the rest left for the next moment, so that nobody waits for all of it; 0: none is.
	paused core.Time
	// lost: the companion has lost a cut, and this run has said so.
	lost bool
	// told are cuts that this replica had decided: the peers are told of them when they are durable.
	told uint64
	// floor is the first cut that the companion may hold.
	floor   uint64
	waiting []waiter
	machine machine.Machine
	// undone counts the writes that were executed again since the start, because something came before them.
	undone uint64
}

// orderState is what the state is a fold of, beside meta. The records and this change together, always.
type orderState struct {
	// cut is the last one that is applied to its end, base what it describes.
	cut  uint64
	base Vector
	// done is the last write that is committed of the cut behind it; zero: none.
	done Dot
	// count is how many writes are committed, chain sums up which and in which order.
	count, chain uint64
	// tentative is how many writes are not.
	tentative uint64
	// oldest is the first cut that the state still holds, for peers who lack it.
	oldest uint64
	// stale: the tentative writes have to be executed anew, all of them; until then nothing is served.
	stale bool
}

const orderVersion = 1

// orderKey is where the state keeps how far the commit order is.
var orderKey = []byte{'m', 'o'}

// Kinds of state keys of groups with a commit order.
const (
	// undoKind precedes a client's key that tentative writes touch: the committed record behind a byte 1, or a byte 0 for none.
	undoKind = 'e'
	// cutKind precedes the number of a cut: its vector.
	cutKind = 'o'
	// touchKind precedes the length of a client's key, the key, and the dot of a tentative write that touches it.
	touchKind = 'x'
)

func cutKey(number uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{cutKind}, number)
}

func touchPrefix(key []byte) []byte {
	b := binary.BigEndian.AppendUint16(append(make([]byte, 0, 15+len(key)), touchKind), uint16(len(key)))
	return append(b, key...)
}

func touchKey(key []byte, d Dot) []byte {
	b := binary.BigEndian.AppendUint64(touchPrefix(key), uint64(d.Stamp))
	return binary.BigEndian.AppendUint32(b, uint32(d.Replica))
}

func dotOfTouch(touch []byte) Dot {
	b := touch[len(touch)-12:]
	return Dot{kv.HLC(binary.BigEndian.Uint64(b)), core.ReplicaID(binary.BigEndian.Uint32(b[8:]))}
}

func (o *orderState) appendTo(b []byte) []byte {
	b = binary.AppendUvarint(append(b, orderVersion), o.cut)
	b = appendDot(o.base.AppendTo(b), o.done)
	b = binary.BigEndian.AppendUint64(binary.AppendUvarint(b, o.count), o.chain)
	b = binary.AppendUvarint(binary.AppendUvarint(b, o.tentative), o.oldest)
	return wire.AppendBool(b, o.stale)
}

func parseOrder(b []byte) (o orderState, ok bool) {
	r := reader{wire.Reader{B: b}}
	version := r.Byte()
	o.cut, o.base, o.done = r.Uint(), r.vector(), r.dot()
	o.count, o.chain = r.Uint(), r.Fixed()
	o.tentative, o.oldest, o.stale = r.Uint(), r.Uint(), r.Bool()
	return o, !r.Bad && len(r.B) == 0 && version == orderVersion && o.oldest > 0
}

// readOrder is how far the commit order of a state is; a group without one has none.
func readOrder(view core.View) orderState {
	b, ok := view.Get(orderKey)
	if !ok {
		return orderState{oldest: 1}
	}
	o, ok := parseOrder(b)
	if !ok {
		panic("bayou: the record of the commit order cannot be decoded")
	}
	return o
}

// load takes what the state holds.
func (o *ordering) load(view core.View) {
	o.state = readOrder(view)
	o.ahead = nil
	view.Scan(cutKey(o.state.cut+1), []byte{cutKind + 1}, func(key, raw []byte) bool {
		if binary.BigEndian.Uint64(key[1:]) != o.known()+1 {
			return false
		}
		r := reader{wire.Reader{B: slices.Clone(raw)}}
		o.foresee(r.vector())
		return true
	})
	o.logged = o.known()
	o.floor = max(o.floor, 1)
}

// foresee takes the next cut, of which it is told what goes beyond the one before.
func (o *ordering) foresee(beyond Vector) {
	v := slices.Clone(o.knownCut())
	v.Merge(beyond)
	o.ahead = append(o.ahead, v)
}

// known is the last cut that is durable here.
func (o *ordering) known() uint64 { return o.state.cut + uint64(len(o.ahead)) }

// knownCut is what the last cut that is durable here describes.
func (o *ordering) knownCut() Vector {
	if n := len(o.ahead); n > 0 {
		return o.ahead[n-1]
	}
	return o.state.base
}

// committed says that a write has its final place.
func (o *ordering) committed(d Dot) bool {
	return o.state.base.Has(d) || !o.state.done.IsZero() && d.Compare(o.state.done) <= 0 && o.ahead[0].Has(d)
}

// shown is what a committed view has seen: the cut that is being applied included.
func (o *ordering) shown() Vector {
	if o.state.done.IsZero() {
		return o.state.base
	}
	return o.ahead[0]
}

// entered counts a write that was taken into the log.
func (r *Replica) entered(d Dot) {
	if o := &r.ordering; o.on && !o.committed(d) {
		o.state.tentative++
		o.changed = true
	}
}

// learnCut writes a cut to the log, if it is the next one.
func (r *Replica) learnCut(c cut) {
	o := &r.ordering
	if c.number != o.logged+1 || r.transfer.running() {
		return
	}
	o.logged++
	r.fly(&flight{cuts: []cut{c}})
}

// flyCuts writes the cuts of a flight to the log.
func (r *Replica) flyCuts(list []cut) {
	r.pos++
	r.out.Write(core.Record{Kind: recordCuts, Pos: r.pos, Body: appendCuts(nil, list)})
	r.untold = true
}

func appendCuts(b []byte, list []cut) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, c := range list {
		b = c.beyond.AppendTo(binary.AppendUvarint(b, c.number))
	}
	return b
}

func (r *reader) cuts() (list []cut) {
	for n := r.Count(2); n > 0 && !r.Bad; n-- {
		c := cut{r.Uint(), r.vector()}
		r.Bad = r.Bad || c.number == 0 || len(list) > 0 && c.number != list[len(list)-1].number+1
		list = append(list, c)
	}
	return list
}

// enterCut takes a durable cut into the state.
func (r *Replica) enterCut(c cut) {
	o := &r.ordering
	if c.number != o.known()+1 {
		return
	}
	o.foresee(c.beyond)
	o.logged = max(o.logged, c.number)
	o.since, o.changed = 0, true
	r.cells.put(cutKey(c.number), c.beyond.AppendTo(nil))
	r.out.Note(CutNote{c.number, o.knownCut()})
}

// holds says that all writes of a cut are here, but for those that are lost with their replicas.
func (r *Replica) holds(v Vector) bool {
	for _, e := range v {
		stamp := e.Stamp
		if f, was := r.meta.former(e.Replica); was {
			stamp = min(stamp, f.last)
		}
		if r.meta.vector.At(e.Replica) < stamp {
			return false
		}
	}
	return true
}

// commit gives the writes of the next cut their places, as soon as all of them are here: what is missing may come before what is not.
func (r *Replica) commit() {
	o := &r.ordering
	if !o.on || len(o.ahead) == 0 || o.state.stale || r.transfer.running() || o.paused == r.in.Now {
		return
	}
	if r.cells.changed() || len(r.out.State) > 0 {
		r.out.Again = true
		return
	}
	next := o.ahead[0]
	if !r.holds(next) && r.options.Mutation != CommitByArrival {
		return
	}
	batch, more := r.uncommitted(next)
	r.commitWrites(batch)
	o.changed = true
	if o.paused = 0; more {
		o.state.done, o.paused = batch[len(batch)-1].Dot, max(r.in.Now, 1)
	} else {
		o.state.cut++
		o.state.base, o.state.done = next, Dot{}
		o.ahead = o.ahead[1:]
	}
	r.out.Again = true
}

// uncommitted are the next writes of a cut in their order, and whether there are more.
func (r *Replica) uncommitted(next Vector) (list []*Write, more bool) {
	o := &r.ordering
	from := Dot{Stamp: ^kv.HLC(0)}
	for _, e := range next {
		if at := o.state.base.At(e.Replica); at < e.Stamp {
			from.Stamp = min(from.Stamp, at+1)
		}
	}
	if !o.state.done.IsZero() {
		from = o.state.done
	}
	r.in.View.Scan(dotKey(logKind, from, nil), []byte{logKind + 1}, func(key, raw []byte) bool {
		d := dotOfKey(key)
		if !next.Has(d) || o.state.base.Has(d) || d == o.state.done {
			return true
		}
		if more = len(list) == r.options.CommitMax; more {
			return false
		}
		w, err := decodeWrite(slices.Clone(raw))
		if err != nil {
			panic("bayou: the write log holds something else: " + err.Error())
		}
		list = append(list, w)
		return true
	})
	return list, more
}

// noteCommitted counts a write that has its place now.
func (o *ordering) noteCommitted(d Dot, out *core.Effects) {
	o.state.count++
	o.state.tentative--
	o.state.chain = link(o.state.chain, d)
	out.Note(CommitNote{o.state.count, d})
}

// link sums up one write more in the chain of committed ones.
func link(chain uint64, d Dot) uint64 {
	return xxhash.Sum64(appendDot(binary.BigEndian.AppendUint64(nil, chain), d))
}

// refresh executes all tentative writes anew if the state is stale; it reports whether that takes this Step.
func (r *Replica) refresh() bool {
	o := &r.ordering
	switch {
	case !o.on || !o.state.stale:
		return false
	case r.cells.changed() || len(r.out.State) > 0:
		r.out.Again = true
	default:
		r.rebuild()
	}
	return true
}

// orderDeadline is when the commit order next wants a Tick.
func (r *Replica) orderDeadline() core.Time {
	o := &r.ordering
	at := core.Time(math.MaxInt64)
	if o.paused != 0 {
		at = o.paused
	}
	if o.since != 0 && o.asked == 0 {
		at = r.due()
	}
	for _, w := range o.waiting {
		at = min(at, w.request.until)
	}
	return at
}

// OrderStatus is how far the commit order is, as operators see it.
type OrderStatus struct {
	// Cut is the last cut that is applied to its end, Known the last that is durable.
	Cut, Known uint64
	// Committed and Tentative are how many writes have their final places, and how many have not.
	Committed, Tentative uint64
	// Chain sums up which writes are committed in which order: replicas with equal counts must have equal chains.
	Chain uint64
	// Undone counts the writes that were executed again since the start, because something came before them.
	Undone uint64
	// Waiting is how many clients wait until something is committed.
	Waiting int
}

func (o *ordering) status() *OrderStatus {
	return &OrderStatus{Cut: o.state.cut, Known: o.known(), Committed: o.state.count, Tentative: o.state.tentative, Chain: o.state.chain,
		Undone: o.undone, Waiting: len(o.waiting)}
}

// forgetCuts drops the cuts that are applied here and that every peer holds.
func (r *Replica) forgetCuts() {
	o := &r.ordering
	if !o.on || r.cells.changed() || len(r.out.State) > 0 {
		return
	}
	if end := min(r.spreadCuts(), o.state.cut) + 1; end > o.state.oldest {
		r.cells.deleteRange(cutKey(o.state.oldest), cutKey(end))
		o.state.oldest, o.changed = end, true
	}
}

// spreadCuts is the last cut that all members are known to hold. One that is gone will never ask, one that has not joined is sent
// the state.
func (r *Replica) spreadCuts() uint64 {
	all := r.ordering.known()
	for _, p := range r.peers {
		if !p.gone {
			all = min(all, p.cut)
		}
	}
	return all
}

// digestOrdered is Digest for a state with a commit order: what is committed in which order, and all records.
func digestOrdered(view core.View, sum uint64) uint64 {
	o := readOrder(view)
	sum += o.chain*31 + o.count + o.tentative<<32
	for _, kind := range []byte{dataKind, undoKind} {
		view.Scan([]byte{kind}, []byte{kind + 1}, func(k, v []byte) bool {
			sum += xxhash.Sum64(k)*31 ^ bits.RotateLeft64(xxhash.Sum64(v), 17)
			return true
		})
	}
	return sum
}

// executes tells what a command does, in a few words.
func executes(command []byte) (text string) {
	var c kv.Command
	if kv.DecodeCommand(command, &c) != nil {
		return " execute"
	}
	if len(c.Conds) > 0 {
		text = " on conditions"
	}
	for i := range c.Ops {
		if i == 3 {
			return text + fmt.Sprintf(" and %d more", len(c.Ops)-i)
		}
		text += executesOne(&c.Ops[i])
	}
	return text
}

func executesOne(o *kv.Op) string {
	key := o.Key[:min(64, len(o.Key))]
	switch o.Kind {
	case kv.OpSet:
		return fmt.Sprintf(" set %q (%d bytes)", key, len(o.Value))
	case kv.OpDelete:
		return fmt.Sprintf(" delete %q", key)
	case kv.OpIncr:
		return fmt.Sprintf(" add %d to %q", o.Delta, key)
	case kv.OpAppend:
		return fmt.Sprintf(" append %d bytes to %q", len(o.Value), key)
	}
	return fmt.Sprintf(" operation %d on %q", o.Kind, key)
}

// Standing tells of the writes in a state's log whether they are tentative or committed; "" if there is no commit order. A write that
// is committed meanwhile may still be called tentative.
func Standing(view core.View) func(Dot) string {
	if _, ordered := view.Get(orderKey); !ordered {
		return func(Dot) string { return "" }
	}
	var o ordering
	o.load(view)
	return func(d Dot) string {
		if o.committed(d) {
			return "committed"
		}
		return "tentative"
	}
}

// Touched says of a key of a state with a commit order whether tentative writes touch its record: "tentative", or else "committed"; ""
// if there is no commit order.
func Touched(view core.View, key []byte) string {
	if _, ordered := view.Get(orderKey); !ordered {
		return ""
	}
	if _, tentative := view.Get(undoKey(key)); tentative {
		return "tentative"
	}
	return "committed"
}
