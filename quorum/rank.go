package quorum

// rank is how many replicas of a set must answer.
type rank uint8

const (
	needOne rank = iota + 1
	needTwo
	needMajority
	needAll
	// needEvery is for records that some replicas lack: those, and nobody else.
	needEvery
)

// of is the number for a set of so many.
func (k rank) of(n int) int {
	switch k {
	case needOne:
		return 1
	case needTwo:
		return 2
	case needMajority:
		return n/2 + 1
	}
	return n
}

// met reports whether some replicas are enough of each set.
func (k rank) met(have mask, sets [2]mask) bool {
	for _, set := range sets {
		if set != 0 && (have&set).count() < k.of(set.count()) {
			return false
		}
	}
	return true
}

// wants reports whether one more replica brings it nearer.
func (k rank) wants(have mask, i int, sets [2]mask) bool {
	for _, set := range sets {
		if set.has(i) && (have&set).count() < k.of(set.count()) {
			return true
		}
	}
	return false
}
