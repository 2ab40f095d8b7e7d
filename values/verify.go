package values

// Fault is what is wrong with a value that the state refers to.
type Fault uint8

// Faults.
const (
	// Missing: the store answers, and does not have it.
	Missing Fault = 1
	// Damaged: what the store gives in its place is something else.
	Damaged Fault = 2
	// NotAsked: the store does not answer.
	NotAsked Fault = 3
)

// Bad is a value that is not here as it should be.
type Bad struct {
	Place
	Fault Fault
}

// Verified is what Verify found.
type Verified struct {
	// Values and Bytes are how much was looked at.
	Values int
	Bytes  int64
	Bad    []Bad
	// Next is where to go on; nil: at the end.
	Next []byte
}

// Verify reads values that a group's state refers to, from a key on, and holds each against its reference: so many at most, and of so
// many bytes together, but one at least. It changes nothing.
func (k *Keeper) Verify(g *Group, from []byte, limit int, bytes int64) (v Verified) {
	var page []Place
	g.walk(g.Group, from, func(p Place) bool {
		if len(page) > 0 && (len(page) >= limit || v.Bytes+int64(p.Ref.Size) > bytes) {
			v.Next = []byte(p.Key)
			return false
		}
		page, v.Bytes = append(page, p), v.Bytes+int64(p.Ref.Size)
		return true
	})
	for _, p := range page {
		v.Values++
		if fault := k.fault(g, &p); fault != 0 && g.holds(&p) {
			v.Bad = append(v.Bad, Bad{p, fault})
		}
	}
	return v
}

// fault is what is wrong with a value; 0: nothing.
func (k *Keeper) fault(g *Group, p *Place) Fault {
	inside := func() bool {
		v, ok := g.spilled(p)
		return ok && p.Ref.Names(v)
	}
	if inside() {
		return 0
	}
	_, finding, damaged := k.ask(p)
	switch {
	case finding == Found || inside(): // it may have gone from one place to the other between the looks
		return 0
	case finding == Unasked:
		return NotAsked
	case damaged:
		return Damaged
	}
	return Missing
}
