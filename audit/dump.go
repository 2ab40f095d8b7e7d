package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gamutdb/gamut/machine"
)

// Marked are groups that keep their states as of one position of the log each.
type Marked struct{ reads []*pairs }

// Mark lets each group keep its state, where its leader is, for a minute after it was read last.
func Mark(ctx context.Context, tasks []Task) (*Marked, error) {
	m := &Marked{}
	for _, task := range tasks {
		p, err := kept(ctx, task)
		if err != nil {
			return nil, fmt.Errorf("keyspace %s, shard %d: %w", task.Keyspace, task.Shard, err)
		}
		m.reads = append(m.reads, p)
	}
	return m, nil
}

// Each calls f with each group, in the order of the tasks, and its position.
func (m *Marked) Each(f func(group, index uint64)) {
	for _, p := range m.reads {
		f(p.group, p.index)
	}
}

// Dump reads the records of several groups in the order of their keys, each group as of one position of its log: what its leader
// holds there. Records that have ended and were not removed yet are among them.
func Dump(ctx context.Context, tasks []Task, each func(key []byte, r machine.Record) error) error {
	m, err := Mark(ctx, tasks)
	if err != nil {
		return err
	}
	return m.Dump(ctx, each)
}

// Dump reads the records that the groups keep, in the order of their keys.
func (m *Marked) Dump(ctx context.Context, each func(key []byte, r machine.Record) error) error {
	for {
		var lowest *pairs
		var at []byte
		for _, p := range m.reads {
			key, err := p.key(ctx)
			if err != nil {
				return fmt.Errorf("group %d: %w", p.group, err)
			}
			if key != nil && (lowest == nil || bytes.Compare(key, at) < 0) {
				lowest, at = p, key
			}
		}
		if lowest == nil {
			return nil
		}
		r, err := machine.DecodeRecord(lowest.take(at).Record)
		if err != nil {
			return fmt.Errorf("group %d, key %q: %w", lowest.group, at, err)
		}
		if err := each(at, r); err != nil {
			return err
		}
	}
}

// kept lets a group keep its state, and reads it where its leader is.
func kept(ctx context.Context, task Task) (*pairs, error) {
	refused := errors.New("no replica can be asked")
	leadersFirst := slices.Clone(task.Replicas)
	slices.SortStableFunc(leadersFirst, leads)
	for _, r := range leadersFirst {
		if r.Reader == nil {
			continue
		}
		index, err := r.Reader.Checkpoint(ctx, task.Group.Group)
		if err == nil {
			return &pairs{reader: r.Reader, group: task.Group.Group, index: index, more: true}, nil
		}
		refused = fmt.Errorf("node %d: %w", r.Node, err)
	}
	return nil, refused
}
