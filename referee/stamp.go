package referee

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/gamutdb/gamut/kv"
)

// Stamp orders the writes of a store without a leader: by the hybrid logical clock of the node that took the write, then by the node.
type Stamp struct {
	Time   kv.HLC
	Origin uint32
}

// IsZero reports whether there is no stamp.
func (s Stamp) IsZero() bool { return s == Stamp{} }

// Compare is negative if s is older than t, positive if it is newer.
func (s Stamp) Compare(t Stamp) int {
	return cmp.Or(cmp.Compare(s.Time, t.Time), cmp.Compare(s.Origin, t.Origin))
}

// String is the stamp as milliseconds, counter within one, and origin: 1700000000000.5@2.
func (s Stamp) String() string {
	return fmt.Sprintf("%d.%d@%d", s.Time.UnixMilli(), uint16(s.Time), s.Origin)
}

// MarshalText is String: a number would lose digits in readers that take numbers for floating point.
func (s Stamp) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (s *Stamp) UnmarshalText(b []byte) error {
	clock, origin, ok := strings.Cut(string(b), "@")
	ms, count, ok2 := strings.Cut(clock, ".")
	if !ok || !ok2 {
		return fmt.Errorf("stamp %q is not of the form milliseconds.counter@origin", b)
	}
	m, err := strconv.ParseUint(ms, 10, 48)
	if err != nil {
		return fmt.Errorf("milliseconds of the stamp %q: %w", b, err)
	}
	n, err := strconv.ParseUint(count, 10, 16)
	if err != nil {
		return fmt.Errorf("counter of the stamp %q: %w", b, err)
	}
	o, err := strconv.ParseUint(origin, 10, 32)
	if err != nil {
		return fmt.Errorf("origin of the stamp %q: %w", b, err)
	}
	*s = Stamp{Time: kv.HLC(m<<16 | n), Origin: uint32(o)}
	return nil
}
