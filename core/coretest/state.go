package coretest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/gamutdb/gamut/core"
)

// State is a group's state in a map.
type State struct{ Pairs, Staged map[string][]byte }

// NewState is an empty one.
func NewState() *State { return &State{map[string][]byte{}, map[string][]byte{}} }

// Get implements core.View.
func (s *State) Get(key []byte) ([]byte, bool) {
	v, ok := s.Pairs[string(key)]
	return bytes.Clone(v), ok
}

// Scan implements core.View.
func (s *State) Scan(from, to []byte, f func(key, value []byte) bool) {
	for _, k := range slices.Sorted(maps.Keys(s.Pairs)) {
		if k >= string(from) && (to == nil || k < string(to)) && !f([]byte(k), s.Pairs[k]) {
			return
		}
	}
}

// Snapshot implements core.View.
func (s *State) Snapshot() core.Snapshot { return &State{Pairs: maps.Clone(s.Pairs)} }

// Close implements core.Snapshot.
func (s *State) Close() {}

// Clone copies what is in the state, and what is staged.
func (s *State) Clone() *State { return &State{maps.Clone(s.Pairs), maps.Clone(s.Staged)} }

// installed is what a crash leaves of a state: nothing that is staged.
func (s *State) installed() *State { return &State{maps.Clone(s.Pairs), map[string][]byte{}} }

// Apply changes the state. What is staged in one step must come in byte order, as a store wants it.
func (s *State) Apply(changes []core.Change) {
	last := ""
	for _, c := range changes {
		switch c.Kind {
		case core.Put:
			s.Pairs[string(c.Key)] = bytes.Clone(c.Value)
		case core.Delete:
			delete(s.Pairs, string(c.Key))
		case core.DeleteRange:
			maps.DeleteFunc(s.Pairs, func(k string, _ []byte) bool {
				return k >= string(c.Key) && (c.End == nil || k < string(c.End))
			})
		case core.Stage:
			if string(c.Key) <= last {
				panic(fmt.Sprintf("staged %q after %q", c.Key, last))
			}
			last = string(c.Key)
			s.Staged[last] = bytes.Clone(c.Value)
		case core.Unstage:
			clear(s.Staged)
		case core.Install:
			s.Pairs, s.Staged = s.Staged, map[string][]byte{}
		}
	}
}
