package values

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/cespare/xxhash/v2"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/store"
)

// Options of a Keeper.
type Options struct {
	Store Store
	// Scope begins every name in the store: other disks may share it.
	Scope string
	// InsideMax is the longest value in bytes that stays in the state. Default kv.InsideMax.
	InsideMax int
	// Grace is how long a value stays that the state refers to no more: who has read the reference has that long to fetch it.
	// Default 15 s.
	Grace core.Time
	// Inside is how long a value stays inside after the store took it: replicas that came by the reference alone have that long
	// to fetch it before it hangs on the store. Default 3 s.
	Inside core.Time
	// Again is after how long a store is given a value once more that it had taken and did not give back. Default 30 s.
	Again core.Time
	// Pause is how long a store is left alone that did not answer, or had no room. Default 1 s.
	Pause core.Time
	// Now is a monotonic clock.
	Now func() core.Time
	// Mutation plants a bug for the simulator's canaries. 0: none.
	Mutation Mutation
}

// Mutation is a bug.
type Mutation uint8

// TrustStore serves what the store gives, whatever that is.
const TrustStore Mutation = 1

// Keeper keeps the long values of the groups of one node in one Store. Its methods may be called from any goroutine.
type Keeper struct {
	options Options
	// anterooms guards the changes of all anterooms, and arriving: values that were put there, and to which the state refers at the
	// end of the Apply that is under way. Reads of anterooms need no guard.
	anterooms sync.Mutex
	arriving  map[Place]bool
	// keys are held, by the key's hash, over a look at the state and what is done about it: else a value could be removed that
	// was written again in between.
	keys [64]sync.Mutex

	mu      sync.Mutex
	groups  map[core.GroupID]*Group
	waiting []Place
	// stored are values that the store has taken and that still lie inside; evicted, those that it did not give back; doomed,
	// those that nothing refers to.
	stored, evicted, doomed []dated
	sweeps                  []sweep
	wanted                  []Place
	// anew are groups of which any value may be missing.
	anew []core.GroupID
	// seeking counts the searches under way, by group.
	seeking map[core.GroupID]int
	// awayUntil and fullUntil are when the store is tried again.
	awayUntil, fullUntil core.Time
	stats                Stats
	// checked says that a store which takes nothing was found out to hold nothing.
	checked bool
	wake    chan struct{}
}

// dated is a value about which something is to be done from then on.
type dated struct {
	Place
	at core.Time
}

// sweep is a state as it was before all of it was replaced, or a range taken out.
type sweep struct {
	group *Group
	view  core.Snapshot
	at    core.Time
}

// Stats are counters since the start, and how things stand.
type Stats struct {
	// Hits and Misses count what the store was asked for; Wrong, what it gave that was not the value.
	Hits, Misses, Wrong uint64
	// Inside counts reads of values that had not left the disk. Errors counts calls of the store that failed.
	Inside, Errors uint64
	// Stored and Removed count values put and deleted; TooLong, values that the store never takes.
	Stored, Removed, TooLong uint64
	// Refetched counts values that came from other replicas; Lost, searches that found a value nowhere.
	Refetched, Lost uint64
	// Evicted counts values that a read found nowhere, and whose keys were deleted for that.
	Evicted uint64
	// Waiting are the values that the store has still to take; Settling, those that it took, and that lie inside for a while yet.
	Waiting, Settling int
	// Trouble is why the store is left alone; empty: it works.
	Trouble string
}

// NewKeeper makes a keeper without groups.
func NewKeeper(o Options) *Keeper {
	if o.InsideMax == 0 {
		o.InsideMax = kv.InsideMax
	}
	if o.Grace == 0 {
		o.Grace = core.Time(15e9)
	}
	if o.Inside == 0 {
		o.Inside = core.Time(3e9)
	}
	if o.Again == 0 {
		o.Again = core.Time(30e9)
	}
	if o.Pause == 0 {
		o.Pause = core.Time(1e9)
	}
	return &Keeper{options: o, groups: map[core.GroupID]*Group{}, arriving: map[Place]bool{}, seeking: map[core.GroupID]int{}, wake: make(chan struct{}, 1)}
}

