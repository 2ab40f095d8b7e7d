package referee

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/gamutdb/gamut/kv"
)

// small draws a tiny history in which reads show anything that was ever written, so that most are broken in some way.
// Versions follow a random order of each key's writes.
func small(t *rapid.T) History {
	var h History
	version := map[string]uint64{}
	for client := range 3 {
		at := int64(0)
		for range rapid.IntRange(0, 3).Draw(t, "operations") {
			o := Op{Client: client, Key: rapid.SampledFrom([]string{"x", "y"}).Draw(t, "key"), Kind: Get, Outcome: Done}
			o.Call = at + 1 + rapid.Int64Range(0, 8).Draw(t, "pause")
			o.Return = o.Call + rapid.Int64Range(1, 30).Draw(t, "span")
			at = o.Return
			if rapid.Bool().Draw(t, "write") {
				version[o.Key]++
				o.Kind, o.Version = Set, version[o.Key]
				o.Value = string(rune('a' + len(h)))
			}
			h = append(h, o)
		}
	}
	for i := range h {
		if h[i].Kind != Get {
			continue
		}
		h[i].Code = kv.NotFound
		sources := []int{-1}
		for j := range h {
			if h[j].Kind == Set && h[j].Key == h[i].Key {
				sources = append(sources, j)
			}
		}
		if j := rapid.SampledFrom(sources).Draw(t, "source"); j >= 0 {
			h[i].Code, h[i].Got, h[i].Version = kv.OK, h[j].Value, h[j].Version
		}
	}
	h.Sort()
	return h
}

// fits searches all orders of the operations, as a definition would have it: each read shows the last write, versions
// grow, and what must come before does.
func fits(h History, before func(a, b *Op) bool) bool {
	done := make([]bool, len(h))
	var search func(left int, now map[string]uint64) bool
	search = func(left int, now map[string]uint64) bool {
		if left == 0 {
			return true
		}
		for i := range h {
			o := &h[i]
			ready := !done[i] && ((o.Kind == Set && o.Version == now[o.Key]+1) || (o.Kind == Get && o.Version == now[o.Key]))
			for j := range h {
				ready = ready && (done[j] || !before(&h[j], o))
			}
			if !ready {
				continue
			}
			was := now[o.Key]
			done[i], now[o.Key] = true, o.Version
			if search(left-1, now) {
				return true
			}
			done[i], now[o.Key] = false, was
		}
		return false
	}
	return search(len(h), map[string]uint64{})
}

func inSession(a, b *Op) bool  { return a.Client == b.Client && a.Return <= b.Call && a.ID != b.ID }
func inRealTime(a, b *Op) bool { return a.Return < b.Call }
func wrote(w, r *Op) bool      { return w.Kind == Set && r.Kind == Get && r.Got != "" && w.Value == r.Got }
func fromFuture(h History) bool {
	return pairs(h, func(w, r *Op) bool { return wrote(w, r) && w.Call > r.Return })
}

// pairs reports whether some two operations are in a relation.
func pairs(h History, in func(a, b *Op) bool) bool {
	for i := range h {
		for j := range h {
			if in(&h[i], &h[j]) {
				return true
			}
		}
	}
	return false
}

// closed is the transitive closure of a relation.
func closed(h History, in func(a, b *Op) bool) [][]bool {
	m := make([][]bool, len(h))
	for i := range h {
		m[i] = make([]bool, len(h))
		for j := range h {
			m[i][j] = in(&h[i], &h[j])
		}
	}
	for k := range h {
		for i := range h {
			for j := range h {
				m[i][j] = m[i][j] || (m[i][k] && m[k][j])
			}
		}
	}
	return m
}

// isCausal looks for the bad patterns word by word, over all operations.
func isCausal(h History) bool {
	co := closed(h, func(a, b *Op) bool { return inSession(a, b) || wrote(a, b) })
	conflict := func(a, b *Op) bool {
		return pairs(h, func(r, _ *Op) bool {
			return a.Kind == Set && a.ID != b.ID && a.Key == r.Key && wrote(b, r) && co[a.ID][r.ID]
		})
	}
	versions := func(a, b *Op) bool { return a.Kind == Set && b.Kind == Set && a.Key == b.Key && a.Version < b.Version }
	all := closed(h, func(a, b *Op) bool { return co[a.ID][b.ID] || conflict(a, b) || versions(a, b) })
	for i := range h {
		if all[i][i] {
			return false
		}
	}
	return !pairs(h, func(w, r *Op) bool {
		return w.Kind == Set && r.Kind == Get && w.Key == r.Key && r.Code == kv.NotFound && co[w.ID][r.ID]
	})
}

// TestCheckersAgreeWithDefinitions compares the checkers, which are fast, with definitions, which are plain.
func TestCheckersAgreeWithDefinitions(t *testing.T) {
	found := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		h := small(t)
		future := fromFuture(h)
		for check, want := range map[string]bool{
			"sequential":          !future && fits(h, inSession),
			"strict-serializable": !future && fits(h, inRealTime),
			"linearizable":        fits(h, inRealTime),
			"causal":              !future && isCausal(h),
			"read-your-writes": !pairs(h, func(w, r *Op) bool {
				return w.Kind == Set && r.Kind == Get && w.Key == r.Key && inSession(w, r) && r.Version < w.Version
			}) || future,
			"monotonic-reads": !pairs(h, func(a, b *Op) bool {
				return a.Kind == Get && b.Kind == Get && a.Key == b.Key && inSession(a, b) && b.Version < a.Version
			}) || future,
		} {
			c, _ := CheckerNamed(check)
			v := c.Check(&Run{History: h})
			if future && (check == "read-your-writes" || check == "monotonic-reads") {
				continue // a read from the future is not theirs to judge
			}
			if v.OK() != want || v.Decision == Undecided {
				t.Fatalf("%v by its definition, but %s\nin %v", want, v, h)
			}
			if err := proven(&v); err != nil {
				t.Fatalf("%v in %s", err, v)
			}
			if v.OK() {
				found[check]++
			} else {
				found["not "+check]++
			}
		}
	})
	t.Log(found)
}
