package values

import (
	"errors"
	"maps"
	"slices"

	"github.com/gamutdb/gamut/core"
)

// Finding is what a replica has of a value.
type Finding uint8

// Findings.
const (
	// Absent: the state refers to the value, and it is not there.
	Absent Finding = 0
	// Found: here it is.
	Found Finding = 1
	// Other: the state refers to another value of the key, or to none, and this one is not there.
	Other Finding = 2
	// Unasked: the state refers to the value, and the store that may have it does not answer.
	Unasked Finding = 3
)

// Read looks for a value here: among those that wait, then in the store. What does not match the reference is as good as
// missing.
func (k *Keeper) Read(p Place) ([]byte, Finding) {
	g := k.group(p.Group)
	if g == nil {
		return nil, Other
	}
	if v, ok := g.spilled(&p); ok && p.Ref.Names(v) {
		k.count(func(s *Stats) { s.Inside++ })
		return v, Found
	}
	v, finding := k.get(&p)
	if finding == Found {
		return v, Found
	}
	// It may have gone from one place to the other between the looks.
	if v, ok := g.spilled(&p); ok && p.Ref.Names(v) {
		return v, Found
	}
	if !g.holds(&p) {
		return nil, Other
	}
	return nil, finding
}

// get asks the store: Found, Absent or Unasked.
func (k *Keeper) get(p *Place) ([]byte, Finding) {
	v, finding, _ := k.ask(p)
	return v, finding
}

// ask is get; damaged says that what is absent is there, and is something else.
func (k *Keeper) ask(p *Place) (v []byte, finding Finding, damaged bool) {
	k.mu.Lock()
	away := k.options.Now() < k.awayUntil
	k.mu.Unlock()
	if away {
		return nil, Unasked, false
	}
	v, err := k.options.Store.Get(k.name(p))
	switch {
	case errors.Is(err, ErrMissing):
		k.count(func(s *Stats) { s.Misses++ })
		return nil, Absent, false
	case err != nil:
		k.away(err)
		return nil, Unasked, false
	case !p.Ref.Names(v) && k.options.Mutation != TrustStore:
		k.count(func(s *Stats) { s.Wrong++ })
		return nil, Absent, true
	}
	k.count(func(s *Stats) { s.Hits++ })
	return v, Found, false
}

// Restore takes a value that another replica had. It waits for the store like one that was written.
func (k *Keeper) Restore(p Place, value []byte) error {
	g := k.group(p.Group)
	if g == nil || !p.Ref.Names(value) {
		return nil
	}
	defer k.lock(&p).Unlock()
	if !g.holds(&p) {
		return nil
	}
	if err := g.changeAnteroom([]core.Change{{Kind: core.Put, Key: spillKey(&p), Value: value}}); err != nil {
		return err
	}
	k.mu.Lock()
	k.stats.Refetched++
	k.waiting = append(k.waiting, p)
	k.mu.Unlock()
	k.signal()
	return nil
}

// NoteLost counts a value that no replica has.
func (k *Keeper) NoteLost() { k.count(func(s *Stats) { s.Lost++ }) }

// NoteEvicted counts a key that was deleted because no replica has its value.
func (k *Keeper) NoteEvicted() { k.count(func(s *Stats) { s.Evicted++ }) }

// Wanted takes a value that the state came to refer to by a message, so that it may be missing here. Sought must follow.
func (k *Keeper) Wanted() (p Place, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.wanted) == 0 {
		return p, false
	}
	p, k.wanted = k.wanted[0], k.wanted[1:]
	k.seeking[p.Group]++
	return p, true
}

// Anew takes a group of which any value may be missing. Sought must follow.
func (k *Keeper) Anew() (id core.GroupID, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.anew) == 0 {
		return 0, false
	}
	id, k.anew = k.anew[0], k.anew[1:]
	k.seeking[id]++
	return id, true
}

// Ended forgets a value that Wanted gave: it is here, or the state does not refer to it, or nobody has it. Sought must follow.
func (k *Keeper) Ended(p Place) error {
	if g := k.group(p.Group); g != nil {
		return g.forgetNote(noteKey(wantedNote, &p))
	}
	return nil
}

// Filled forgets a group that Anew gave: no value is missing there that somebody has. Sought must follow.
func (k *Keeper) Filled(id core.GroupID) error {
	if g := k.group(id); g != nil {
		return g.forgetNote(anewKey)
	}
	return nil
}

// Sought ends the search for what Wanted or Anew gave.
func (k *Keeper) Sought(id core.GroupID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.seeking[id]--; k.seeking[id] == 0 {
		delete(k.seeking, id)
	}
}

// Holds reports whether the state refers to a value.
func (k *Keeper) Holds(p Place) bool {
	g := k.group(p.Group)
	return g != nil && g.holds(&p)
}

// Whole reports whether nothing is looked for that a group came to refer to by messages.
func (k *Keeper) Whole(id core.GroupID) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.groups[id] != nil && k.seeking[id] == 0 && !slices.Contains(k.anew, id) &&
		!slices.ContainsFunc(k.wanted, func(p Place) bool { return p.Group == id })
}

// missingPage is how many values one call of Missing looks at.
const missingPage = 128

// Missing lists values of a group that are not here, among some from a key on, and where to go on; nil: at the end.
func (k *Keeper) Missing(id core.GroupID, from []byte) (list []Place, next []byte) {
	g := k.group(id)
	if g == nil {
		return nil, nil
	}
	var page []Place
	g.walk(g.Group, from, func(p Place) bool {
		if len(page) == missingPage {
			next = []byte(p.Key)
			return false
		}
		page = append(page, p)
		return true
	})
	for _, p := range page {
		if _, finding := k.Read(p); finding == Absent || finding == Unasked {
			list = append(list, p)
		}
	}
	return list, next
}

// mark is what the store has under its own name as long as it loses nothing at large.
const mark = "here"

// Check finds out whether the store lost all that it had: what it was given first is gone. Then any value may be missing. It
// is to be called now and then, first before anything is read.
func (k *Keeper) Check() {
	name := k.options.Scope + ":mark"
	v, err := k.options.Store.Get(name)
	switch {
	case err == nil && string(v) == mark:
		k.mu.Lock()
		if k.options.Now() >= k.fullUntil {
			k.stats.Trouble = ""
		}
		k.mu.Unlock()
		return
	case err != nil && !errors.Is(err, ErrMissing):
		k.away(err)
		return
	}
	err = k.options.Store.Put(name, []byte(mark))
	inside := errors.Is(err, ErrInside)
	if err != nil && !inside {
		k.away(err)
		return
	}
	k.mu.Lock()
	if inside && k.checked {
		k.mu.Unlock()
		return
	}
	k.checked = true
	k.anew = slices.Sorted(maps.Keys(k.groups))
	k.mu.Unlock()
	k.signal()
}

// BringInside puts all that the store has back onto the disk, before a store that ends with this process does.
func (k *Keeper) BringInside() error {
	k.mu.Lock()
	groups := slices.Collect(maps.Values(k.groups))
	k.mu.Unlock()
	for _, g := range groups {
		var err error
		g.walk(g.Group, nil, func(p Place) bool {
			if v, finding := k.get(&p); finding == Found {
				err = g.changeAnteroom([]core.Change{{Kind: core.Put, Key: spillKey(&p), Value: v}})
			}
			return err == nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Doubt says that any value of a group may be missing.
func (k *Keeper) Doubt(id core.GroupID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !slices.Contains(k.anew, id) {
		k.anew = append(k.anew, id)
	}
}
