package live

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"github.com/gamutdb/gamut/lab"
)

// damage alters files of a stopped node. Where is drawn from the seed; what is drawn depends on what the files hold.
func damage(dir string, d lab.Damage) error {
	chance := random(d.Seed, uint64(d.Kind))
	switch d.Kind {
	case lab.LogBitFlip:
		return withFile(dir, "log/*.log", chance, flip)
	case lab.LogCut:
		return cutLog(dir, chance)
	case lab.StateBitFlip:
		return withFile(dir, "state/*.sst", chance, flip)
	}
	return fmt.Errorf("damage of kind %d: %w", d.Kind, lab.ErrCannot)
}

var errNothing = errors.New("there is nothing of that kind on the disk yet; write more, or let the node flush by stopping it in order")

// withFile draws one of the files that hold anything and alters it.
func withFile(dir, pattern string, chance *rand.Rand, alter func(content []byte, chance *rand.Rand)) error {
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, at := range chance.Perm(len(names)) {
		b, err := os.ReadFile(names[at])
		if err != nil {
			return err
		}
		if written := content(b); len(written) > 0 {
			alter(written, chance)
			return os.WriteFile(names[at], b, 0o644)
		}
	}
	return errNothing
}

// content is a file without the zeros that the writer of the log puts ahead of itself.
func content(b []byte) []byte { return bytes.TrimRight(b, "\x00") }

func flip(b []byte, chance *rand.Rand) { b[chance.IntN(len(b))] ^= 1 << chance.IntN(8) }

// cutMax is how much of the log a cut takes away at most.
const cutMax = 64 << 10

// cutLog takes the end of the newest segment away that holds anything.
func cutLog(dir string, chance *rand.Rand) error {
	names, err := filepath.Glob(filepath.Join(dir, "log", "*.log"))
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range slices.Backward(names) {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if n := len(content(b)); n > 0 {
			return os.Truncate(name, int64(n-1-chance.IntN(min(n, cutMax))))
		}
	}
	return errNothing
}
