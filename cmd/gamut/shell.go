package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/gamutdb/gamut/client"
	"github.com/gamutdb/gamut/cmd/gamut/internal/shell"
)

func shellCommand(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "shell",
		Short: "Read statements about keys and transactions, line by line",
		Long: `Read statements about keys and transactions, line by line, from a terminal or from standard input; help lists them.

Between begin and commit what is read is remembered with its version, and what is written waits: commit does all of it at one
instant, if all that was read is still so, over any shards and linearizable keyspaces.`,
		Example: `  printf 'begin\nget stock\nput stock 2\ncommit\n' | gamut shell`,
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return g.shell(c) },
	}
}

// shell runs a shell over standard input. A session that --session names goes on in it.
func (g *global) shell(c *cobra.Command) error {
	session := client.NewSession()
	if g.session != "" {
		session.Restore(g.keyspace, g.session)
	}
	cl, err := client.Open(g.cluster().Addresses(), client.Options{Timeout: requestTimeout, Session: session})
	if err != nil {
		return usage(err)
	}
	defer cl.Close()
	o := shell.Options{Client: cl, Keyspace: g.keyspace, Out: c.OutOrStdout(), Errors: c.ErrOrStderr()}
	if f, ok := c.InOrStdin().(*os.File); ok && term.IsTerminal(int(f.Fd())) && term.IsTerminal(int(os.Stdout.Fd())) {
		err = runTerminal(c, f, o)
	} else {
		err = shell.New(o).Run(c.Context(), &file{bufio.NewScanner(c.InOrStdin())})
	}
	if token := session.Token(g.keyspace); g.sessionFile != "" && token != "" {
		err = errors.Join(err, g.saveSession(token))
	}
	return err
}

// file reads the lines of what is no terminal.
type file struct{ scanner *bufio.Scanner }

// ReadLine implements shell.Lines.
func (f *file) ReadLine() (string, error) {
	if f.scanner.Scan() {
		return f.scanner.Text(), nil
	}
	if err := f.scanner.Err(); err != nil {
		return "", err
	}
	return "", io.EOF
}

// tab completes a statement.
const tab = '\t'

// runTerminal runs a shell for a person: lines are edited, earlier ones come back, and tab completes.
func runTerminal(c *cobra.Command, in *os.File, o shell.Options) error {
	before, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return fmt.Errorf("terminal: %w", err)
	}
	defer term.Restore(int(in.Fd()), before)
	t := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{in, os.Stdout}, "")
	if width, height, err := term.GetSize(int(os.Stdout.Fd())); err == nil && width > 0 {
		err = t.SetSize(width, height)
		if err != nil {
			return fmt.Errorf("terminal: %w", err)
		}
	}
	o.Out, o.Errors, o.Prompt = t, t, t.SetPrompt
	s := shell.New(o)
	t.AutoCompleteCallback = func(line string, pos int, key rune) (string, int, bool) {
		if key != tab || pos != len(line) {
			return "", 0, false
		}
		completed, ok := s.Complete(line)
		return completed, len(completed), ok
	}
	fmt.Fprintln(t, "help lists the statements, exit or Ctrl-D leaves")
	return s.Run(c.Context(), t)
}
