package main

import (
	"fmt"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	doorhttp "github.com/gamutdb/gamut/door/http"
)

func scanCommand(g *global) *cobra.Command {
	var from string
	var limit int
	var values bool
	cmd := &cobra.Command{
		Use:   "scan [PREFIX]",
		Short: "List keys in byte order",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if limit < 0 {
				return usage(fmt.Errorf("--limit %d is negative", limit))
			}
			query := url.Values{"values": {strconv.FormatBool(values)}}
			if len(args) == 1 {
				query.Set("prefix", args[0])
			}
			if from != "" {
				query.Set("from", from)
			}
			if limit > 0 {
				query.Set("limit", strconv.Itoa(limit))
			}
			return g.scan(c, query, values)
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "first key to list")
	cmd.Flags().IntVar(&limit, "limit", 0, "how many keys at most (default all)")
	cmd.Flags().BoolVar(&values, "values", false, "print values too")
	return g.levelFlag(cmd)
}

// scan prints what a scan finds and says on standard error where it was cut.
func (g *global) scan(c *cobra.Command, query url.Values, values bool) error {
	columns := recordColumns
	if !values {
		columns = columns[:3]
	}
	p, err := g.printer(c, columns...)
	if err != nil {
		return err
	}
	raw := g.raw(c)
	next, err := g.cluster().Scan(c.Context(), g.keyspace, query, g.levelHeader(nil), func(r doorhttp.Record) error {
		return printRecord(p.Row, r, raw, values)
	})
	if closed := p.Close(); err == nil {
		err = closed
	}
	if next != nil && err == nil {
		fmt.Fprintf(c.ErrOrStderr(), "there is more: go on with --from %q\n", next)
	}
	return err
}

// printRecord prints a scanned record.
func printRecord(row func(v any, cells ...string) error, r doorhttp.Record, raw, values bool) error {
	key, err := r.KeyBytes()
	if err != nil {
		return err
	}
	value, err := r.ValueBytes()
	if err != nil {
		return err
	}
	if n := len(r.Set) + len(r.Set64); n > 0 {
		value = fmt.Appendf(nil, "a set of %d members", n)
	}
	cells := recordCells(&r, key, value)
	switch {
	case raw && values:
		cells = []string{cells[0], cells[3]}
	case raw:
		cells = cells[:1]
	case !values:
		cells = cells[:3]
	}
	return row(r, cells...)
}
