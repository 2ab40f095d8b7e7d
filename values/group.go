package values

import (
	"bytes"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/store"
)

// dataKind begins the state's key of a client's record, in every protocol.
const dataKind = 'd'

// anteroomBit makes of a group's number that of its anteroom: the part of the disk in which values wait for the Store. It is
// no group's number. Its changes are applied before those of the group that refer to them, and a disk that falls back falls
// back over all groups alike, so a state never refers to a value that was in neither place.
const anteroomBit = core.GroupID(1) << 63

// Anteroom is where the values of a group wait.
func Anteroom(g core.GroupID) core.GroupID { return g | anteroomBit }

// Place is a value of a replica's state: the key of the state, and which value of that key.
type Place struct {
	Group core.GroupID
	Key   string
	Ref   kv.Reference
}

// Group is a group's state whose long values are kept by a Keeper. Reads give references in their place.
type Group struct {
	store.Group
	id       core.GroupID
	keeper   *Keeper
	anteroom store.Group
	valueAt  func(record []byte) int
}

// translation is what one Apply becomes.
type translation struct {
	// spills are the values that go into the anteroom, and notes of what is to be done.
	changes, spills []core.Change
	// latest is the reference that the changes so far leave at a key, if they touch it.
	latest map[string]kv.Reference
	placed []Place // to be uploaded
	wanted []Place // to be fetched
	doomed []Place
}

// Apply makes the changes together, with references in the place of long values. What they replace is doomed.
func (g *Group) Apply(changes []core.Change) error {
	t := translation{changes: make([]core.Change, 0, len(changes)), latest: map[string]kv.Reference{}}
	swept, anew := false, false
	for i := range changes {
		c := &changes[i]
		data := len(c.Key) > 0 && c.Key[0] == dataKind
		switch {
		case c.Kind == core.Put && data:
			g.put(&t, *c, true)
		case c.Kind == core.Stage && data:
			g.put(&t, *c, false)
		case c.Kind == core.Delete && data:
			g.replace(&t, c.Key, kv.Reference{})
			t.changes = append(t.changes, *c)
		default:
			anew = anew || c.Kind == core.Install
			swept = swept || anew || c.Kind == core.DeleteRange && coversData(c)
			t.changes = append(t.changes, *c)
		}
	}
	if swept {
		g.keeper.sweepLater(g)
	}
	if t.spills = append(t.spills, t.notes(anew)...); len(t.spills) > 0 {
		if err := g.spill(&t); err != nil {
			return err
		}
		defer g.arrived(&t)
	}
	if err := g.Group.Apply(t.changes); err != nil {
		return err
	}
	g.keeper.applied(g, &t, anew)
	return nil
}

// coversData reports whether a range has room for clients' records.
func coversData(c *core.Change) bool {
	return bytes.Compare(c.Key, []byte{dataKind + 1}) < 0 && (c.End == nil || bytes.Compare(c.End, []byte{dataKind}) > 0)
}

// put translates a record that is written, or staged.
func (g *Group) put(t *translation, c core.Change, replaces bool) {
	at := g.valueAt(c.Value)
	value := c.Value[at:]
	ref, came := kv.ParseReference(value)
	if !came && len(value) > g.keeper.options.InsideMax {
		ref = kv.Refer(value)
		place := Place{g.id, string(c.Key), ref}
		t.spills = append(t.spills, core.Change{Kind: core.Put, Key: spillKey(&place), Value: value})
		t.placed = append(t.placed, place)
		c.Value = ref.AppendTo(bytes.Clone(c.Value[:at]))
	}
	if replaces {
		old := g.replace(t, c.Key, ref)
		if came && old != ref {
			t.wanted = append(t.wanted, Place{g.id, string(c.Key), ref})
		}
	}
	t.changes = append(t.changes, c)
}

// replace dooms what stands at a key, unless it is what will stand there.
func (g *Group) replace(t *translation, key []byte, next kv.Reference) (old kv.Reference) {
	old, touched := t.latest[string(key)]
	if !touched {
		old = g.at(key)
	}
	t.latest[string(key)] = next
	if old != next && old != (kv.Reference{}) {
		t.doomed = append(t.doomed, Place{g.id, string(key), old})
	}
	return old
}

// at is the reference that stands at a key; zero: none.
func (g *Group) at(key []byte) (ref kv.Reference) {
	if record, ok := g.Group.Get(key); ok {
		ref, _ = kv.ParseReference(record[g.valueAt(record):])
	}
	return ref
}

func (g *Group) holds(p *Place) bool { return g.at([]byte(p.Key)) == p.Ref }

// walk calls f with each place that a view of the state refers to, from a key on, until f returns false.
func (g *Group) walk(view core.View, from []byte, f func(p Place) bool) {
	if from == nil {
		from = []byte{dataKind}
	}
	view.Scan(from, []byte{dataKind + 1}, func(key, record []byte) bool {
		ref, is := kv.ParseReference(record[g.valueAt(record):])
		return !is || f(Place{g.id, string(key), ref})
	})
}

// spillKey is where a value waits: the state's key, then the hash, so that a key's values do not meet.
func spillKey(p *Place) []byte { return append([]byte(p.Key), p.Ref.Sum[:]...) }

// spilled is a value that waits.
func (g *Group) spilled(p *Place) ([]byte, bool) { return g.anteroom.Get(spillKey(p)) }

// spill puts values onto the disk that the state is about to refer to, and notes. Until arrived is called none of them counts as what nothing
// refers to: else whoever removes such a value could take away what was written again.
func (g *Group) spill(t *translation) error {
	g.keeper.anterooms.Lock()
	defer g.keeper.anterooms.Unlock()
	for _, p := range t.placed {
		g.keeper.arriving[p] = true
	}
	return g.anteroom.Apply(t.spills)
}

func (g *Group) arrived(t *translation) {
	g.keeper.anterooms.Lock()
	defer g.keeper.anterooms.Unlock()
	for _, p := range t.placed {
		delete(g.keeper.arriving, p)
	}
}

// discard takes a value off the disk; false: the state refers to it, or is about to.
func (g *Group) discard(p *Place) (bool, error) {
	g.keeper.anterooms.Lock()
	defer g.keeper.anterooms.Unlock()
	if g.keeper.arriving[*p] || g.holds(p) {
		return false, nil
	}
	return true, g.anteroom.Apply([]core.Change{{Kind: core.Delete, Key: spillKey(p)}})
}

// changeAnteroom is called by the replica's goroutine and by those that upload.
func (g *Group) changeAnteroom(changes []core.Change) error {
	g.keeper.anterooms.Lock()
	defer g.keeper.anterooms.Unlock()
	return g.anteroom.Apply(changes)
}

func (g *Group) unspill(p *Place) error {
	return g.changeAnteroom([]core.Change{{Kind: core.Delete, Key: spillKey(p)}})
}
