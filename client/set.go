package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	doorhttp "github.com/gamutdb/gamut/door/http"
	"github.com/gamutdb/gamut/kv"
)

// Set is a set at a key, which causal and eventual keyspaces have. Any node takes changes alone, and all are merged: a removal
// takes away what the node that took it had seen added, and nothing else, for good. So what is added while others remove it stays.
type Set struct {
	keyspace *Keyspace
	key      string
}

// Set names one of the keyspace's sets; nothing is asked. Keyspace.With and Keyspace.In say how its operations are done.
func (k *Keyspace) Set(key string) *Set { return &Set{k, key} }

// setBytesMax bounds what the members of one request come to in its address, which nodes take up to 32 KiB of with all headers.
const setBytesMax = 24 << 10

// Add puts members there, all at one instant, and returns how many were not there yet as the node saw it. Sent again it does no
// harm, but where somebody has taken members away in between.
func (s *Set) Add(ctx context.Context, members ...string) (added int64, err error) {
	return s.change(ctx, "include", members)
}

// Remove takes members away, all at one instant, and returns how many were there as the node saw it.
func (s *Set) Remove(ctx context.Context, members ...string) (removed int64, err error) {
	return s.change(ctx, "exclude", members)
}

// Members are all of them, in byte order; none if there is no such set.
func (s *Set) Members(ctx context.Context) ([]string, error) {
	a, err := s.read(ctx, url.Values{"as": {"set"}})
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var members []string
	err = eachLine(a.body, func(r *doorhttp.Record) error {
		member, err := r.ValueBytes()
		members = append(members, string(member))
		return err
	})
	return members, s.named(err)
}

// Count is how many members there are; 0 if there is no such set.
func (s *Set) Count(ctx context.Context) (int64, error) {
	return s.number(s.read(ctx, url.Values{"as": {"count"}}))
}

// Has tells whether a value is a member.
func (s *Set) Has(ctx context.Context, member string) (bool, error) {
	n, err := s.number(s.read(ctx, url.Values{"as": {"set"}, "member": {member}}))
	return n > 0, err
}

func (s *Set) change(ctx context.Context, op string, members []string) (int64, error) {
	if len(members) == 0 {
		return 0, nil
	}
	q := s.keyspace.request(http.MethodPost, s.key, nil)
	q.query = url.Values{"op": {op}, "member": members}
	if n := len(q.query.Encode()); n > setBytesMax {
		return 0, s.named(&RefusedError{kv.Invalid, fmt.Errorf("%d members come to %d bytes in a request, the limit is %d; name them in several calls", len(members), n, setBytesMax)})
	}
	return s.number(s.keyspace.send(ctx, q))
}

func (s *Set) read(ctx context.Context, query url.Values) (answer, error) {
	q := s.keyspace.request(http.MethodGet, s.key, nil)
	q.query = query
	return s.keyspace.send(ctx, q)
}

func (s *Set) number(a answer, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(string(a.body), 10, 64)
	return n, s.named(err)
}

func (s *Set) named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("set %q: %w", s.key, err)
}

// eachLine reads an answer of several values, each in a line.
func eachLine(body []byte, f func(*doorhttp.Record) error) error {
	in := json.NewDecoder(bytes.NewReader(body))
	for {
		var line doorhttp.Record
		switch err := in.Decode(&line); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := f(&line); err != nil {
			return err
		}
	}
}
