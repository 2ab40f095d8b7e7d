package client

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	doorhttp "github.com/gamutdb/gamut/door/http"
	"github.com/gamutdb/gamut/kv"
)

// Option changes one operation.
type Option func(*request)

// Level asks for another level than the keyspace's own promise. What cannot be given is a *RefusedError that says why.
func Level(l kv.Level) Option {
	return func(r *request) {
		r.level = l
		r.header.Set(doorhttp.HeaderLevel, l.String())
	}
}

// Receipt has the answer say how it was given, into r.
func Receipt(r *kv.Receipt) Option {
	return func(q *request) {
		q.receipt = r
		q.header.Set(doorhttp.HeaderReceipt, "on")
	}
}

// TTL ends the key after a time, of at least a millisecond.
func TTL(d time.Duration) Option {
	return func(r *request) { r.header.Set(doorhttp.HeaderTTL, d.String()) }
}

// Flags are kept beside the value, as memcached clients see them.
func Flags(flags uint32) Option {
	return func(r *request) { r.header.Set(doorhttp.HeaderFlags, strconv.FormatUint(uint64(flags), 10)) }
}

// IfAbsent makes a write fail with ErrCondition if the key is there.
func IfAbsent() Option {
	return func(r *request) { r.header.Set("If-None-Match", "*") }
}

// IfPresent makes a write fail with ErrCondition or ErrNotFound if the key is not there.
func IfPresent() Option {
	return func(r *request) { r.header.Set("If-Match", "*") }
}

// IfVersion makes a write fail with ErrCondition if the key has another version; 0: if it is there.
func IfVersion(version uint64) Option {
	if version == 0 {
		return IfAbsent()
	}
	return func(r *request) { r.header.Set("If-Match", strconv.FormatUint(version, 10)) }
}

// request is one operation on a key.
type request struct {
	method string
	key    string
	query  url.Values
	header http.Header
	body   []byte

	level   kv.Level
	receipt *kv.Receipt
}

func (k *Keyspace) request(method, key string, options []Option) *request {
	r := &request{method: method, key: key, header: http.Header{}}
	for _, o := range k.options {
		o(r)
	}
	for _, o := range options {
		o(r)
	}
	return r
}

func (r *request) reads() bool { return r.method == http.MethodGet }

// anywhere says that any replica may answer: the level, or the keyspace's promise, asks for no leader.
func (r *request) anywhere(p *place) bool {
	if !p.led() {
		return true
	}
	if !r.reads() {
		return false
	}
	switch r.level.Kind() {
	case kv.LevelLinearizable:
		return false
	case kv.LevelDefault:
		return p.info.Consistency == kv.Sequential
	}
	return true
}
