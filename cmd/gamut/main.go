// Command gamut is the database in one program.
//
// It is a server (start, dev) or, with any other subcommand, a client of one. Each subcommand has a file of its own name
// and holds no logic: what is more than asking and printing lives in packages.
//
// Others rely on its exit codes: 0 ok, 1 error, 2 usage, 3 not found, 4 behind session, 5 not enough replicas, 6 promise
// broken, 7 outcome unknown. Its output is for people on a terminal and raw elsewhere.
//
// Start with root in this file.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/gamutdb/gamut/cmd/gamut/internal/settings"
	"github.com/gamutdb/gamut/cmd/gamut/internal/show"
	doorhttp "github.com/gamutdb/gamut/door/http"
	"github.com/gamutdb/gamut/door/http/remote"
	"github.com/gamutdb/gamut/kv"
)

func main() { os.Exit(run()) }

func run() int {
	err := root().ExecuteContext(context.Background())
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(os.Stderr, "gamut:", err)
	return exitCode(err)
}

const (
	exitOK         = 0
	exitError      = 1
	exitUsage      = 2
	exitNotFound   = 3
	exitBehind     = 4
	exitTooFew     = 5
	exitBroken     = 6
	exitUnknown    = 7
	requestTimeout = 10 * time.Second
)

// coded is an error with an exit code of its own.
type coded struct {
	code int
	error
}

func (c coded) Unwrap() error { return c.error }

func usage(err error) error {
	if err == nil {
		return nil
	}
	return coded{exitUsage, err}
}

func exitCode(err error) int {
	var own coded
	if errors.As(err, &own) {
		return own.code
	}
	var setting *settings.Error
	if errors.As(err, &setting) {
		return exitUsage
	}
	var e *kv.Error
	if !errors.As(err, &e) {
		return exitError
	}
	switch e.Code {
	case kv.NotFound, kv.NoKeyspace:
		return exitNotFound
	case kv.BehindSession:
		return exitBehind
	case kv.Unavailable:
		return exitTooFew
	case kv.Unknown:
		return exitUnknown
	}
	return exitError
}

// global are the flags that every subcommand has.
type global struct {
	addresses []string
	keyspace  string
	output    string
	// sessionFile keeps session, what the session has seen.
	sessionFile, session string
	level                string
	stderr               io.Writer
	// receipt asks how answers were given; got is what the last one said.
	receipt bool
	got     *kv.Receipt
}

// levelFlag adds --level to a command that reads or writes keys.
func (g *global) levelFlag(c *cobra.Command) *cobra.Command {
	c.Flags().StringVar(&g.level, "level", "", "what the request asks of its keyspace, such as one, two, quorum or all (default: the keyspace's own promise)")
	return c
}

// receiptFlag adds --receipt to a command about one key.
func (g *global) receiptFlag(c *cobra.Command) *cobra.Command {
	c.Flags().BoolVar(&g.receipt, "receipt", false, "say how the answer was given: level met, version, position, as of when (in json a field, else on standard error)")
	return g.levelFlag(c)
}

// levelHeader is a header that asks for the level.
func (g *global) levelHeader(h http.Header) http.Header {
	if g.level != "" {
		if h == nil {
			h = http.Header{}
		}
		h.Set(doorhttp.HeaderLevel, g.level)
	}
	return h
}

func root() *cobra.Command {
	g := new(global)
	c := &cobra.Command{
		Use:   "gamut",
		Short: "A distributed key-value database in which each keyspace chooses how its replicas agree",
		// Errors are printed once, in main, with their exit code.
		SilenceErrors: true, SilenceUsage: true,
		RunE: func(c *cobra.Command, args []string) error { return usage(c.Help()) },
	}
	address := os.Getenv("GAMUT_ADDR")
	if address == "" {
		address = fmt.Sprintf("127.0.0.1:%d", settings.BasePort)
	}
	flags := c.PersistentFlags()
	flags.StringSliceVar(&g.addresses, "addr", []string{address}, "HTTP addresses of nodes, tried in turn (GAMUT_ADDR)")
	flags.StringVar(&g.keyspace, "keyspace", "default", "keyspace")
	flags.StringVar(&g.sessionFile, "session", "", "file that keeps what the session has seen, for causal keyspaces; made if there is none")
	c.PersistentPreRunE = func(c *cobra.Command, _ []string) error {
		g.stderr = c.ErrOrStderr()
		return g.loadSession()
	}
	flags.StringVarP(&g.output, "output", "o", "", "table, json, jsonl or raw (default: table on a terminal, otherwise raw)")
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err) })
	c.AddCommand(
		getCommand(g), waitCommand(g), putCommand(g), deleteCommand(g), casCommand(g), incrCommand(g), setCommand(g), scanCommand(g), dumpCommand(g), txnCommand(g), shellCommand(g),
		outcomeCommand(g, "outcome ID", "Tell what became of a write or a transaction whose outcome was unknown; asking decides it"),
		keyspaceCommand(g), nodeCommand(g), balanceCommand(g), statusCommand(g), inspectCommand(g), repairCommand(g),
		verifyCommand(g), auditCommand(g), stabilizeCommand(g), logCommand(g), versionCommand(g),
		startCommand(), devCommand(), labCommand(g),
	)
	refuseUnknown(c)
	return c
}

// refuseUnknown makes wrong arguments of any command end as wrong usage does.
func refuseUnknown(c *cobra.Command) {
	check := c.Args
	if check == nil {
		check = cobra.NoArgs
	}
	c.Args = func(c *cobra.Command, args []string) error { return usage(check(c, args)) }
	for _, sub := range c.Commands() {
		refuseUnknown(sub)
	}
}

