package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/gamutdb/gamut/core"
)

// Oracle is the plainest store that keeps the promises: log and state in one Pebble whose own write-ahead log is synced with
// every change. The tests hold Disk against it; it costs twice the bytes and many times the syncs.
type Oracle struct {
	state  *state
	seq    uint64
	rolled bool
}

var (
	_ Store = (*Oracle)(nil)

	oracleLog = append(groupPrefix(ownGroup), "batch"...)
)

// OpenOracle opens the folder of an Oracle, or makes it.
func OpenOracle(dir string, opts Options) (*Oracle, Recovered, error) {
	opts = opts.withDefaults()
	if err := makeFolder(opts.FS, dir); err != nil {
		return nil, Recovered{}, fmt.Errorf("make the folder %s: %w", dir, err)
	}
	s, err := openState(opts, opts.FS.PathJoin(dir, stateName), opts.FS.PathJoin(dir, stagingName), true, func(error) {})
	if err != nil {
		return nil, Recovered{}, err
	}
	o := &Oracle{state: s}
	r, err := o.recover()
	if err != nil {
		return nil, Recovered{}, errors.Join(err, s.close())
	}
	return o, r, nil
}

func (o *Oracle) recover() (Recovered, error) {
	r := newRecovered()
	it, err := o.state.db.NewIter(&pebble.IterOptions{LowerBound: oracleLog})
	if err != nil {
		return r, err
	}
	for ok := it.First(); ok; ok = it.Next() {
		b, err := decodeBatch(slices.Clone(it.Value()))
		if err != nil {
			return r, errors.Join(err, it.Close())
		}
		o.seq, r.HLCUpper = b.seq, max(r.HLCUpper, b.upper)
		if b.roll {
			for g := range r.Groups {
				r.Groups[g] = slices.DeleteFunc(r.Groups[g], func(rec core.Record) bool { return rec.Pos == 0 })
			}
		}
		for _, it := range b.items {
			r.Groups[it.Group] = append(r.Groups[it.Group], it.Record)
		}
	}
	return r, errors.Join(it.Error(), it.Close())
}

// Append makes a batch durable.
func (o *Oracle) Append(b Batch) error {
	o.rolled = o.rolled || b.Roll
	value := appendBatch(nil, &loggedBatch{seq: o.seq + 1, upper: b.HLCUpper, roll: b.Roll, items: b.Items})
	key := binary.BigEndian.AppendUint64(slices.Clone(oracleLog), o.seq+1)
	if err := o.state.db.Set(key, value, pebble.Sync); err != nil {
		return err
	}
	o.seq++
	return nil
}

// NeedsRoll says that nothing was appended since opening.
func (o *Oracle) NeedsRoll() bool { return !o.rolled }

// Group is the state of one group.
func (o *Oracle) Group(g core.GroupID) Group { return o.state.group(g) }

// GroupsWithState lists the groups that hold at least one key, in order.
func (o *Oracle) GroupsWithState() []core.GroupID {
	list, err := o.state.groups()
	if err != nil {
		panic(&ReadError{Err: err})
	}
	return list
}

// Flush has nothing to make durable, and keeps the whole log.
func (o *Oracle) Flush() error { return o.state.db.Flush() }

// Drop removes a group's state.
func (o *Oracle) Drop(g core.GroupID) error { return o.state.drop(g) }

// Close releases the folder.
func (o *Oracle) Close() error { return o.state.close() }
