package referee

import (
	"sort"

	"github.com/gamutdb/gamut/kv"
)

// CheckVersions judges whether each key's versions grow with real time: an operation that begins after another one has
// returned never shows an older version, a write never shows the version of another one, and one version never shows two values.
func CheckVersions(h History) Verdict {
	const check = "versions"
	names, byKey := h.keys()
	for _, key := range names {
		ops := versioned(byKey[key])
		if v, ok := backwards(check, key, ops); !ok {
			return v
		}
		if v, ok := shared(check, key, ops); !ok {
			return v
		}
	}
	return Verdict{Check: check, Decision: Holds, Judged: len(h)}
}

// versioned are the operations that tell the version of the record they found or made.
func versioned(h History) (ops []Op) {
	for _, o := range h {
		if o.Outcome == Done && o.Code == kv.OK && o.Version != 0 && o.Kind != Delete && (o.Kind.Writes() || strong(&o) && o.Level != "sequential") {
			ops = append(ops, o)
		}
	}
	return ops
}

// backwards looks for an operation with a smaller version than one that had returned before its call.
func backwards(check, key string, byCall []Op) (Verdict, bool) {
	byReturn := append([]Op{}, byCall...)
	sort.SliceStable(byReturn, func(i, j int) bool { return byReturn[i].Return < byReturn[j].Return })
	var newest *Op
	next := 0
	for _, o := range byCall {
		for next < len(byReturn) && byReturn[next].Return < o.Call {
			if newest == nil || byReturn[next].Version > newest.Version {
				newest = &byReturn[next]
			}
			next++
		}
		if newest != nil && (o.Version < newest.Version || (o.Version == newest.Version && o.Kind.Writes())) {
			return broken(check, key, []Op{*newest, o}, "#%d shows version %d after version %d had been shown", o.ID, o.Version, newest.Version), false
		}
	}
	return Verdict{}, true
}

// shared looks for two writes of one version, or two reads of it that differ.
func shared(check, key string, ops []Op) (Verdict, bool) {
	writes, reads := map[uint64]Op{}, map[uint64]Op{}
	for _, o := range ops {
		seen := reads
		if o.Kind.Writes() {
			seen = writes
		}
		other, ok := seen[o.Version]
		if ok && (o.Kind.Writes() || other.Got != o.Got) {
			return broken(check, key, []Op{other, o}, "version %d stands for two values", o.Version), false
		}
		seen[o.Version] = o
	}
	return Verdict{}, true
}
