package quorum

import "github.com/gamutdb/gamut/kv"

// latches keep what one coordinator does with a key in the order in which it was asked: a read sees the writes before it, and
// none behind it. Clients that send several commands at once count on that.
type latches struct {
	keys map[string]*latch
	// spare are latches to be used again.
	spare []*latch
	// freed are keys whose latch was let go: whoever waits for them begins in the next Step, which sees what this one changed.
	freed []string
}

// latch is what is under way on a key. Reads share it, and so do writes, whose stamps are in order; atomic writes do not.
type latch struct {
	reads, writes int
	waiting       []waiting
}

// waiting is an operation that may not begin yet.
type waiting struct {
	read  *read
	op    kv.Op
	write writeOp
}

func (l *latch) free(read, exclusive bool) bool {
	if read {
		return l.writes == 0
	}
	return l.reads == 0 && (l.writes == 0 || !exclusive)
}

func (l *latch) take(read bool) {
	if read {
		l.reads++
	} else {
		l.writes++
	}
}

// beginLatched begins a read or a write, or lets it wait.
func (r *Replica) beginLatched(key []byte, w waiting) {
	l := r.latches.keys[string(key)]
	name := string(key)
	if l == nil {
		l = r.latches.make()
		r.latches.keys[name] = l
	}
	if len(l.waiting) > 0 || !l.free(w.read != nil, r.config.Atomic) {
		if w.read == nil {
			w.op = cloneOp(&w.op) // the command is not ours when this Step is over
		}
		l.waiting = append(l.waiting, w)
		return
	}
	l.take(w.read != nil)
	r.startLatched(name, key, w)
}

// make is a latch that nobody holds.
func (l *latches) make() *latch {
	n := len(l.spare)
	if n == 0 {
		return &latch{}
	}
	one := l.spare[n-1]
	l.spare = l.spare[:n-1]
	return one
}

// drop forgets a latch that nobody holds.
func (l *latches) drop(key string, one *latch) {
	delete(l.keys, key)
	if *one = (latch{}); len(l.spare) < queueMin {
		l.spare = append(l.spare, one)
	}
}

func (r *Replica) startLatched(name string, key []byte, w waiting) {
	w.write.key = name
	switch {
	case w.read != nil:
		w.read.name = name
		r.beginRead(w.read, key)
	case r.config.Atomic && r.options.Mutation != SkipFirstPhase:
		r.beginRead(&read{name: name, need: w.write.need, then: &then{op: cloneOp(&w.op), write: w.write}}, key)
	default:
		r.put(&w.op, w.write)
	}
}

// unlatch ends a read or a write of a client's key.
func (r *Replica) unlatch(key string, read bool) {
	l := r.latches.keys[key]
	if l == nil {
		return
	}
	if read {
		l.reads--
	} else {
		l.writes--
	}
	switch {
	case len(l.waiting) > 0:
		r.latches.freed = append(r.latches.freed, key)
		r.out.Again = true
	case l.reads == 0 && l.writes == 0:
		r.latches.drop(key, l)
	}
}

// beginFreed begins what waited for keys that were let go.
func (r *Replica) beginFreed() {
	freed := r.latches.freed
	r.latches.freed = nil
	for _, key := range freed {
		l := r.latches.keys[key]
		for l != nil && len(l.waiting) > 0 && l.free(l.waiting[0].read != nil, r.config.Atomic) {
			w := l.waiting[0]
			l.waiting = l.waiting[1:]
			l.take(w.read != nil)
			r.startLatched(key, []byte(key), w)
		}
	}
}

// letGo ends the latches of the writes of a batch that are answered, once this replica's own disk has them, or will not: who
// reads this replica alone sees them then.
func (r *Replica) letGo(b *batch, ended bool) {
	if b.source != FromClient || !ended && b.targets.has(r.me) && !b.acked.has(r.me) {
		return
	}
	for i := range b.ops {
		if o := &b.ops[i]; o.done && !o.free {
			o.free = true
			r.unlatch(o.key, false)
		}
	}
}
