package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	doorhttp "github.com/gamutdb/gamut/door/http"
	"github.com/gamutdb/gamut/door/http/remote"
)

func setCommand(g *global) *cobra.Command {
	cmd := &cobra.Command{Use: "set", Short: "Add to, remove from and read sets, in causal and eventual keyspaces"}
	cmd.AddCommand(setChange(g, "add", "include", "Put members into a set and print how many are new"),
		setChange(g, "remove", "exclude", "Take members out of a set and print how many were there"),
		setMembers(g), setNumber(g, "count KEY", "Print how many members a set has", 1), setNumber(g, "has KEY MEMBER", "Print 1 if a value is a member of a set, else 0", 2))
	cmd.RunE = func(c *cobra.Command, _ []string) error { return usage(c.Help()) }
	return cmd
}

func setChange(g *global, name, op, short string) *cobra.Command {
	return g.receiptFlag(&cobra.Command{
		Use:   name + " KEY MEMBER...",
		Short: short,
		Args:  cobra.MinimumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			return g.number(c, args[0], remote.Request{Method: "POST", Query: url.Values{"op": {op}, "member": args[1:]}})
		},
	})
}

func setNumber(g *global, use, short string, args int) *cobra.Command {
	return g.receiptFlag(&cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.ExactArgs(args),
		RunE: func(c *cobra.Command, args []string) error {
			query := url.Values{"as": {"count"}}
			if len(args) > 1 {
				query = url.Values{"as": {"set"}, "member": args[1:]}
			}
			return g.number(c, args[0], remote.Request{Method: "GET", Query: query})
		},
	})
}

// number sends a request that is answered by a number, and prints it.
func (g *global) number(c *cobra.Command, key string, q remote.Request) error {
	ctx, cancel := bounded(c)
	defer cancel()
	resp, err := g.ask(ctx, key, q)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("key %q: %w", key, err)
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return fmt.Errorf("key %q: %w", key, err)
	}
	return g.only(c, []string{"COUNT"}, map[string]any{"key": key, "count": n}, string(text))
}

func setMembers(g *global) *cobra.Command {
	return g.receiptFlag(&cobra.Command{
		Use:   "members KEY",
		Short: "Print the members of a set, one a line",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			_, err := g.lines(c, args[0], "set", []string{"MEMBER"}, func(r *doorhttp.Record, value []byte) []string {
				return []string{string(value)}
			})
			return err
		},
	})
}

// lines prints the several values of a key, each with its cells.
func (g *global) lines(c *cobra.Command, key, as string, columns []string, cells func(*doorhttp.Record, []byte) []string) (http.Header, error) {
	ctx, cancel := bounded(c)
	defer cancel()
	resp, err := g.ask(ctx, key, remote.Request{Method: "GET", Query: url.Values{"as": {as}}})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	p, err := g.printer(c, columns...)
	if err != nil {
		return nil, err
	}
	in := json.NewDecoder(resp.Body)
	for {
		var r doorhttp.Record
		if err := in.Decode(&r); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("key %q: %w", key, err)
		}
		value, err := r.ValueBytes()
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", key, err)
		}
		if err := p.Row(r, cells(&r, value)...); err != nil {
			return nil, err
		}
	}
	g.tellReceipt(c)
	return resp.Header, p.Close()
}

// siblings prints all values of a key with their stamps.
func (g *global) siblings(c *cobra.Command, key, contextFile string) error {
	header, err := g.lines(c, key, "siblings", []string{"STAMP", "VALUE"}, func(r *doorhttp.Record, value []byte) []string {
		if g.raw(c) {
			return []string{string(value)}
		}
		return []string{r.Stamp, string(value)}
	})
	if err != nil {
		return err
	}
	return keepContext(contextFile, header)
}

// keepContext writes down what a read has seen, for the write that replaces it.
func keepContext(file string, h http.Header) error {
	if file == "" {
		return nil
	}
	context := h.Get(doorhttp.HeaderContext)
	if context == "" {
		return fmt.Errorf("context: the keyspace keeps no siblings, and so a read has none; gamut keyspace create NAME --consistency causal --conflict siblings makes one that does")
	}
	if err := os.WriteFile(file, []byte(context+"\n"), 0o600); err != nil {
		return fmt.Errorf("context: %w", err)
	}
	return nil
}

// setContext has a write replace what the read has seen that wrote the file.
func setContext(h http.Header, file string) error {
	if file == "" {
		return nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("context: %w", err)
	}
	context := strings.TrimSpace(string(b))
	if context == "" {
		return fmt.Errorf("context: %s is empty; gamut get --context writes it", file)
	}
	h.Set(doorhttp.HeaderContext, context)
	return nil
}
