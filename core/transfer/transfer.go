// Package transfer carries the state of a group from one replica to another, part by part.
//
// One part is under way at a time: it is the slow path, and the memory of both sides is bounded by a part. Whoever receives asks
// for the part that it lacks, so parts may be lost, doubled and overtaken; the protocols own the messages that carry them, and
// say what a state is of.
//
// Others rely on this: a received state takes the place of the old one at once, in a Step that changes nothing else, or not at all.
//
// Start with Sending, then Staging.
package transfer

import (
	"bytes"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/wire"
)

// partBytes bounds a part, unless one pair alone is larger.
const partBytes = 512 << 10

// Part is a part of a state.
type Part struct {
	N     uint32 // parts are numbered from 0
	Done  bool   // the last part
	Pairs []Pair
}

// Pair is a key of the state and its value.
type Pair struct{ Key, Value []byte }

// AppendTo encodes the part.
func (p *Part) AppendTo(w *wire.Writer) {
	w.Uint(uint64(p.N))
	w.Bool(p.Done)
	w.Uint(uint64(len(p.Pairs)))
	for _, pair := range p.Pairs {
		w.Bytes(pair.Key)
		w.Bytes(pair.Value)
	}
}

// ReadPart reads what AppendTo wrote. The part keeps the reader's bytes.
func ReadPart(r *wire.Reader) (p Part) {
	p.N, p.Done = uint32(r.Uint()), r.Bool()
	for n := r.Count(2); n > 0 && !r.Bad; n-- {
		p.Pairs = append(p.Pairs, Pair{r.Bytes(), r.Bytes()})
	}
	return p
}

// Sending is a state on its way. It pins what it shows until it is closed.
type Sending struct {
	// Part is the one under way.
	Part     Part
	snapshot core.Snapshot
	from     []byte // where the next part begins
}

// Send makes the first part of a state as it is now.
func Send(view core.View) *Sending {
	s := &Sending{snapshot: view.Snapshot()}
	s.fill(0)
	return s
}

// Applied is the value at core.AppliedKey; false: the state has none.
func (s *Sending) Applied() ([]byte, bool) { return s.snapshot.Get(core.AppliedKey) }

// Next makes the part that the receiver asks for, if it is the one behind that under way. lost says that the receiver asks for an
// earlier one: it has lost what it had collected, and wants a state from its beginning.
func (s *Sending) Next(n uint32) (made, lost bool) {
	if n != s.Part.N+1 || s.Part.Done {
		return false, n < s.Part.N
	}
	s.fill(n)
	return true, false
}

// fill makes a part. Its pairs lie in one piece of memory, and are about as many as those of the part before: what is sent is copied
// while the replica has others to serve.
func (s *Sending) fill(n uint32) {
	pairs := make([]Pair, 0, len(s.Part.Pairs)+len(s.Part.Pairs)/8)
	s.Part = Part{N: n, Done: true}
	var room []byte
	keep := func(b []byte) []byte {
		if cap(room)-len(room) < len(b) {
			room = make([]byte, 0, max(len(b), roomBytes))
		}
		from := len(room)
		room = append(room, b...)
		return room[from:len(room):len(room)]
	}
	size := 0
	s.snapshot.Scan(s.from, nil, func(key, value []byte) bool {
		if size >= partBytes {
			s.Part.Done = false
			s.from = bytes.Clone(key)
			return false
		}
		pairs = append(pairs, Pair{keep(key), keep(value)})
		size += len(key) + len(value)
		return true
	})
	s.Part.Pairs = pairs
}

// roomBytes is the memory that is taken at a time for the pairs of a part.
const roomBytes = 64 << 10

// Close ends it.
func (s *Sending) Close() { s.snapshot.Close() }

// Staging is a state that is being received. Its zero value receives nothing yet.
type Staging[Of comparable] struct {
	// Of is what the state is of, From who sends it.
	Of   Of
	From core.ReplicaID
	// Wanted is the part to ask for.
	Wanted uint32

	ready, installed bool
}

// Take stages a part. whole says that it was the last one, and that another Step is asked for, in which Install may come; else the
// part Wanted is to be asked for. The first part of a state takes the place of whatever was staged.
func (s *Staging[Of]) Take(out *core.Effects, from core.ReplicaID, of Of, p *Part) (whole bool) {
	if p.N == 0 {
		*s = Staging[Of]{Of: of, From: from}
		out.State = append(out.State, core.Change{Kind: core.Unstage})
	}
	if s.Of != of || p.N != s.Wanted {
		return false
	}
	for _, pair := range p.Pairs {
		out.State = append(out.State, core.Change{Kind: core.Stage, Key: pair.Key, Value: pair.Value})
	}
	s.Wanted++
	s.ready, out.Again = p.Done, out.Again || p.Done
	return p.Done
}

// Ready says that all parts are staged: nothing else must change the state from then on, until Installed.
func (s *Staging[Of]) Ready() bool { return s.ready }

// Install replaces the state by what was staged, in a Step that changes nothing else, and asks for another one. The install is
// durable when it was applied.
func (s *Staging[Of]) Install(out *core.Effects) {
	s.installed = true
	out.State = append(out.State, core.Change{Kind: core.Install})
	out.Again = true
}

// Installed says that the Step of Install is over. The replica goes on from the new state, and receives nothing any more.
func (s *Staging[Of]) Installed() bool { return s.installed }
