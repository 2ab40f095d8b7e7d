package bayou

import (
	"github.com/cespare/xxhash/v2"

	"github.com/gamutdb/gamut/kv"
)

// recentSlots is how many stamps are remembered: a write that is late by some milliseconds meets few newer ones there.
const recentSlots = 8192

// recent tells of most keys, without a look at the state, that no write newer than a stamp has been applied to them: most writes of
// peers are a little older than the newest that is here, and replace what is there all the same. Each slot holds the highest stamp
// applied to any of the keys that fall into it, so what it says of one key is never too little.
type recent struct {
	slots *[recentSlots]kv.HLC
	// floor is the highest stamp applied before the slots were there.
	floor kv.HLC
}

// reset forgets all but that nothing newer than a stamp was applied.
func (t *recent) reset(floor kv.HLC) { *t = recent{floor: floor} }

// newest says that a write to a key is newer than any before it, for certain, and notes it.
func (t *recent) newest(key []byte, stamp kv.HLC) bool {
	if t.slots == nil {
		t.slots = new([recentSlots]kv.HLC)
	}
	slot := &t.slots[xxhash.Sum64(key)%recentSlots]
	if stamp <= *slot || stamp <= t.floor {
		return false
	}
	*slot = stamp
	return true
}
