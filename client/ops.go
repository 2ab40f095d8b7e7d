package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	doorhttp "github.com/gamutdb/gamut/door/http"
	"github.com/gamutdb/gamut/kv"
)

// Record is a key with what belongs to it.
type Record struct {
	Key   string
	Value []byte
	// Version grows with every change of the record.
	Version uint64
	Flags   uint32
	// Expires is when the key ends; zero: never.
	Expires time.Time
	// Members are those of a set, which a scan may come upon; it has no value. Set.Members reads one.
	Members []string
	// Siblings is how many values the key has beside this one, the newest; Context is what the read has seen, see Replacing. Both are
	// there in keyspaces that keep siblings.
	Siblings int
	Context  string
}

// Get reads a key; ErrNotFound if it is not there.
func (k *Keyspace) Get(ctx context.Context, key string, options ...Option) (Record, error) {
	a, err := k.send(ctx, k.request(http.MethodGet, key, options))
	if err != nil {
		return Record{}, err
	}
	r := Record{Key: key, Value: a.body, Version: a.version()}
	flags, err := strconv.ParseUint(a.header.Get(doorhttp.HeaderFlags), 10, 32)
	if err != nil {
		return Record{}, fmt.Errorf("key %q: flags of the answer: %w", key, err)
	}
	r.Flags = uint32(flags)
	if text := a.header.Get(doorhttp.HeaderExpires); text != "" {
		if r.Expires, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return Record{}, fmt.Errorf("key %q: expiry of the answer: %w", key, err)
		}
	}
	return r, r.learnSiblings(a.header)
}

// Put stores a value and returns its version.
func (k *Keyspace) Put(ctx context.Context, key string, value []byte, options ...Option) (version uint64, err error) {
	q := k.request(http.MethodPut, key, options)
	q.body = value
	a, err := k.send(ctx, q)
	return a.version(), err
}

// CAS stores a value if the key has a version, or with version 0 if it is not there; ErrCondition if not.
func (k *Keyspace) CAS(ctx context.Context, key string, version uint64, value []byte, options ...Option) (uint64, error) {
	return k.With(IfVersion(version)).Put(ctx, key, value, options...)
}

// Delete removes a key. ErrNotFound says that it was not there, in keyspaces that know; with IfVersion, ErrCondition that it
// has another version.
func (k *Keyspace) Delete(ctx context.Context, key string, options ...Option) error {
	_, err := k.send(ctx, k.request(http.MethodDelete, key, options))
	return err
}

// Incr adds to a counter, which begins at 0, and returns its value.
func (k *Keyspace) Incr(ctx context.Context, key string, by int64, options ...Option) (int64, error) {
	q := k.request(http.MethodPost, key, options)
	q.query = url.Values{"op": {"incr"}, "by": {strconv.FormatInt(by, 10)}}
	a, err := k.send(ctx, q)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(string(a.body), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("counter %q: %w", key, err)
	}
	return n, nil
}

// Info is what the cluster says of the keyspace: its promise, its options, and where it lives.
func (k *Keyspace) Info(ctx context.Context) (kv.KeyspaceInfo, error) {
	p, err := k.client.place(ctx, k.name)
	if err != nil {
		return kv.KeyspaceInfo{}, outcome("keyspace "+k.name, err, false)
	}
	return p.info, nil
}
