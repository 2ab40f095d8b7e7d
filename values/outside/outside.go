// Package outside speaks to the stores of others in which replicas keep their long values: memcached and Redis.
//
// It makes a values.Store of an address, by the clients that are used everywhere, and tells apart what the keeper of the values
// must: what is missing, what is too long for the store, what it has no room for now, and everything else.
//
// Others rely on this: every call ends within about a second, whatever the store does, and an address is judged without
// speaking to anyone.
//
// Start with Open.
package outside

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/gamutdb/gamut/values"
)

const (
	// callTimeout bounds one call: a value that takes longer is had sooner from another replica.
	callTimeout = 500 * time.Millisecond
	dialTimeout = 500 * time.Millisecond
	// connections is how many calls are made at once; others wait for their turn, which is no fault of the store.
	connections = 16
)

type slots chan struct{}

// take waits for a turn and returns what ends it.
func (s slots) take() func() {
	s <- struct{}{}
	return func() { <-s }
}

// Store is a values.Store on another process.
type Store interface {
	values.Store
	// Address is its kind and where it is, without what is secret.
	Address() string
	// Evicts says by which setting the store may drop values that it has taken; empty: it does not, or did not say.
	Evicts() string
	Close() error
}

// Open makes a store of an address such as memcached://127.0.0.1:11211 or redis://:password@127.0.0.1:6379/2. It does not
// connect yet. The error says what is wrong with the address.
func Open(address string) (Store, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("the address of the store cannot be read; give pebble, memory, memcached://host:port or redis://host:port")
	}
	var open func(*url.URL) (Store, error)
	port := ""
	switch u.Scheme {
	case "memcached":
		open, port = openMemcached, "11211"
	case "redis", "rediss":
		open, port = openRedis, "6379"
	default:
		return nil, fmt.Errorf("there is no store of the kind %q; give pebble, memory, memcached://host:port or redis://host:port", u.Scheme)
	}
	if u.Hostname() == "" {
		return nil, fmt.Errorf("the address %s names no host; give %s://host:port", u.Redacted(), u.Scheme)
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), port)
	}
	if n, err := strconv.Atoi(u.Port()); err != nil || n < 1 || n > 65535 {
		return nil, fmt.Errorf("the address %s: port %q is not from 1 to 65535", u.Redacted(), u.Port())
	}
	return open(u)
}
