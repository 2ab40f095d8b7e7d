package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/gamutdb/gamut/audit"
	"github.com/gamutdb/gamut/client"
	"github.com/gamutdb/gamut/cmd/gamut/internal/settings"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
	"github.com/gamutdb/gamut/snapshot"
)

func keyspaceSnapshot(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "snapshot NAME FILE",
		Short: "Write all records of a keyspace to a file that says when it is damaged",
		Long: "Write all records of a keyspace to a file that says when it is damaged. Each shard is complete as of one position of its log;\n" +
			"the shards are not of one instant, so of a transaction over several shards that runs meanwhile the file may hold a part. The file\n" +
			"must not exist. Keyspaces without a leader (quorum, causal, eventual) have no such position: dump them.",
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			g.keyspace = args[0]
			head, marked, err := g.mark(c)
			if err != nil {
				return err
			}
			records, err := writeFile(args[1], func(w io.Writer) (uint64, error) { return takeSnapshot(c.Context(), w, head, marked) })
			if err != nil {
				return err
			}
			return g.only(c, []string{"RECORDS"}, map[string]uint64{"records": records}, strconv.FormatUint(records, 10))
		},
	}
}

// mark lets the shards of the keyspace keep their states.
func (g *global) mark(c *cobra.Command) (head snapshot.Head, marked *audit.Marked, err error) {
	ctx, cancel := bounded(c)
	defer cancel()
	info, err := g.cluster().Keyspace(ctx, g.keyspace)
	if err != nil {
		return head, nil, err
	}
	switch info.Consistency {
	case kv.Linearizable, kv.Sequential, kv.Atomic:
	default:
		return head, nil, fmt.Errorf("keyspace %s is %s: its replicas have no common log of which a file could be one position; use gamut dump", info.Name, info.Consistency)
	}
	if info.Store != keyspace.StorePebble {
		return head, nil, fmt.Errorf("the values of keyspace %s are kept elsewhere (%s), and not as of one position of its log; use gamut dump", info.Name, info.Store)
	}
	tasks, err := g.tasksOf(ctx, false)
	if err != nil {
		return head, nil, err
	}
	head = snapshot.Head{Keyspace: info.CreateKeyspace, Taken: time.Now().UTC()}
	if marked, err = audit.Mark(ctx, tasks); err != nil {
		return head, nil, err
	}
	marked.Each(func(group, index uint64) {
		head.Shards = append(head.Shards, snapshot.Shard{Group: group, Index: index})
	})
	return head, marked, nil
}

func takeSnapshot(ctx context.Context, w io.Writer, head snapshot.Head, marked *audit.Marked) (records uint64, err error) {
	out, err := snapshot.NewWriter(w, head)
	if err != nil {
		return 0, err
	}
	err = marked.Dump(ctx, func(key []byte, r machine.Record) error {
		return out.Add(snapshot.Record{Key: key, Value: r.Value, Flags: r.Flags, ExpireAt: r.ExpireAt})
	})
	if err != nil {
		return 0, err
	}
	return out.Close()
}

// writeFile makes a file that is whole and durable under its name, or not there.
func writeFile(path string, write func(io.Writer) (uint64, error)) (records uint64, err error) {
	if _, err := os.Lstat(path); err == nil {
		return 0, usage(fmt.Errorf("%s exists already", path))
	}
	partial := path + ".partial"
	f, err := os.Create(partial)
	if err != nil {
		return 0, err
	}
	records, err = write(f)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(partial, path)
	}
	if err != nil {
		return 0, errors.Join(err, os.Remove(partial))
	}
	return records, nil
}

func keyspaceRestore(g *global) *cobra.Command {
	var as string
	var check bool
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Check a snapshot to its end, then make its keyspace anew and write its records",
		Long: "Check a snapshot to its end, then make its keyspace anew, or one like it under another name (--as), and write its records. What\n" +
			"is damaged or cut is refused before anything is written. The keyspace must not exist. Versions begin anew; records that have ended\n" +
			"since are left out. If the command is interrupted, drop the keyspace and repeat it.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			head, records, err := snapshot.Verify(f)
			if err != nil {
				return coded{exitBroken, fmt.Errorf("%s: %w", args[0], err)}
			}
			if as != "" {
				head.Keyspace.Name = as
			}
			if !check {
				if err := g.restore(c, f, head.Keyspace); err != nil {
					return err
				}
			}
			return g.only(c, []string{"KEYSPACE", "TAKEN", "RECORDS"}, map[string]any{"keyspace": head.Keyspace.Name, "taken": head.Taken, "records": records},
				head.Keyspace.Name, head.Taken.Format(time.RFC3339), strconv.FormatUint(records, 10))
		},
	}
	cmd.Flags().StringVar(&as, "as", "", "make the keyspace under this name")
	cmd.Flags().BoolVar(&check, "check", false, "only check the file; no cluster is needed")
	return cmd
}

// restoreWriters is how many records are on their way at a time.
const restoreWriters = 32

// restore makes the keyspace and writes the records of a file that was checked.
func (g *global) restore(c *cobra.Command, f io.ReadSeeker, spec kv.CreateKeyspace) error {
	ctx, cancel := bounded(c)
	defer cancel()
	if err := g.cluster().CreateKeyspace(ctx, spec); err != nil {
		return err
	}
	var addresses []string
	for _, a := range g.addresses {
		addresses = append(addresses, settings.List(a)...)
	}
	to, err := client.Open(addresses, client.Options{})
	if err != nil {
		return err
	}
	defer to.Close()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r, err := snapshot.NewReader(f)
	if err != nil {
		return err
	}
	if err := loadRecords(c.Context(), to.Keyspace(spec.Name), r); err != nil {
		return fmt.Errorf("keyspace %s is not whole; drop it, and restore it again: %w", spec.Name, err)
	}
	return nil
}

// loadRecords writes all records, some at a time; the first error ends it.
func loadRecords(ctx context.Context, to *client.Keyspace, r *snapshot.Reader) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	queue := make(chan snapshot.Record, restoreWriters)
	var writers sync.WaitGroup
	for range restoreWriters {
		writers.Go(func() {
			for record := range queue {
				if err := loadRecord(ctx, to, &record); err != nil {
					stop(err)
				}
			}
		})
	}
	var err error
	for ctx.Err() == nil {
		var record snapshot.Record
		if record, err = r.Next(); err != nil {
			break
		}
		queue <- record
	}
	close(queue)
	writers.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func loadRecord(ctx context.Context, to *client.Keyspace, r *snapshot.Record) error {
	options := []client.Option{client.Flags(r.Flags)}
	if r.ExpireAt != 0 {
		left := time.Until(time.UnixMilli(r.ExpireAt))
		if left < time.Millisecond {
			return nil
		}
		options = append(options, client.TTL(left))
	}
	limited, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, err := to.Put(limited, string(r.Key), r.Value, options...)
	return err
}
