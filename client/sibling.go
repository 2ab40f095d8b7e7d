package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	doorhttp "github.com/gamutdb/gamut/door/http"
)

// Siblings are all values that a key has in a keyspace that keeps concurrent ones side by side, which causal keyspaces do that
// are made so.
type Siblings struct {
	// Records are the values, the newest first.
	Records []Record
	// Context is what the read has seen; Replacing it, a write leaves one value.
	Context string
}

// Siblings reads all values of a key; ErrNotFound if it is not there.
func (k *Keyspace) Siblings(ctx context.Context, key string, options ...Option) (Siblings, error) {
	q := k.request(http.MethodGet, key, options)
	q.query = url.Values{"as": {"siblings"}}
	a, err := k.send(ctx, q)
	if err != nil {
		return Siblings{}, err
	}
	all := Siblings{Context: a.header.Get(doorhttp.HeaderContext)}
	err = eachLine(a.body, func(line *doorhttp.Record) error {
		r, err := recordOf(line)
		r.Key = key
		all.Records = append(all.Records, r)
		return err
	})
	if err != nil {
		return Siblings{}, fmt.Errorf("siblings of key %q: %w", key, err)
	}
	return all, nil
}

// Replacing has a Put or a Delete replace what the read that gave the context has seen, and no value else: what others wrote
// meanwhile stays beside it. Without a context a write replaces all that the node which takes it holds.
func Replacing(context string) Option {
	return func(r *request) { r.header.Set(doorhttp.HeaderContext, context) }
}

// learnSiblings takes from an answer what keyspaces that keep siblings say of them.
func (r *Record) learnSiblings(h http.Header) (err error) {
	r.Context = h.Get(doorhttp.HeaderContext)
	if text := h.Get(doorhttp.HeaderSiblings); text != "" {
		if r.Siblings, err = strconv.Atoi(text); err != nil {
			err = fmt.Errorf("key %q: siblings of the answer: %w", r.Key, err)
		}
	}
	return err
}
