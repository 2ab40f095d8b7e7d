package main

import (
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	doorhttp "github.com/gamutdb/gamut/door/http"
	"github.com/gamutdb/gamut/door/http/remote"
	"github.com/gamutdb/gamut/kv"
)

func getCommand(g *global) *cobra.Command {
	return g.receiptFlag(&cobra.Command{
		Use:   "get KEY",
		Short: "Print the value of a key",
		Long:  "Print the value of a key. Raw output is the value's bytes and nothing else.",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, cancel := bounded(c)
			defer cancel()
			resp, err := g.ask(ctx, args[0], remote.Request{Method: "GET"})
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			value, err := io.ReadAll(resp.Body)
			if err != nil {
				return fmt.Errorf("value of %q: %w", args[0], err)
			}
			if g.raw(c) {
				g.tellReceipt(c)
				_, err := c.OutOrStdout().Write(value)
				return err
			}
			record, err := recordOf(args[0], value, resp.Header)
			if err != nil {
				return err
			}
			return g.only(c, recordColumns, record, recordCells(&record, []byte(args[0]), value)...)
		},
	})
}

var recordColumns = []string{"KEY", "VERSION", "EXPIRES", "VALUE"}

func recordCells(r *doorhttp.Record, key, value []byte) []string {
	return []string{string(key), strconv.FormatUint(r.Version, 10), r.Expires, string(value)}
}

// recordOf puts a value and the headers that came with it together.
func recordOf(key string, value []byte, h http.Header) (doorhttp.Record, error) {
	item := kv.Result{Key: []byte(key), Value: value}
	var err error
	if item.Version, err = strconv.ParseUint(h.Get(doorhttp.HeaderVersion), 10, 64); err != nil {
		return doorhttp.Record{}, fmt.Errorf("version %q of the answer: %w", h.Get(doorhttp.HeaderVersion), err)
	}
	flags, err := strconv.ParseUint(h.Get(doorhttp.HeaderFlags), 10, 32)
	if err != nil {
		return doorhttp.Record{}, fmt.Errorf("flags %q of the answer: %w", h.Get(doorhttp.HeaderFlags), err)
	}
	item.Flags = uint32(flags)
	r := doorhttp.RecordOf(&item, true)
	r.Expires = h.Get(doorhttp.HeaderExpires)
	return r, nil
}
