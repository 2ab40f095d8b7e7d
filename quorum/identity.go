package quorum

import (
	"fmt"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/wire"
)

// What the log says of the members, and of whose log it is: another replica of the group may have lived on this node before, and what
// a crash brings back of that one is not this one's.

// writeMembers logs the configuration, the places, and whose log this is. fresh says that it begins there.
func (r *Replica) writeMembers(e entry, fresh bool) {
	e.members = r.appendMembers(fresh)
	r.write(e, recordMembers, e.members)
}

func (r *Replica) appendMembers(fresh bool) []byte {
	w := writer{wire.Writer{B: []byte{logVersion}}}
	w.Uint(uint64(r.self))
	w.Bool(fresh)
	w.Uint(uint64(len(r.places)))
	for _, id := range r.places {
		w.Uint(uint64(id))
	}
	w.Bytes(r.config.AppendTo(nil))
	return w.B
}

// kept is what appendMembers wrote.
type kept struct {
	self   core.ReplicaID
	fresh  bool
	places []core.ReplicaID
	config Config
}

func decodeMembers(b []byte) (k kept, err error) {
	if len(b) == 0 || b[0] != logVersion {
		return k, errConfig
	}
	rd := reader{wire.Reader{B: b[1:]}}
	k.self, k.fresh = core.ReplicaID(rd.small(1<<32)), rd.Bool()
	rd.each(1, func() { k.places = append(k.places, core.ReplicaID(rd.small(1<<32))) })
	k.config, err = DecodeConfig(rd.Bytes())
	if err == nil && (rd.Bad || len(rd.B) > 0 || len(k.places) > MembersMax+1) {
		err = errConfig
	}
	return k, err
}

func mustMembers(b []byte) kept {
	k, err := decodeMembers(b)
	if err != nil {
		panic(fmt.Sprintf("quorum: members record of %d bytes: %v", len(b), err))
	}
	return k
}

// takeMembers goes by a configuration of the log, and says what of the state is no member's any more.
func (r *Replica) takeMembers(b []byte) (gone []core.Change) {
	k := mustMembers(b)
	for i, id := range r.places {
		if id != 0 && (i >= len(k.places) || k.places[i] != id) {
			gone = append(gone, r.forgetPlace(i))
		}
	}
	r.places = k.places
	r.enter(k.config)
	return gone
}

// Writer is the replica whose records these are, as the last of those says that tells; 0: none does.
func Writer(records []core.Record) (self core.ReplicaID) {
	for _, rec := range records {
		if rec.Kind == recordMembers {
			if k, err := decodeMembers(rec.Body); err == nil {
				self = k.self
			}
		}
	}
	return self
}

// own are the records of this replica; ok is false if the disk holds those of another one, which lived here before. bare says that
// the state may still be that one's.
func (r *Replica) own(e core.Recover) (list []core.Record, bare, ok bool) {
	writer, held := Writer(e.Records), core.ReplicaID(0)
	if b, has := r.in.View.Get(membersKey); has {
		held = mustMembers(b).self
	}
	if writer == 0 {
		writer = held
	}
	if writer != 0 && writer != r.self || writer == 0 && !r.founder(e.Config) {
		return nil, false, false
	}
	list = e.Records
	for i, rec := range e.Records {
		if rec.Kind == recordMembers && mustMembers(rec.Body).fresh {
			// The state says whose it is from the record on with which its replica began, and then all that was before is gone from it.
			list, bare = e.Records[i:], held != r.self
		}
	}
	return list, bare, true
}

func (r *Replica) founder(config []byte) bool {
	c, err := DecodeConfig(config)
	return err == nil && slices.Contains(c.Members, r.self)
}

// beginAnew begins with nothing where another replica has lived.
func (r *Replica) beginAnew(e core.Recover) {
	d := &r.disk
	for _, rec := range e.Records {
		d.pos = max(d.pos, rec.Pos)
	}
	d.asked, d.applied = d.pos, d.pos
	r.strip()
	r.out.State = append(r.out.State, r.appliedAt(d.pos))
	r.start(e.Config)
}

// strip empties the state, for this Step too. The state is a fold of the log and no more durable than that: a crash may bring back
// what was in it.
func (r *Replica) strip() {
	r.out.State = append(r.out.State, core.Change{Kind: core.DeleteRange, Key: []byte{0}})
	bare := *r.in
	bare.View = nothing{}
	r.in = &bare
}

// nothing is an empty state.
type nothing struct{}

func (nothing) Get([]byte) ([]byte, bool)                  { return nil, false }
func (nothing) Scan(_, _ []byte, _ func(_, _ []byte) bool) {}
func (nothing) Snapshot() core.Snapshot                    { return nothing{} }
func (nothing) Close()                                     {}
