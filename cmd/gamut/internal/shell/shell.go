// Package shell executes statements about keys as they come, line by line, from a person or a file.
//
// It is one session of the Go client. Between begin and commit nothing is changed and nothing is locked: what is read there is
// remembered with its version, what is written is collected, and commit sends it whole, with the versions as conditions.
//
// Others rely on this: a statement that fails says what is wrong and changes nothing else; in a file, a transaction with a statement
// that failed is never committed.
//
// Start with Shell.Run; statements.go has the words, transaction.go what is open between begin and commit.
package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gamutdb/gamut/client"
	"github.com/gamutdb/gamut/cmd/gamut/internal/statements"
	"github.com/gamutdb/gamut/kv"
)

// statementTime bounds each statement.
const statementTime = 10 * time.Second

// Lines are what is read, one without its end at a time; io.EOF ends them.
type Lines interface{ ReadLine() (string, error) }

// Options of a Shell.
type Options struct {
	Client   *client.Client
	Keyspace string
	// Out gets results, Errors what went wrong.
	Out, Errors io.Writer
	// Prompt, for a person, is called with what the shell stands at before each line; nil: the lines are those of a file.
	Prompt func(text string)
}

// Shell executes statements.
type Shell struct {
	options  Options
	keyspace string
	level    kv.Level
	receipts bool
	open     *transaction
	over     bool
	verbs    []verb
}

// New makes a shell that stands at a keyspace.
func New(o Options) *Shell { return &Shell{options: o, keyspace: o.Keyspace, verbs: vocabulary()} }

// FailedError says that statements of a file failed; each was told when it did.
type FailedError struct {
	Count, Line int
	// First is what the first of them said, in line Line.
	First error
}

// Error counts them.
func (e *FailedError) Error() string {
	if e.Count == 1 {
		return fmt.Sprintf("the statement in line %d failed", e.Line)
	}
	return fmt.Sprintf("%d statements failed, the first in line %d", e.Count, e.Line)
}

// Unwrap is what the first of them said.
func (e *FailedError) Unwrap() error { return e.First }

// Run executes lines until they end or exit is said. Where they are those of a file, a *FailedError tells of what failed.
func (s *Shell) Run(ctx context.Context, lines Lines) error {
	var failed FailedError
	n := 0
	note := func(err error) {
		if failed.Count++; failed.Count == 1 {
			failed.Line, failed.First = n, err
		}
		if s.options.Prompt == nil {
			fmt.Fprintf(s.options.Errors, "line %d: ", n)
		}
		fmt.Fprintln(s.options.Errors, describe(err))
	}
	for !s.over && ctx.Err() == nil {
		s.prompt()
		line, err := lines.ReadLine()
		if errors.Is(err, io.EOF) {
			if s.options.Prompt != nil {
				s.say("") // what follows begins on a line of its own
			}
			break
		}
		if err != nil {
			return fmt.Errorf("read a statement: %w", err)
		}
		n++
		if err := s.execute(ctx, line); err != nil {
			note(err)
			if s.open != nil && s.options.Prompt == nil {
				s.open.spoiled = n
			}
		}
	}
	if s.open != nil {
		note(errors.New("the transaction was not committed; nothing was done"))
	}
	if s.options.Prompt == nil && failed.Count > 0 {
		return &failed
	}
	return nil
}

func (s *Shell) prompt() {
	if s.options.Prompt == nil {
		return
	}
	mark := ""
	if s.open != nil {
		mark = "*"
	}
	s.options.Prompt(s.keyspace + mark + "> ")
}

// execute executes one line.
func (s *Shell) execute(ctx context.Context, line string) error {
	words, err := statements.Words(line)
	if err != nil || len(words) == 0 {
		return err
	}
	v := s.find(words[0])
	if v == nil {
		return fmt.Errorf("%q is not a statement; help lists them", words[0])
	}
	if n := len(words) - 1; n < v.least || n > v.most {
		return fmt.Errorf("%s is: %s", v.name, v.usage)
	}
	switch {
	case s.open == nil && v.where == within:
		return fmt.Errorf("%s stands between begin and commit", v.name)
	case s.open != nil && v.where == outside:
		return fmt.Errorf("%s cannot stand in a transaction; commit or abort it first", v.name)
	}
	ctx, cancel := context.WithTimeout(ctx, statementTime)
	defer cancel()
	return v.run(ctx, s, words[1:])
}

// say prints a result.
func (s *Shell) say(format string, args ...any) { fmt.Fprintf(s.options.Out, format+"\n", args...) }

// at is the keyspace that statements are about.
func (s *Shell) at() *client.Keyspace { return s.options.Client.Keyspace(s.keyspace) }

// with are the options of an operation outside of transactions; the receipt, if one is wanted, is printed by tell.
func (s *Shell) with(r *kv.Receipt, more ...client.Option) []client.Option {
	if s.level != kv.LevelDefault {
		more = append(more, client.Level(s.level))
	}
	if s.receipts {
		more = append(more, client.Receipt(r))
	}
	return more
}

func (s *Shell) tell(r *kv.Receipt) {
	if !s.receipts || r.Met == "" {
		return
	}
	var words []string
	for _, f := range r.Fields() {
		words = append(words, f.Name+" "+f.Text)
	}
	s.say("  %s", strings.Join(words, ", "))
}

// describe is an error in one line. What the client joins for programs would say it twice.
func describe(err error) string {
	var e *kv.Error
	isCode := errors.As(err, &e)
	switch {
	case errors.Is(err, client.ErrNotFound):
		before, _, _ := strings.Cut(err.Error(), ": "+client.ErrNotFound.Error())
		return before + ": not found"
	case errors.Is(err, client.ErrCondition) && isCode:
		before, _, _ := strings.Cut(err.Error(), ": "+client.ErrCondition.Error())
		return before + ": " + e.Error()
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}

// text is a value as people read it: quoted where bytes would not show.
func text(b []byte) string {
	hidden := func(r rune) bool { return !unicode.IsPrint(r) }
	if len(b) == 0 || !utf8.Valid(b) || strings.ContainsFunc(string(b), hidden) {
		return strconv.Quote(string(b))
	}
	return string(b)
}

// Complete is the word that the beginning of a line is completed to, for a key like tab; ok is false if there is no one word.
func (s *Shell) Complete(line string) (completed string, ok bool) {
	var found []string
	for i := range s.verbs {
		if strings.HasPrefix(s.verbs[i].name, line) {
			found = append(found, s.verbs[i].name)
		}
	}
	if line == "" || len(found) == 0 {
		return "", false
	}
	shared := found[0]
	for _, f := range found[1:] {
		for !strings.HasPrefix(f, shared) {
			shared = shared[:len(shared)-1]
		}
	}
	if len(found) == 1 {
		shared += " "
	}
	return shared, shared != line
}