func (g *global) cluster() *remote.Cluster {
	var all []string
	for _, a := range g.addresses {
		all = append(all, settings.List(a)...)
	}
	c := remote.New(all, requestTimeout)
	if g.sessionFile != "" {
		return c.InSession(g.session, g.saveSession)
	}
	return c
}

// loadSession and saveSession keep what a session has seen between two runs of the command.
func (g *global) loadSession() error {
	if g.sessionFile == "" {
		return nil
	}
	b, err := os.ReadFile(g.sessionFile)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("session: %w", err)
	}
	g.session = strings.TrimSpace(string(b))
	return nil
}

func (g *global) saveSession(token string) error {
	// In one move: a torn token would be refused by all.
	next := g.sessionFile + ".new"
	if err := os.WriteFile(next, []byte(token+"\n"), 0o600); err != nil {
		return fmt.Errorf("session: %w", err)
	}
	return os.Rename(next, g.sessionFile)
}

// ask sends a request about one key. Its errors say which key, of which keyspace.
func (g *global) ask(ctx context.Context, key string, q remote.Request) (*http.Response, error) {
	q.Path = remote.KeyPath(g.keyspace, []byte(key))
	q.Header = g.askReceipt(g.levelHeader(q.Header))
	id := numbered(&q, g.keyspace, key)
	resp, err := g.cluster().Do(ctx, q)
	var e *kv.Error
	if errors.As(err, &e) && e.Code == kv.TooOld && id != "" {
		// This machine's clock is far from the cluster's, which takes the number for an old one.
		q.Header.Del(doorhttp.HeaderRequest)
		resp, err = g.cluster().Do(ctx, q)
	}
	if errors.As(err, &e) && e.Code == kv.Unknown && id != "" && !strings.Contains(e.Detail, id) {
		err = kv.Errorf(e.Code, "%s; its outcome can be asked for: %s", e.Detail, id)
	}
	if errors.As(err, &e) && e.Code == kv.NoKeyspace {
		return nil, noKeyspace(g.keyspace)
	}
	if err != nil {
		g.tellMiss(resp)
		return nil, fmt.Errorf("key %q in keyspace %q: %w", key, g.keyspace, err)
	}
	if err := g.takeReceipt(g.keyspace, resp); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// askReceipt adds the wish for a receipt to headers, if there is one.
func (g *global) askReceipt(h http.Header) http.Header {
	if !g.receipt {
		return h
	}
	if h == nil {
		h = http.Header{}
	}
	h.Set(doorhttp.HeaderReceipt, "on")
	return h
}

// takeReceipt keeps the receipt of an answer, if one was asked for.
func (g *global) takeReceipt(keyspace string, resp *http.Response) error {
	if !g.receipt {
		return nil
	}
	receipt, err := doorhttp.ReceiptOf(keyspace, resp.Header)
	if err == nil {
		g.got = &receipt
	}
	return err
}

// tellReceipt prints the receipt that was asked for beside a result, where it is no part of it.
func (g *global) tellReceipt(c *cobra.Command) {
	g.printReceipt(c.ErrOrStderr())
}

func (g *global) printReceipt(w io.Writer) {
	if g.got == nil {
		return
	}
	for _, f := range g.got.Fields() {
		fmt.Fprintf(w, "%s: %s\n", f.Name, f.Text)
	}
}

// tellMiss prints the receipt of an answer that is no success, if it has one: that a key is missing, or a condition does not hold.
func (g *global) tellMiss(resp *http.Response) {
	if resp == nil || resp.Header.Get(doorhttp.HeaderAsked) == "" || g.takeReceipt(g.keyspace, resp) != nil {
		return
	}
	g.printReceipt(g.stderr)
}

// withReceipt is a result, an object in JSON, with the receipt as one more field.
func (g *global) withReceipt(v any) (any, error) {
	if g.got == nil {
		return v, nil
	}
	object, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("result: %w", err)
	}
	receipt, err := json.Marshal(g.got)
	if err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	object = append(object[:len(object)-1], `,"receipt":`...)
	return json.RawMessage(append(append(object, receipt...), '}')), nil
}

func noKeyspace(name string) error {
	return coded{exitNotFound, fmt.Errorf("there is no keyspace %q; gamut keyspace list shows which there are", name)}
}

// printer prints to standard output as -o says.
func (g *global) printer(c *cobra.Command, columns ...string) (*show.Printer, error) {
	format := g.output
	if format == "" {
		format = "raw"
		if f, ok := c.OutOrStdout().(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			format = "table"
		}
	}
	p, err := show.New(c.OutOrStdout(), format, columns...)
	return p, usage(err)
}

// raw tells whether bytes go out as they are.
func (g *global) raw(c *cobra.Command) bool {
	if g.output != "" {
		return g.output == "raw"
	}
	f, ok := c.OutOrStdout().(*os.File)
	return !ok || !term.IsTerminal(int(f.Fd()))
}

// only prints the one result of a command.
func (g *global) only(c *cobra.Command, columns []string, v any, cells ...string) error {
	p, err := g.printer(c, columns...)
	if err != nil {
		return err
	}
	if p.JSON() {
		v, err = g.withReceipt(v)
	} else {
		g.tellReceipt(c)
	}
	if err != nil {
		return err
	}
	if err := p.Only(v, cells...); err != nil {
		return err
	}
	return p.Close()
}

// bounded is the context of a command that asks one thing.
func bounded(c *cobra.Command) (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.Context(), requestTimeout)
}
