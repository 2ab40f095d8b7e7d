package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gamutdb/gamut/machine"
)

// Dump reads the records of several groups in the order of their keys, each group as of one position of its log: what its leader
// holds there. Records that have ended and were not removed yet are among them.
func Dump(ctx context.Context, tasks []Task, each func(key []byte, r machine.Record) error) error {
	var reads []*pairs
	for _, task := range tasks {
		p, err := kept(ctx, task)
		if err != nil {
			return fmt.Errorf("keyspace %s, shard %d: %w", task.Keyspace, task.Shard, err)
		}
		reads = append(reads, p)
	}
	for {
		var lowest *pairs
		var at []byte
		for _, p := range reads {
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
