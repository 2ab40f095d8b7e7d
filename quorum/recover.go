package quorum

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

func (r *Replica) join(config []byte) {
	c, err := DecodeConfig(config)
	if err != nil {
		panic("quorum: initial configuration: " + err.Error())
	}
	r.places = slices.Clone(c.Members)
	if r.place(r.self) < 0 {
		r.places = append(r.places, r.self) // it joins, and is told so next
	}
	r.enter(c)
	r.entropy.at = r.in.Now + r.entropyPause()
	r.repair.at = r.in.Now + r.options.RepairEvery/2 + core.Time(r.in.Rand.Int64N(int64(r.options.RepairEvery/2)))
}

// start begins with nothing.
func (r *Replica) start(config []byte) {
	r.join(config)
	r.tree.built = true
	if r.outside() {
		r.writeMembers(entry{pos: r.disk.pos + 1, epoch: r.config.Epoch}, true)
	}
	if r.outside() && r.options.Mutation != ReadNewEarly {
		r.suspect()
	}
}

// recover folds the records of the log that the state does not show yet. The fold goes by stamps, so it does not matter how
// far back the records reach.
func (r *Replica) recover(e core.Recover) {
	// An answer to a question of an earlier life, late from a peer whose disk hung, must not pass for one to a question of this.
	r.number = r.in.Rand.Uint64() >> 24
	if r.options.Mutation == NumberAgain {
		r.number = 0
	}
	d := &r.disk
	if b, ok := r.in.View.Get(core.AppliedKey); ok {
		d.applied = binary.BigEndian.Uint64(b)
	}
	d.pos = d.applied
	records, bare, mine := r.own(e)
	if !mine {
		r.beginAnew(e)
		return
	}
	if bare && r.options.Mutation != KeepOldState {
		r.strip()
		d.applied = 0
	}
	r.join(e.Config)
	if b, ok := r.in.View.Get(metaKey); ok {
		d.meta = decodeMeta(b)
	}
	if b, ok := r.in.View.Get(membersKey); ok {
		r.takeMembers(b)
	}
	r.countHints()
	f := fold{r: r, records: map[string][]byte{}}
	for _, rec := range records {
		if rec.Pos > d.applied {
			f.replay(rec)
			d.pos = max(d.pos, rec.Pos)
		}
	}
	d.shown, d.asked, d.applied = d.meta, d.pos, d.pos
	r.change.shown = r.config.Epoch
	if len(records) > 0 {
		r.out.State = append(r.out.State, r.appliedAt(d.pos))
	}
	r.walk.at = r.in.Now
	if e.Suspect || d.meta.Suspect {
		r.suspect()
	}
}

// suspect is what follows from a disk that lost something: this replica does not count until it has been compared with
// others, and since it may have forgotten a line, it refuses what is older than any that could have been drawn.
func (r *Replica) suspect() {
	r.doubt = kv.HLCOf(r.in.Wall + int64((r.options.SkewMax-r.options.RepairLag)/1e6))
	if r.blank() {
		r.doubt = unbounded
	}
	r.setMeta(func(m *meta) { m.Suspect = true })
	r.out.Note(SuspectNote{true})
	r.entropy.at = r.in.Now + urgent
}

// countHints sums up the hints that the state holds.
func (r *Replica) countHints() {
	r.in.View.Scan([]byte{hintKind}, []byte{hintKind + 1}, func(key, value []byte) bool {
		r.hints[key[1]].add(kv.HLC(binary.BigEndian.Uint64(value)), len(value)+3)
		return true
	})
}

// fold is the state as the records of the log leave it.
type fold struct {
	r       *Replica
	records map[string][]byte // that this recovery has put
}

func (f *fold) put(key, value []byte) {
	f.r.out.State = append(f.r.out.State, core.Change{Kind: core.Put, Key: key, Value: value})
}

func (f *fold) replay(rec core.Record) {
	if len(rec.Body) < 2 || rec.Body[0] != logVersion {
		panic(fmt.Sprintf("quorum: log record of kind %d with %d bytes", rec.Kind, len(rec.Body)))
	}
	switch rec.Kind {
	case recordItems:
		f.replayItems(rec)
	case recordDone:
		f.replayDone(rec.Body)
	case recordMeta:
		f.r.disk.meta = decodeMeta(rec.Body)
		f.put(metaKey, rec.Body)
	case recordMembers:
		f.r.out.State = append(f.r.out.State, f.r.takeMembers(rec.Body)...)
		f.put(membersKey, rec.Body)
	default:
		panic(fmt.Sprintf("quorum: log record of kind %d", rec.Kind))
	}
}

func (f *fold) replayItems(rec core.Record) {
	list := items(rec.Body[itemsHead:])
	if err := list.check(); err != nil {
		panic("quorum: log record: " + err.Error())
	}
	if rec.Body[1] == 1 {
		list.each(func(_ int, key, record []byte) {
			old, had := f.records[string(key)]
			if !had {
				old, _ = f.r.in.View.Get(key)
			}
			if f.r.wins(record, old) {
				f.records[string(key)] = record
				f.put(key, record)
			}
		})
	}
	e := entry{pos: rec.Pos}
	f.r.addHints(&e, rec.Body, mask(rec.Body[2]))
	f.r.out.State = append(f.r.out.State, e.hints...)
}

func (f *fold) replayDone(body []byte) {
	h := &f.r.hints[body[1]]
	for b := body[2:]; len(b) >= 8; b = b[8:] {
		key := hintKey(int(body[1]), binary.BigEndian.Uint64(b))
		f.r.out.State = append(f.r.out.State, core.Change{Kind: core.Delete, Key: key})
		h.count--
	}
	if h.count <= 0 {
		*h = hinted{}
	}
}
