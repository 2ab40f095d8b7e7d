package bayou

import (
	"bytes"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

// Writes of a group with a commit order are commands, executed one after the other by package machine: the committed ones in the
// order in which they were committed, then the tentative ones. When one gets a place before others, these are undone and redone;
// but only those that have keys in common with it, or with others of these. Their time is their own stamp, so that what a
// write does depends on nothing but what was executed before it.

// board is the records that a Step executes writes on.
type board struct {
	view   core.View
	order  []*square // that of the first look: a map has none
	byKey  map[string]*square
	result map[Dot]kv.Result
	// backwards is the bug that MergeDiffers plants.
	backwards bool
}

// square is the record of a key on the board; nil: there is none.
type square struct {
	key []byte
	// shown and committed are as the state has them, undo says that it keeps the latter beside the former.
	shown, committed []byte
	undo             bool
	// now is the record as the writes that were executed so far have left it, base that of the committed ones.
	now, base []byte
	// touched says that tentative writes touch the key.
	touched bool
}

func newBoard(view core.View) *board {
	return &board{view: view, byKey: map[string]*square{}, result: map[Dot]kv.Result{}}
}

func (r *Replica) newBoard() *board {
	b := newBoard(r.in.View)
	b.backwards = r.options.Mutation == MergeDiffers && r.self%2 == 0
	return b
}

func (b *board) at(key []byte) *square {
	if s, ok := b.byKey[string(key)]; ok {
		return s
	}
	s := &square{key: bytes.Clone(key)} // the machine uses its memory again
	s.shown, _ = b.view.Get(dataKey(key))
	s.committed = s.shown
	if raw, ok := b.view.Get(undoKey(key)); ok {
		s.undo, s.committed = true, undone(raw)
	}
	s.now, s.base = s.shown, s.committed
	b.byKey[string(key)] = s
	b.order = append(b.order, s)
	return s
}

func undoKey(key []byte) []byte { return append(append(make([]byte, 0, 1+len(key)), undoKind), key...) }

// undoValue is a committed record as it stands behind an undo key, undone the inverse.
func undoValue(record []byte) []byte {
	if record == nil {
		return []byte{0}
	}
	return append([]byte{1}, record...)
}

func undone(value []byte) []byte {
	if len(value) == 0 || value[0] == 0 {
		return nil
	}
	return value[1:]
}

// Get lets the machine read the board.
func (b *board) Get(key []byte) ([]byte, bool) {
	if key[0] != dataKind {
		return nil, false
	}
	s := b.at(key[1:])
	return bytes.Clone(s.now), s.now != nil
}

// Scan finds nothing: no write depends on a range.
func (b *board) Scan(_, _ []byte, _ func(key, value []byte) bool) {}

// Snapshot is never called: the machine takes none to write.
func (b *board) Snapshot() core.Snapshot { panic("bayou: a write takes no snapshot") }

// run executes a write on the board.
func (b *board) run(m *machine.Machine, w *Write) {
	for i := range w.Ops {
		if o := &w.Ops[i]; o.Kind == Execute {
			b.result[w.Dot] = b.executeChecked(m, w, o.Value)
		}
	}
}

func (b *board) execute(m *machine.Machine, stamp kv.HLC, command []byte) kv.Result {
	m.BeginWrite(b, stamp)
	res := m.Apply(command, true)
	for _, c := range m.Finish() {
		if c.Key[0] != dataKind || c.Kind != core.Put && c.Kind != core.Delete {
			continue
		}
		s := b.at(c.Key[1:])
		if s.now = nil; c.Kind == core.Put {
			s.now = bytes.Clone(c.Value)
		}
	}
	return res
}

// touch says that a tentative write touches its keys.
func (b *board) touch(w *Write) {
	for _, key := range w.keys() {
		b.at(key).touched = true
	}
}

// rewind puts all records back to where the committed writes left them.
func (b *board) rewind() {
	for _, s := range b.order {
		s.now, s.touched = s.base, false
	}
}

// settle makes what was executed so far the committed records.
func (b *board) settle() {
	for _, s := range b.order {
		s.base = s.now
	}
}

// write hands out what has changed on the board.
func (r *Replica) write(b *board) {
	for _, s := range b.order {
		if !same(s.now, s.shown) {
			if s.now != nil {
				r.cells.put(dataKey(s.key), s.now)
			} else {
				r.cells.delete(dataKey(s.key))
			}
		}
		switch {
		case s.touched && (!s.undo || !same(s.base, s.committed)):
			r.cells.put(undoKey(s.key), undoValue(s.base))
		case !s.touched && s.undo:
			r.cells.delete(undoKey(s.key))
		}
		if !s.touched && !same(s.base, s.now) && r.options.Mutation == NoMutation {
			panic("bayou: no tentative write touches a key, and yet its records differ")
		}
	}
}

func same(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

// keys are those that a write touches.
func (w *Write) keys() [][]byte {
	if w.touched != nil {
		return w.touched
	}
	for i := range w.Ops {
		if w.Ops[i].Kind != Execute {
			continue
		}
		var c kv.Command
		if kv.DecodeCommand(w.Ops[i].Value, &c) == nil {
			c.Keys(func(key []byte) { w.touched = append(w.touched, key) })
			if c.Merge != nil && c.Merge.Kind == kv.MergeCopy {
				for j := range c.Ops {
					w.touched = append(w.touched, copyKey(c.Ops[j].Key, w.Dot))
				}
			}
		}
	}
	slices.SortFunc(w.touched, bytes.Compare)
	w.touched = slices.CompactFunc(w.touched, bytes.Equal)
	return w.touched
}

// touching are the tentative writes on a key, in their order.
func (r *Replica) touching(key []byte, from Dot, f func(Dot) bool) {
	end := append(touchPrefix(key), bytes.Repeat([]byte{0xff}, 13)...)
	r.in.View.Scan(touchKey(key, from), end, func(touch, _ []byte) bool { return f(dotOfTouch(touch)) })
}

// insert executes writes that have become tentative, in their order. Mostly nothing follows them on their keys; then it is done.
func (r *Replica) insert(list []*Write) map[Dot]kv.Result {
	for _, w := range list {
		for _, key := range w.keys() {
			r.cells.put(touchKey(key, w.Dot), nil)
		}
	}
	if !r.ends(list) && r.options.Mutation != ExecuteLast {
		return r.redo(nil, list)
	}
	b := r.newBoard()
	for _, w := range list {
		b.touch(w)
		b.run(&r.ordering.machine, w)
	}
	r.write(b)
	return b.result
}

// ends says that no tentative write follows any of these on its keys.
func (r *Replica) ends(list []*Write) bool {
	for _, w := range list {
		for _, key := range w.keys() {
			follows := false
			r.touching(key, w.Dot, func(Dot) bool {
				follows = true
				return false
			})
			if follows {
				return false
			}
		}
	}
	return true
}

// commitWrites gives writes their final places behind what is committed.
func (r *Replica) commitWrites(batch []*Write) {
	o := &r.ordering
	b := r.commitInTurn(batch)
	results := b
	if b == nil {
		results = r.redo(batch, nil)
	}
	for _, w := range batch {
		for _, key := range w.keys() {
			r.cells.delete(touchKey(key, w.Dot))
		}
		o.noteCommitted(w.Dot, r.out)
		r.answerCommitted(w.Dot, results)
	}
}

// commitInTurn is for writes that come first among the tentative ones on their keys, in the same order: what is shown stays as it
// is. nil: they do not.
func (r *Replica) commitInTurn(batch []*Write) map[Dot]kv.Result {
	b := r.newBoard()
	left := map[string][]Dot{} // by key, those of the batch that are still to be met
	for _, w := range batch {
		for _, key := range w.keys() {
			left[string(key)] = append(left[string(key)], w.Dot)
			b.at(key)
		}
	}
	for _, s := range b.order {
		mine, inTurn := left[string(s.key)], true
		r.touching(s.key, Dot{}, func(d Dot) bool {
			if len(mine) == 0 {
				s.touched = true
				return false
			}
			inTurn = d == mine[0]
			mine = mine[1:]
			return inTurn
		})
		if !inTurn && r.options.Mutation != SkipRedo {
			return nil
		}
	}
	for _, s := range b.order {
		s.now = s.base
	}
	for _, w := range batch {
		b.run(&r.ordering.machine, w)
	}
	b.settle()
	for _, s := range b.order {
		s.now = s.shown
	}
	r.write(b)
	return b.result
}

// redo executes anew what is tentative and has to do with writes that are committed, or that were inserted: on the records that
// the committed ones leave.
func (r *Replica) redo(committed, inserted []*Write) map[Dot]kv.Result {
	b := r.newBoard()
	suffix := r.concerned(b, committed, inserted)
	r.ordering.undone += uint64(len(suffix) - len(inserted))
	r.out.Note(UndoneNote{len(suffix) - len(inserted)})
	b.rewind()
	for _, w := range committed {
		b.run(&r.ordering.machine, w)
	}
	b.settle()
	for _, w := range suffix {
		b.touch(w)
		b.run(&r.ordering.machine, w)
	}
	r.write(b)
	return b.result
}

// concerned are the tentative writes, in their order, that have keys in common with some writes, or with others of these; the board
// has all their records. Those that were inserted are among them, those that are committed are not.
func (r *Replica) concerned(b *board, committed, inserted []*Write) (suffix []*Write) {
	seen := map[Dot]bool{}
	for _, w := range committed {
		seen[w.Dot] = true
	}
	suffix = slices.Clone(inserted)
	for _, w := range slices.Concat(committed, inserted) {
		seen[w.Dot] = true
		for _, key := range w.keys() {
			b.at(key)
		}
	}
	for i := 0; i < len(b.order); i++ {
		r.touching(b.order[i].key, Dot{}, func(d Dot) bool {
			if seen[d] {
				return true
			}
			seen[d] = true
			w := r.logged(d)
			suffix = append(suffix, w)
			for _, key := range w.keys() {
				b.at(key)
			}
			return true
		})
	}
	slices.SortFunc(suffix, func(a, b *Write) int { return a.Compare(b.Dot) })
	return suffix
}

// logged is a write of the log.
func (r *Replica) logged(d Dot) *Write {
	raw, ok := r.in.View.Get(dotKey(logKind, d, nil))
	if !ok {
		panic("bayou: the log lacks the tentative write " + d.String())
	}
	w, err := decodeWrite(raw)
	if err != nil {
		panic("bayou: the write log holds something else: " + err.Error())
	}
	return w
}

// rebuild executes all tentative writes anew: after a start or a transfer of state, which leave the state stale.
func (r *Replica) rebuild() {
	o := &r.ordering
	b := r.newBoard()
	r.in.View.Scan([]byte{undoKind}, []byte{undoKind + 1}, func(key, _ []byte) bool {
		b.at(slices.Clone(key[1:]))
		return true
	})
	b.rewind()
	r.cells.deleteRange([]byte{undoKind}, []byte{undoKind + 1})
	r.cells.deleteRange([]byte{touchKind}, []byte{touchKind + 1})
	o.state.tentative, r.meta.logCount, r.meta.logBytes = 0, 0, 0
	r.in.View.Scan([]byte{logKind}, []byte{logKind + 1}, func(key, raw []byte) bool {
		r.meta.logCount++
		r.meta.logBytes += uint64(len(raw))
		if d := dotOfKey(key); !o.committed(d) {
			r.rebuildOne(b, raw)
		}
		return true
	})
	for _, s := range b.order {
		s.undo = false // the range is deleted
	}
	r.write(b)
	o.state.stale, o.changed = false, true
	r.out.Again = true
}

func (r *Replica) rebuildOne(b *board, raw []byte) {
	w, err := decodeWrite(slices.Clone(raw))
	if err != nil {
		panic("bayou: the write log holds something else: " + err.Error())
	}
	r.ordering.state.tentative++
	for _, key := range w.keys() {
		r.cells.put(touchKey(key, w.Dot), nil)
		s := b.at(key)
		if !s.touched {
			s.touched, s.now = true, s.base
		}
	}
	b.run(&r.ordering.machine, w)
	delete(b.result, w.Dot)
}

// Replay is what writes make of nothing, executed one after the other: the values by key. Checkers hold states against it.
func Replay(writes []*Write) map[string]string {
	b := newBoard(nothing{})
	var m machine.Machine
	for _, w := range writes {
		b.run(&m, w)
	}
	values := map[string]string{}
	for _, s := range b.order {
		if s.now != nil {
			record, err := machine.DecodeRecord(s.now)
			if err != nil {
				panic("bayou: a record of a replay cannot be decoded: " + err.Error())
			}
			values[string(s.key)] = string(record.Value)
		}
	}
	return values
}

// nothing is a view of an empty state.
type nothing struct{}

func (nothing) Get([]byte) ([]byte, bool)                        { return nil, false }
func (nothing) Scan(_, _ []byte, _ func(key, value []byte) bool) {}
func (nothing) Snapshot() core.Snapshot                          { panic("bayou: a replay takes no snapshot") }
