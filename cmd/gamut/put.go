package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	doorhttp "github.com/gamutdb/gamut/door/http"
	"github.com/gamutdb/gamut/door/http/remote"
)

func putCommand(g *global) *cobra.Command {
	var ttl, stamp string
	var flags uint32
	var create bool
	var context string
	cmd := &cobra.Command{
		Use:   "put KEY [VALUE]",
		Short: "Store a value; without VALUE, or with -, it is read from standard input",
		Args:  cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			value, err := valueArgument(c, args[1:])
			if err != nil {
				return err
			}
			q := remote.Request{Method: "PUT", Query: url.Values{}, Header: http.Header{}, Body: value}
			if ttl != "" {
				q.Query.Set("ttl", ttl)
			}
			if flags != 0 {
				q.Header.Set(doorhttp.HeaderFlags, strconv.FormatUint(uint64(flags), 10))
			}
			if create {
				q.Header.Set("If-None-Match", "*")
			}
			if err := setContext(q.Header, context); err != nil {
				return err
			}
			setStamp(&q, stamp)
			return g.write(c, args[0], q)
		},
	}
	cmd.Flags().StringVar(&ttl, "ttl", "", "time after which the key ends, such as 90s or 1h")
	cmd.Flags().Uint32Var(&flags, "flags", 0, "flags stored beside the value, as memcached clients see them")
	cmd.Flags().BoolVar(&create, "create", false, "store only if the key does not exist")
	cmd.Flags().StringVar(&context, "context", "", "file of a get --context: replace what that has seen, and keep other siblings")
	stampFlag(cmd, &stamp)
	return g.receiptFlag(cmd)
}

// stampFlag lets a write bring a stamp of its own.
func stampFlag(cmd *cobra.Command, stamp *string) {
	cmd.Flags().StringVar(stamp, "stamp", "", "quorum keyspaces with client stamps: the write's own stamp, as milliseconds since 1970, or those and a counter: 1700000000000.1")
}

func setStamp(q *remote.Request, stamp string) {
	if stamp != "" {
		q.Header.Set(doorhttp.HeaderStamp, stamp)
	}
}

// valueArgument is the value on the command line, or all of standard input.
func valueArgument(c *cobra.Command, args []string) ([]byte, error) {
	if len(args) == 1 && args[0] != "-" {
		return []byte(args[0]), nil
	}
	value, err := io.ReadAll(io.LimitReader(c.InOrStdin(), doorhttp.BodyMax+1))
	if err != nil {
		return nil, fmt.Errorf("value from standard input: %w", err)
	}
	if len(value) > doorhttp.BodyMax {
		return nil, usage(fmt.Errorf("the value is longer than the limit of %d bytes", doorhttp.BodyMax))
	}
	return value, nil
}

// write sends a change of one key and prints the key's new version.
func (g *global) write(c *cobra.Command, key string, q remote.Request) error {
	ctx, cancel := bounded(c)
	defer cancel()
	resp, err := g.ask(ctx, key, q)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text := resp.Header.Get(doorhttp.HeaderVersion)
	version, err := strconv.ParseUint(text, 10, 64)
	if text != "" && err != nil {
		return fmt.Errorf("version %q of the answer: %w", text, err)
	}
	return g.only(c, []string{"VERSION"}, map[string]any{"key": key, "version": version}, text)
}
