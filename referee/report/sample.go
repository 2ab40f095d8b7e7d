package report

import "github.com/gamutdb/gamut/referee"

// What a page holds at most: with so many operations it still opens within a second or two, and a mail still takes it.
const (
	opsMax   = 50_000
	bytesMax = 24 << 20
)

// sample chooses what is drawn of a history that is too large, in order: the operations to keep, then those without an
// answer up to a quarter of the room, evenly, then the others, evenly. It uses no chance: equal runs make equal pages.
func sample(h referee.History, keep map[int]bool, ops, bytes int) referee.History {
	total := 0
	for i := range h {
		total += lineBytes(&h[i])
	}
	if total > bytes {
		ops = min(ops, int(int64(len(h))*int64(bytes)/int64(total)))
	}
	if len(h) <= ops {
		return h
	}
	var odd, plain []int
	for i := range h {
		switch {
		case keep[h[i].ID]:
		case h[i].Outcome != referee.Done:
			odd = append(odd, i)
		default:
			plain = append(plain, i)
		}
	}
	room := max(0, ops-len(keep))
	forOdd := min(len(odd), max(room/4, room-len(plain)))
	chosen := make([]bool, len(h))
	for i := range h {
		chosen[i] = keep[h[i].ID]
	}
	spread(chosen, odd, forOdd)
	spread(chosen, plain, min(len(plain), room-forOdd))
	var shown referee.History
	for i := range h {
		if chosen[i] {
			shown = append(shown, h[i])
		}
	}
	return shown
}

// spread chooses n of the places, evenly.
func spread(chosen []bool, places []int, n int) {
	for i := range n {
		chosen[places[i*len(places)/n]] = true
	}
}

// lineBytes is about what an operation takes in the page: its line, and its place in the columns.
func lineBytes(o *referee.Op) int {
	return 240 + len(o.Key) + len(o.Value) + len(o.Expect) + len(o.Got)
}
