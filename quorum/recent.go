package quorum

import (
	"bytes"

	"github.com/cespare/xxhash/v2"
)

// gist is what is to be known of a record to compare another one with it, and to sum it up. The zero value stands for none.
type gist struct {
	stamp   Stamp
	hash    uint64
	size    uint32 // of the record and its key
	deleted bool
}

func gistOf(key, record []byte) gist {
	if len(record) == 0 {
		return gist{}
	}
	return gist{StampOf(record), xxhash.Sum64(record), uint32(len(key) + len(record)), record[1]&recordDeleted != 0}
}

func (g *gist) none() bool { return g.size == 0 }

// recent keeps the gists of what the state shows for the keys that were written last: to read the state would be the dearest
// part of a write. The keys are in two generations; when the young one is full, the old one is forgotten.
//
// The invariant that accept relies on: a gist that find returns is that of the record that the state shows, or will when this
// Step's changes are applied.
type recent struct {
	young, old generation
}

// generation is a hash table without pointers, so that the garbage collector need not look at it.
type generation struct {
	// index has, by the lower half of a key's hash, the upper half and the place in list plus one; where that is taken, it is the
	// next. Its length is a power of two, and it is never full.
	index []uint64
	list  []seen
	keys  []byte
}

// seen is a gist; its key ends there in keys, and begins where the one before ends.
type seen struct {
	gist gist
	end  uint32
}

// recentKey is how many bytes a key has on average when a generation is full of them at last; longer ones fill it sooner.
const recentKey = 64

func (t *recent) find(key []byte, hash uint64) (g gist, ok bool) {
	one := t.young.find(key, hash)
	if one == nil {
		one = t.old.find(key, hash)
	}
	if one == nil {
		return gist{}, false
	}
	return one.gist, true
}

// put says what the state shows for a key from now on. keysMax is how many keys a generation holds.
func (t *recent) put(key []byte, hash uint64, g gist, keysMax int) {
	if one := t.young.find(key, hash); one != nil {
		one.gist = g
		return
	}
	if len(t.young.list) >= keysMax || len(t.young.keys) >= keysMax*recentKey {
		t.young, t.old = t.old, t.young
		t.young.reset()
	}
	t.young.add(key, hash, g)
}

// upper are the bits of a hash that stand in the index.
const upper = uint64(1<<32-1) << 32

func (t *generation) reset() {
	clear(t.index)
	t.list, t.keys = t.list[:0], t.keys[:0]
}

func (t *generation) find(key []byte, hash uint64) *seen {
	if len(t.index) == 0 {
		return nil
	}
	last := uint64(len(t.index) - 1)
	for at := hash & last; t.index[at] != 0; at = (at + 1) & last {
		if (t.index[at]^hash)&upper != 0 {
			continue // spares a look at the list and the keys, which are far apart in memory
		}
		if i := int(t.index[at]&^upper) - 1; bytes.Equal(t.key(i), key) {
			return &t.list[i]
		}
	}
	return nil
}

func (t *generation) key(i int) []byte {
	from := uint32(0)
	if i > 0 {
		from = t.list[i-1].end
	}
	return t.keys[from:t.list[i].end]
}

// add adds a key that is not there.
func (t *generation) add(key []byte, hash uint64, g gist) {
	t.keys = append(t.keys, key...)
	t.list = append(t.list, seen{g, uint32(len(t.keys))})
	if 2*len(t.list) > len(t.index) {
		t.index = make([]uint64, max(64, 2*len(t.index)))
		for i := range t.list {
			t.place(xxhash.Sum64(t.key(i)), i)
		}
		return
	}
	t.place(hash, len(t.list)-1)
}

func (t *generation) place(hash uint64, i int) {
	last := uint64(len(t.index) - 1)
	at := hash & last
	for t.index[at] != 0 {
		at = (at + 1) & last
	}
	t.index[at] = hash&upper | uint64(i+1)
}
