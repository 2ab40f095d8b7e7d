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
	var all bool
	var context string
	cmd := &cobra.Command{
		Use:   "get KEY",
		Short: "Print the value of a key",
		Long:  "Print the value of a key. Raw output is the value's bytes and nothing else; of siblings, a line for each.",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if all {
				return g.siblings(c, args[0], context)
			}
			ctx, cancel := bounded(c)
			defer cancel()
			resp, err := g.ask(ctx, args[0], remote.Request{Method: "GET"})
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if err := keepContext(context, resp.Header); err != nil {
				return err
			}
			if n := resp.Header.Get(doorhttp.HeaderSiblings); n != "" && n != "0" {
				fmt.Fprintf(c.ErrOrStderr(), "the newest of several values, %s more: get --siblings shows all\n", n)
			}
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
	}
	cmd.Flags().BoolVar(&all, "siblings", false, "print all values that the key has, the newest first, in a keyspace that keeps siblings")
	cmd.Flags().StringVar(&context, "context", "", "file to write down in what was seen, for a put or delete --context that replaces it")
	return g.receiptFlag(cmd)
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
