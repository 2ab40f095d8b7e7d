package quorum

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/wire"
	"github.com/gamutdb/gamut/kv"
)

// Keys of the state beside those of clients.
var metaKey = []byte{'m', 'q'}

// hintKind precedes the place of the member that a hint is for and the position of the record that brought the hint.
const hintKind = 'h'

func hintKey(member int, pos uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{hintKind, byte(member)}, pos)
}

// meta is what a replica must not forget beside records.
type meta struct {
	// Refuse is below which nothing is taken any more but from anti-entropy, Purge below which tombstones are forgotten.
	Refuse, Purge kv.HLC
	Suspect       bool
	// Behind are the members for which hints were dropped.
	Behind mask
}

// disk is what the replica has on disk, and what is on its way there. A record is shown in the state only when it is durable
// (rule D4); until then it stands in pending, so that two writes of a key are compared in the order in which they came
// (trap T3.6).
type disk struct {
	pos, asked, applied uint64
	entries             []entry
	pending             map[string]standing
	done                []entry // applied in the Step before
	meta, shown         meta
}

// standing is the record that will stand for a key.
type standing struct {
	record []byte
	pos    uint64
}

// entry is one record of the log that is not applied yet.
type entry struct {
	pos   uint64
	puts  []put
	hints []core.Change
	meta  *meta
	// members is a configuration with the places of its members; epoch is its number.
	members []byte
	epoch   uint64
}

// put is a record that replaces another one.
type put struct {
	key, record []byte
	old         gist
}

// settle forgets what the state shows since the last Step.
func (d *disk) settle() {
	for i := range d.done {
		for _, p := range d.done[i].puts {
			if s, ok := d.pending[string(p.key)]; ok && s.pos == d.done[i].pos {
				delete(d.pending, string(p.key))
			}
		}
	}
	clear(d.done)
	d.done = d.done[:0]
}

// standing is the record that stands for a key, durable or not.
func (r *Replica) standing(key []byte) []byte {
	if s, ok := r.disk.pending[string(key)]; ok {
		return s.record
	}
	record, _ := r.in.View.Get(key)
	return record
}

// shown is the record that a reader may see: it is durable (rule Q4). One that may be forgotten is as good as none (T3.15).
func (r *Replica) shownRecord(key []byte) []byte {
	if r.options.Mutation == ShowBeforeDurable {
		return r.standing(key)
	}
	record, _ := r.in.View.Get(key)
	if len(record) > 0 && dead(record, r.disk.shown.Purge) && r.options.Mutation != RepairDead {
		return nil
	}
	return record
}

// refuses says why a record is not taken (rule Q3); 0: it is. What a read brings is on some replica's disk already, so a
// comparison finds it; it is refused only where all replicas have held what is newest.
func (r *Replica) refuses(record []byte, from Source, purge kv.HLC) Reason {
	stamp := StampOf(record).Time
	switch {
	case r.tooFarAhead(stamp):
		return TooFarAhead
	case from == FromEntropy && purge < r.disk.shown.Purge && r.options.Mutation != EntropyIgnoresPurge:
		return Purged
	case from == FromEntropy, r.options.Mutation == PurgeWithoutRefusal:
		return 0
	case stamp < r.doubt:
		return Doubtful
	case from == FromRead && stamp < r.disk.shown.Purge, from != FromRead && stamp < r.disk.meta.Refuse:
		return BelowLine
	}
	return 0
}

// Kinds of records in the node's log.
const (
	recordItems = 1 // records, and for whom they are hints
	recordDone  = 2 // hints that arrived, by their positions
	recordMeta  = 3
	// recordMembers is who the members are from then on, and whose log this is.
	recordMembers = 4
)

const logVersion = 1

// itemsHead is the version, whether the records are this replica's own too, for which members they are hints, and since when.
const itemsHead = 1 + 1 + 1 + 8

// accept stores those of the items that are newer than what stands. It says which were refused, and why.
func (r *Replica) accept(list items, from Source, purge kv.HLC, hints mask) (refused []Refusal) {
	d := &r.disk
	e := entry{pos: d.pos + 1, puts: make([]put, 0, list.count())}
	whole := true
	list.each(func(i int, key, record []byte) {
		if why := r.refuses(record, from, purge); why != 0 {
			refused = append(refused, Refusal{uint32(i), why})
			whole = false
			return
		}
		old := r.stands(key)
		if !r.replaces(key, record, &old) {
			whole = false
			return
		}
		e.puts = append(e.puts, put{key, record, old})
		d.pending[string(key)] = standing{record, e.pos}
	})
	switch {
	case whole && len(e.puts) > 0:
		r.writeItems(&e, list, true, hints)
		return refused
	case len(e.puts) > 0:
		var kept items
		for _, p := range e.puts {
			kept = appendItem(kept, p.key, p.record)
		}
		r.writeItems(&e, kept, true, 0)
	}
	if hints != 0 {
		r.writeItems(&entry{pos: d.pos + 1}, list, false, hints)
	}
	return refused
}

// stands is the gist of the record that stands for a key, durable or not.
func (r *Replica) stands(key []byte) gist {
	if s, ok := r.disk.pending[string(key)]; ok {
		return gistOf(key, r.options.kept(s.record))
	}
	hash := xxhash.Sum64(key)
	g, ok := r.recent.find(key, hash)
	if !ok {
		record, _ := r.in.View.Get(key)
		g = gistOf(key, record)
		r.recent.put(key, hash, g, r.options.RecentKeys)
	}
	return g
}