// Group is the state of a group whose values are kept here, once it was given to Open. valueAt says where the value begins in
// one of its records.
func (k *Keeper) Group(id core.GroupID, state, anteroom store.Group, valueAt func(record []byte) int) *Group {
	return &Group{Group: state, id: id, keeper: k, anteroom: anteroom, valueAt: valueAt}
}

// Open begins to look after a group, and takes up what waited in its anteroom, and what was noted there, when the node ended.
func (k *Keeper) Open(g *Group) {
	l := g.recall()
	k.mu.Lock()
	k.groups[g.id] = g
	k.waiting, k.wanted, k.doomed = append(k.waiting, l.waiting...), append(k.wanted, l.wanted...), append(k.doomed, l.doomed...)
	k.mu.Unlock()
	if l.anew {
		k.Doubt(g.id)
	}
	k.signal()
}

// Forget ends a group. What the store has of it is removed later, going by the state as it is now.
func (k *Keeper) Forget(id core.GroupID) {
	k.mu.Lock()
	g := k.groups[id]
	delete(k.groups, id)
	k.mu.Unlock()
	if g != nil {
		k.sweepLater(g)
	}
}

func (k *Keeper) group(id core.GroupID) *Group {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.groups[id]
}

// Wake tells that there may be something for Next, Wanted or Anew.
func (k *Keeper) Wake() <-chan struct{} { return k.wake }

func (k *Keeper) signal() {
	select {
	case k.wake <- struct{}{}:
	default: // it has been told
	}
}

func (k *Keeper) sweepLater(g *Group) {
	s := sweep{g, g.Group.Snapshot(), k.options.Now() + k.options.Grace}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sweeps = append(k.sweeps, s)
}

// applied takes note of what an Apply has changed.
func (k *Keeper) applied(g *Group, t *translation, anew bool) {
	at := k.options.Now() + k.options.Grace
	k.mu.Lock()
	k.waiting = append(k.waiting, t.placed...)
	k.wanted = append(k.wanted, t.wanted...)
	for _, p := range t.doomed {
		k.doomed = append(k.doomed, dated{p, at})
	}
	if anew && !slices.Contains(k.anew, g.id) {
		k.anew = append(k.anew, g.id)
	}
	k.mu.Unlock()
	if len(t.placed)+len(t.wanted) > 0 || anew {
		k.signal()
	}
}

// name is what a value is called in the store.
func (k *Keeper) name(p *Place) string {
	sum := sha256.Sum256(spillKey(p))
	return fmt.Sprintf("%s:%x:%s", k.options.Scope, uint64(p.Group), base64.RawURLEncoding.EncodeToString(sum[:18]))
}

func (k *Keeper) lock(p *Place) *sync.Mutex {
	m := &k.keys[xxhash.Sum64String(p.Key)%uint64(len(k.keys))]
	m.Lock()
	return m
}

// Next takes a value that the store should be given; ok is false while there is none, or the store takes none.
func (k *Keeper) Next() (p Place, ok bool) {
	now := k.options.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case now < max(k.awayUntil, k.fullUntil):
		return p, false
	case len(k.waiting) == 0:
		return k.due(&k.evicted)
	}
	p, k.waiting = k.waiting[0], k.waiting[1:]
	return p, true
}

// Upload gives the store a value that waits. It stays inside until Settle has seen that the store has it.
func (k *Keeper) Upload(p Place) error {
	g := k.group(p.Group)
	if g == nil {
		return nil
	}
	defer k.lock(&p).Unlock()
	value, waits := g.spilled(&p)
	switch {
	case !waits:
		return nil
	case !g.holds(&p):
		k.doom(p) // it may be what a crash left over
		return nil
	}
	err := k.options.Store.Put(k.name(&p), value)
	switch {
	case err == nil:
		k.mu.Lock()
		defer k.mu.Unlock()
		k.stats.Stored++
		k.stats.Trouble = ""
		k.stored = append(k.stored, dated{p, k.options.Now() + k.options.Inside})
		return nil
	case errors.Is(err, ErrInside):
		return nil
	case errors.Is(err, ErrTooLong):
		k.count(func(s *Stats) { s.TooLong++ })
		return nil
	}
	k.away(err)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.waiting = append(k.waiting, p)
	return nil
}

