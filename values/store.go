package values

import (
	"bytes"
	"errors"
	"sync"
)

// Store keeps values by name, and may lose or damage any of them at any time. Its methods may be called from any goroutine,
// and end within a time of their own.
type Store interface {
	// Get returns ErrMissing for a value that is not there.
	Get(name string) ([]byte, error)
	// Put returns ErrTooLong or ErrFull for a value that the store, or the store as it is now, has no room for, and ErrInside if it
	// never takes any.
	Put(name string, value []byte) error
	// Delete of a value that is not there does nothing.
	Delete(name string) error
}

var (
	// ErrMissing says that the store answered, and has no such value.
	ErrMissing = errors.New("there is no such value")
	// ErrTooLong says that the store never takes a value of that size.
	ErrTooLong = errors.New("the store takes no value of that size")
	// ErrFull says that the store has no room now.
	ErrFull = errors.New("the store has no room")
	// ErrInside says that values are to stay on the node's own disk.
	ErrInside = errors.New("values stay inside")
)

// Memory is a Store in the memory of this process. It loses everything with it.
type Memory struct {
	mu     sync.Mutex
	values map[string][]byte
	bytes  int64
	max    int64
}

// entryBytes is about what a value costs beside its own bytes and its name.
const entryBytes = 96

// NewMemory makes a store of at most max bytes.
func NewMemory(max int64) *Memory { return &Memory{values: map[string][]byte{}, max: max} }

// Get returns a copy.
func (m *Memory) Get(name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.values[name]
	if !ok {
		return nil, ErrMissing
	}
	return bytes.Clone(v), nil
}

// Put keeps a copy, if there is room.
func (m *Memory) Put(name string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	more := int64(len(value))
	if old, had := m.values[name]; had {
		more -= int64(len(old))
	} else {
		more += int64(len(name)) + entryBytes
	}
	if m.bytes+more > m.max {
		return ErrFull
	}
	m.bytes += more
	m.values[name] = bytes.Clone(value)
	return nil
}

// Delete forgets a value.
func (m *Memory) Delete(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if old, had := m.values[name]; had {
		m.bytes -= int64(len(old)+len(name)) + entryBytes
		delete(m.values, name)
	}
	return nil
}