// replaces reports whether a record replaces the one that stands for its key. That is looked at only if the stamps are equal.
func (r *Replica) replaces(key, record []byte, old *gist) bool {
	if old.none() || r.options.Mutation == StoreBlindly {
		return true
	}
	if c := StampOf(record).Compare(old.stamp); c != 0 {
		return c > 0
	}
	return r.wins(record, r.standing(key))
}

// wins reports whether a record replaces the one that stands (rule Q2).
func (r *Replica) wins(record, old []byte) bool {
	switch m := r.options.Mutation; {
	case m == StoreBlindly:
		return true
	case m == TiesByArrival && len(old) > 0 && StampOf(old) == StampOf(record):
		return true
	}
	return compare(r.options.kept(record), r.options.kept(old)) > 0
}

// writeItems logs records, as this replica's own, as hints for others, or as both: one copy serves all.
func (r *Replica) writeItems(e *entry, list items, own bool, hints mask) {
	body := make([]byte, itemsHead, itemsHead+len(list))
	body[0], body[1], body[2] = logVersion, byte(truth(own)), byte(hints)
	binary.BigEndian.PutUint64(body[3:], uint64(r.now()))
	body = append(body, list...)
	r.addHints(e, body, hints)
	r.write(*e, recordItems, body)
}

// addHints adds to an entry what keeps a record of the log as a hint for each of some members.
func (r *Replica) addHints(e *entry, body []byte, members mask) {
	for m := members; m != 0; m &= m - 1 {
		i := m.first()
		e.hints = append(e.hints, core.Change{Kind: core.Put, Key: hintKey(i, e.pos), Value: body[3:]})
		r.hints[i].add(kv.HLC(binary.BigEndian.Uint64(body[3:])), len(body))
	}
}

func (r *Replica) write(e entry, kind uint8, body []byte) {
	r.disk.pos = e.pos
	r.disk.entries = append(r.disk.entries, e)
	r.out.Write(core.Record{Kind: kind, Pos: e.pos, Body: body})
}

// setMeta changes what must not be forgotten. It counts at once where it forbids, and when it is durable where it allows.
func (r *Replica) setMeta(change func(*meta)) {
	before := r.disk.meta
	change(&r.disk.meta)
	if r.disk.meta == before {
		return
	}
	m := r.disk.meta
	r.write(entry{pos: r.disk.pos + 1, meta: &m}, recordMeta, appendMeta(nil, &m))
}

func appendMeta(b []byte, m *meta) []byte {
	w := writer{wire.Writer{B: append(b, logVersion)}}
	w.Fixed(uint64(m.Refuse))
	w.Fixed(uint64(m.Purge))
	w.Bool(m.Suspect)
	return append(w.B, byte(m.Behind))
}

func decodeMeta(b []byte) meta {
	if len(b) != 19 || b[0] != logVersion {
		panic(fmt.Sprintf("quorum: meta record of %d bytes", len(b)))
	}
	rd := reader{wire.Reader{B: b[1:]}}
	m := meta{Refuse: kv.HLC(rd.Fixed()), Purge: kv.HLC(rd.Fixed()), Suspect: rd.Bool()}
	m.Behind = mask(rd.B[0])
	return m
}

// onStored shows what has become durable, and counts this replica for what it coordinates.
func (r *Replica) onStored(m stored) {
	d := &r.disk
	n := 0
	for n < len(d.entries) && d.entries[n].pos <= m.Pos {
		r.apply(&d.entries[n])
		n++
	}
	if n > 0 {
		d.applied = d.entries[n-1].pos
		r.out.State = append(r.out.State, r.appliedAt(d.applied))
	}
	d.done = append(d.done, d.entries[:n]...)
	rest := copy(d.entries, d.entries[n:])
	clear(d.entries[rest:])
	d.entries = d.entries[:rest]
	r.countOwn(m.Pos)
}

// appliedAt says how far the state is a fold of the log.
func (r *Replica) appliedAt(pos uint64) core.Change {
	return core.Change{Kind: core.Put, Key: core.AppliedKey, Value: binary.BigEndian.AppendUint64(nil, pos)}
}

func (r *Replica) apply(e *entry) {
	for _, p := range e.puts {
		r.out.State = append(r.out.State, core.Change{Kind: core.Put, Key: p.key, Value: p.record})
		hash, now := xxhash.Sum64(p.key), gistOf(p.key, r.options.kept(p.record))
		r.tree.change(hash, p.old, now)
		if r.options.Mutation != StaleGists {
			r.recent.put(p.key, hash, now, r.options.RecentKeys)
		}
	}
	r.out.State = append(r.out.State, e.hints...)
	if e.meta != nil {
		r.disk.shown = *e.meta
		r.sweepTo(e.meta.Purge)
		r.out.State = append(r.out.State, core.Change{Kind: core.Put, Key: metaKey, Value: appendMeta(nil, e.meta)})
	}
	if e.members != nil {
		r.change.shown = e.epoch
		r.out.State = append(r.out.State, core.Change{Kind: core.Put, Key: membersKey, Value: e.members})
	}
}
