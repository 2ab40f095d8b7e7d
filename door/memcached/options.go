package memcached

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/gamutdb/gamut/kv"
)

// Options of a Server. The zero value is usable.
type Options struct {
	// Keyspace is where keys without a bound prefix live; default "default".
	Keyspace string
	// Level is what all requests of this listener ask of their keyspaces: memcached's protocol has no word for it.
	// A bounded level is asked of reads alone.
	Level kv.Level
	// Prefixes binds key prefixes to keyspaces, such as "clicks:" to "clicks". The longest that fits decides; the key
	// keeps its prefix.
	Prefixes map[string]string
	// ConnectionsMax bounds the open connections; default 16384. One more is told so and closed.
	ConnectionsMax int
	// OutputMax bounds the bytes of values that wait for clients to read them, over all connections; default 128 MiB.
	// Beyond it gets of large values are refused as busy.
	OutputMax int64
	// InputMax bounds the bytes of half-received large commands over all connections; default 128 MiB.
	InputMax int64
	// Deadline is how long a command may take before it is answered as unknown; default 5 s.
	Deadline time.Duration
	// WriteTimeout is how long a client may take to read 64 KiB before it is cut off; default 5 s.
	WriteTimeout time.Duration
	// Observe, if set, is told of answered calls, those of a batch with the same outcome together, and how long they
	// took. It is called by all connections at once.
	Observe func(code kv.Code, calls int, took time.Duration)
	// Logger gets what operators should know; default: nothing is logged.
	Logger *slog.Logger
	// Version is what the version command answers; default "1.6.0-gamut".
	Version string
}

// writeLevel is what writes ask for: Level, unless that says how old what is read may be.
func (o *Options) writeLevel() kv.Level {
	if o.Level.Kind() == kv.LevelBounded {
		return kv.LevelDefault
	}
	return o.Level
}

// Validate checks the options and fills in the defaults.
func (o *Options) Validate() error {
	if o.ConnectionsMax < 0 || o.OutputMax < 0 || o.InputMax < 0 || o.Deadline < 0 || o.WriteTimeout < 0 {
		return errors.New("memcached door: limits and times cannot be negative; leave one out for its default")
	}
	setDefault(&o.Keyspace, "default")
	setDefault(&o.ConnectionsMax, 16384)
	setDefault(&o.OutputMax, 128<<20)
	setDefault(&o.InputMax, 128<<20)
	setDefault(&o.Deadline, 5*time.Second)
	setDefault(&o.WriteTimeout, 5*time.Second)
	setDefault(&o.Version, "1.6.0-gamut")
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	for prefix, keyspace := range o.Prefixes {
		if prefix == "" || keyspace == "" || !validKey([]byte(prefix)) {
			return fmt.Errorf("memcached door: the binding %q to keyspace %q: both need a name, the prefix one that can begin a key", prefix, keyspace)
		}
	}
	return nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// binding sends keys of a prefix to a keyspace.
type binding struct{ prefix, keyspace string }

// bindings are the options' prefixes, longest first, then the keyspace of all other keys.
func (o *Options) bindings() []binding {
	var list []binding
	for prefix, keyspace := range o.Prefixes {
		list = append(list, binding{prefix, keyspace})
	}
	slices.SortFunc(list, func(a, b binding) int {
		if d := len(b.prefix) - len(a.prefix); d != 0 {
			return d
		}
		return strings.Compare(a.prefix, b.prefix)
	})
	return append(list, binding{"", o.Keyspace})
}

// Keys and lines as memcached limits them.
const (
	keyMax = 250
	// lineMax bounds a command line; lineGetMax one that may name many keys.
	lineMax    = 2048
	lineGetMax = 1 << 20
	// valueLengthMax is the longest value that memcached would understand, be it ever so much too large.
	valueLengthMax = 1<<31 - 3
	valueMax       = kv.ValueMax
)

// Bounds of one round.
const (
	roundCalls = 1024
	roundBytes = 1 << 20
	// roundValues is how many bytes of values a round should read; one value may be larger.
	roundValues = 1 << 20
)
