package main

import (
	"context"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/gamutdb/gamut/audit"
	doorhttp "github.com/gamutdb/gamut/door/http"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

func dumpCommand(g *global) *cobra.Command {
	return g.levelFlag(&cobra.Command{
		Use:   "dump",
		Short: "Print all records of a keyspace, as lines of JSON unless -o says otherwise",
		Long: "Print all records of a keyspace in key order, as lines of JSON unless -o says otherwise. Keys and values that are\n" +
			"not valid UTF-8 stand in key64 and value64, in base64. A dump is not one instant: writes that happen meanwhile may be in it.\n" +
			"That of an atomic keyspace is one instant of each shard, in which no write is under way, unless --level is given, or\nits values are kept elsewhere.",
		RunE: func(c *cobra.Command, _ []string) error {
			if g.output == "" {
				g.output = "jsonl"
			}
			if g.level == "" {
				info, err := g.cluster().Keyspace(c.Context(), g.keyspace)
				if err != nil {
					return err
				}
				if keyspace.Atomic(info.Consistency) && info.Store == keyspace.StorePebble {
					return g.dumpAtMark(c)
				}
			}
			return g.scan(c, url.Values{"values": {"true"}}, true)
		},
	})
}

// dumpAtMark prints what the shards of a keyspace hold at a mark in their logs.
func (g *global) dumpAtMark(c *cobra.Command) error {
	ctx, cancel := context.WithTimeout(c.Context(), auditTimeout)
	defer cancel()
	tasks, err := g.tasksOf(ctx, false)
	if err != nil {
		return err
	}
	p, err := g.printer(c, recordColumns...)
	if err != nil {
		return err
	}
	now := time.Now().UnixMilli()
	err = audit.Dump(ctx, tasks, func(key []byte, r machine.Record) error {
		if r.ExpireAt != 0 && r.ExpireAt <= now {
			return nil
		}
		item := kv.Result{Key: key, Value: r.Value, Version: r.Version, Flags: r.Flags, ExpireAt: r.ExpireAt}
		return printRecord(p.Row, doorhttp.RecordOf(&item, true), g.raw(c), true)
	})
	if closed := p.Close(); err == nil {
		err = closed
	}
	return err
}
