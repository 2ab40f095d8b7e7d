package machine

import (
	"bytes"
	"slices"

	"github.com/gamutdb/gamut/core"
)

// overlay ranges over the state as a command sees it: with the changes that earlier commands of its log entry made.
type overlay struct{ m *Machine }

// Scan merges the changes of this entry into the state, in the order of keys.
func (v *overlay) Scan(from, to []byte, f func(key, value []byte) bool) {
	changed, goes := v.m.latest(from, to), true
	first := func(until []byte) {
		for goes && len(changed) > 0 && (until == nil || bytes.Compare(changed[0].Key, until) < 0) {
			c := changed[0]
			changed = changed[1:]
			goes = c.Kind != core.Put || f(c.Key, c.Value)
		}
	}
	if !v.m.wiped {
		v.m.view.Scan(from, to, func(key, value []byte) bool {
			if first(key); !goes {
				return false
			}
			if len(changed) > 0 && bytes.Equal(changed[0].Key, key) {
				return true // the change stands in its place
			}
			goes = f(key, value)
			return goes
		})
	}
	first(nil)
}

// latest are the last changes of this entry to each data key of a range, in the order of keys.
func (m *Machine) latest(from, to []byte) []*core.Change {
	var list []*core.Change
	for i := m.cleared; i < len(m.changes); i++ {
		c := &m.changes[i]
		if c.Kind != core.DeleteRange && bytes.Compare(c.Key, from) >= 0 && bytes.Compare(c.Key, to) < 0 {
			list = append(list, c)
		}
	}
	slices.SortStableFunc(list, func(a, b *core.Change) int { return bytes.Compare(a.Key, b.Key) })
	last := list[:0]
	for i, c := range list {
		if i+1 == len(list) || !bytes.Equal(c.Key, list[i+1].Key) {
			last = append(last, c)
		}
	}
	return last
}
