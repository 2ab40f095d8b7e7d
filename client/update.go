package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/gamutdb/gamut/kv"
)

// Tx is a transaction that reads first and decides then. Nothing is locked meanwhile: the versions that it has read are the
// conditions under which its writes happen.
type Tx struct {
	ctx    context.Context
	client *Client
	// read is what was read, and how each key stands with the writes; a record of version 0 is not there.
	read  map[Key]Record
	now   map[Key]*Record
	keys  []Key // of read, in order
	wrote []Key
}

// Update calls f, and does what f wrote at one instant at which all that it has read is still so. If something has changed
// meanwhile, nothing is done, and f is called again with what is so now, until the context ends: so f should have no other effects. An
// error of f ends the transaction without effect and is returned, if what f had read was so at one instant; else f is called again.
//
// The keys may lie in any shards of linearizable keyspaces. nil says that it was done. A *RefusedError with kv.Aborted says that
// others were in the way all the time.
func (c *Client) Update(ctx context.Context, f func(tx *Tx) error) error {
	ctx, cancel := c.within(ctx)
	defer cancel()
	for pause := backoffMin; ; pause = min(2*pause, backoffMax) {
		tx := &Tx{ctx: ctx, client: c, read: map[Key]Record{}, now: map[Key]*Record{}}
		failed := f(tx)
		err := tx.commit(failed != nil)
		switch {
		case errors.Is(err, ErrCondition):
		case failed != nil && err != nil:
			return errors.Join(failed, fmt.Errorf("and whether what it had read was of one instant is not known: %w", err))
		case failed != nil:
			return failed
		default:
			return err
		}
		timer := time.NewTimer(pause/2 + rand.N(pause/2+1))
		select {
		case <-ctx.Done():
			timer.Stop()
			return &RefusedError{kv.Aborted, fmt.Errorf("transaction: others were in the way until the end, nothing was done: %w", context.Cause(ctx))}
		case <-timer.C:
		}
	}
}

// Get reads a key as it is now, with what this transaction has written; ErrNotFound if it is not there. Read again it is the same.
func (t *Tx) Get(k Key) (Record, error) {
	if r := t.now[k]; r != nil {
		if r.Version == 0 && r.Value == nil {
			return Record{}, fmt.Errorf("%s: %w", k, ErrNotFound)
		}
		return *r, nil
	}
	r, err := t.client.Keyspace(k.Keyspace).Get(t.ctx, k.Key)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Record{}, err
	}
	t.read[k], t.now[k] = r, &r
	t.keys = append(t.keys, k)
	return r, err
}

// Put stores a value when the transaction is done.
func (t *Tx) Put(k Key, value []byte) {
	if value == nil {
		value = []byte{}
	}
	t.write(k, &Record{Key: k.Key, Value: slices.Clone(value)})
}

// Delete removes a key when the transaction is done. It need not be there.
func (t *Tx) Delete(k Key) { t.write(k, &Record{}) }

func (t *Tx) write(k Key, r *Record) {
	if !slices.Contains(t.wrote, k) {
		t.wrote = append(t.wrote, k)
	}
	t.now[k] = r
}

// commit sends the writes under the condition that all that was read is still so; idle leaves the writes out.
func (t *Tx) commit(idle bool) error {
	if idle {
		t.wrote = nil
	}
	if len(t.wrote) == 0 && len(t.keys) < 2 {
		return nil // one read is of one instant by itself
	}
	q := t.client.Txn()
	for _, k := range t.keys {
		q.IfVersion(k, t.read[k].Version)
	}
	for _, k := range t.wrote {
		if r := t.now[k]; r.Value == nil {
			q.Then.Delete(k)
		} else {
			q.Then.Put(k, r.Value)
		}
	}
	if len(t.wrote) == 0 {
		q.Then.Get(t.keys[0])
	}
	_, err := q.Do(t.ctx)
	return err
}