func (k *Keeper) doom(p Place) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.doomed = append(k.doomed, dated{p, k.options.Now() + k.options.Grace})
}

// due takes the first of a list whose time has come, unless the store is away. k.mu is held.
func (k *Keeper) due(list *[]dated) (p Place, ok bool) {
	now := k.options.Now()
	if now < k.awayUntil || len(*list) == 0 || (*list)[0].at > now {
		return p, false
	}
	p, *list = (*list)[0].Place, (*list)[1:]
	return p, true
}

// Due takes a value that nothing refers to any more; ok is false while there is none.
func (k *Keeper) Due() (p Place, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.due(&k.doomed)
}

// Stored takes a value that the store took a while ago; ok is false while there is none.
func (k *Keeper) Stored() (p Place, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.due(&k.stored)
}

// Settle takes a value from the disk that the store gives back as it was. If it does not, the value waits once more.
func (k *Keeper) Settle(p Place) error {
	g := k.group(p.Group)
	if g == nil {
		return nil
	}
	defer k.lock(&p).Unlock()
	if _, inside := g.spilled(&p); !inside {
		return nil
	}
	v, err := k.options.Store.Get(k.name(&p))
	if err == nil && (p.Ref.Names(v) || k.options.Mutation == TrustStore) {
		return g.unspill(&p)
	}
	if err != nil && !errors.Is(err, ErrMissing) {
		k.away(err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.evicted = append(k.evicted, dated{p, k.options.Now() + k.options.Again})
	return nil
}

// Remove takes a value out of the store, unless the state refers to it after all.
func (k *Keeper) Remove(p Place) error {
	defer k.lock(&p).Unlock()
	g := k.group(p.Group)
	if g != nil {
		if discarded, err := g.discard(&p); err != nil {
			return err
		} else if !discarded {
			return g.forgetNote(noteKey(doomedNote, &p))
		}
	}
	if err := k.options.Store.Delete(k.name(&p)); err != nil {
		k.away(err)
		k.doom(p)
		return nil
	}
	k.count(func(s *Stats) { s.Removed++ })
	if g == nil {
		return nil
	}
	return g.forgetNote(noteKey(doomedNote, &p))
}

// Sweep removes what states of before referred to; it reports whether there was one to look at.
func (k *Keeper) Sweep() (bool, error) {
	now := k.options.Now()
	k.mu.Lock()
	if len(k.sweeps) == 0 || k.sweeps[0].at > now {
		k.mu.Unlock()
		return false, nil
	}
	s := k.sweeps[0]
	k.sweeps = k.sweeps[1:]
	k.mu.Unlock()
	defer s.view.Close()
	var err error
	s.group.walk(s.view, nil, func(p Place) bool {
		err = k.Remove(p)
		return err == nil
	})
	return true, err
}

// Close lets go of the states that were to be looked at.
func (k *Keeper) Close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range k.sweeps {
		s.view.Close()
	}
	k.sweeps = nil
}

func (k *Keeper) count(change func(*Stats)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change(&k.stats)
}

// away leaves the store alone for a while, after a call that failed.
func (k *Keeper) away(err error) {
	until := k.options.Now() + k.options.Pause
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stats.Trouble = err.Error(); errors.Is(err, ErrFull) {
		k.fullUntil = until
		return
	}
	k.stats.Errors++
	k.awayUntil = until
}

// Stats says how things stand.
func (k *Keeper) Stats() Stats {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.stats
	s.Waiting, s.Settling = len(k.waiting)+len(k.evicted), len(k.stored)
	return s
}
