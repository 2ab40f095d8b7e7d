package outside

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/gamutdb/gamut/values"
)

type memcached struct {
	host   string
	client *memcache.Client
	slots  slots
}

func openMemcached(u *url.URL) (Store, error) {
	if u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("the address %s says more than host and port; memcached has no users and no databases", u.Redacted())
	}
	client := memcache.NewFromSelector(server(u.Host))
	client.Timeout, client.MaxIdleConns = callTimeout, connections
	return &memcached{u.Host, client, make(slots, connections)}, nil
}

// server is a list of one server. The client's own list wants to know its address at once; a name may have none yet.
type server string

func (s server) Network() string                         { return "tcp" }
func (s server) String() string                          { return string(s) }
func (s server) PickServer(string) (net.Addr, error)     { return s, nil }
func (s server) Each(f func(net.Addr) error) (err error) { return f(s) }

// Address is the store's kind and where it is.
func (m *memcached) Address() string { return "memcached://" + m.host }

// call takes its turn. Kept connections have ended if memcached was started anew: then all of them are dropped, and the call,
// which does no harm a second time, is made on a new one.
func (m *memcached) call(f func() error) error {
	defer m.slots.take()()
	err := f()
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		if err := m.client.Close(); err != nil {
			return err
		}
		err = f()
	}
	return err
}

// Get asks for a value.
func (m *memcached) Get(name string) ([]byte, error) {
	var item *memcache.Item
	err := m.call(func() (err error) { item, err = m.client.Get(name); return err })
	switch {
	case errors.Is(err, memcache.ErrCacheMiss):
		return nil, values.ErrMissing
	case err != nil:
		return nil, fmt.Errorf("%s: get: %w", m.Address(), err)
	}
	return item.Value, nil
}

// Put stores a value without an end.
func (m *memcached) Put(name string, value []byte) error {
	err := m.call(func() error { return m.client.Set(&memcache.Item{Key: name, Value: value}) })
	switch {
	case err == nil:
		return nil
	case strings.Contains(err.Error(), "object too large"):
		return fmt.Errorf("%s: %w", m.Address(), values.ErrTooLong)
	case strings.Contains(err.Error(), "out of memory"):
		return fmt.Errorf("%s: %w", m.Address(), values.ErrFull)
	}
	return fmt.Errorf("%s: set: %w", m.Address(), err)
}

// Delete removes a value.
func (m *memcached) Delete(name string) error {
	if err := m.call(func() error { return m.client.Delete(name) }); err != nil && !errors.Is(err, memcache.ErrCacheMiss) {
		return fmt.Errorf("%s: delete: %w", m.Address(), err)
	}
	return nil
}

// Evicts asks memcached for its settings, which the client has no call for.
func (m *memcached) Evicts() string {
	conn, err := net.DialTimeout("tcp", m.host, dialTimeout)
	if err != nil {
		return ""
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(callTimeout)); err != nil {
		return ""
	}
	if _, err := conn.Write([]byte("stats settings\r\n")); err != nil {
		return ""
	}
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		switch lines.Text() {
		case "END":
			return ""
		case "STAT evictions on":
			return "memcached drops values when it is full; start it with -M"
		}
	}
	return ""
}

// Close ends the connections.
func (m *memcached) Close() error { return m.client.Close() }
