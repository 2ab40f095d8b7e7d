package shell

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/gamutdb/gamut/client"
	"github.com/gamutdb/gamut/internal/trial"
	"github.com/gamutdb/gamut/kv"
)

// script is lines, before some of which something happens elsewhere.
type script struct {
	lines  []string
	before map[string]func()
}

func (s *script) ReadLine() (string, error) {
	if len(s.lines) == 0 {
		return "", io.EOF
	}
	line := s.lines[0]
	s.lines = s.lines[1:]
	if f := s.before[line]; f != nil {
		f()
	}
	return line, nil
}

// stage is a cluster of one node, and shells at it.
type stage struct {
	t      *testing.T
	client *client.Client
}

func newStage(t *testing.T) *stage {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	cluster, err := trial.Start(1)
	if err == nil {
		err = errors.Join(cluster.Create(kv.CreateKeyspace{Name: "bank", Consistency: kv.Linearizable, Shards: 4}),
			cluster.Create(kv.CreateKeyspace{Name: "elsewhere", Consistency: kv.Linearizable}))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Close(); err != nil {
			t.Error(err)
		}
	})
	c, err := client.Open(cluster.Addresses(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &stage{t, c}
}

// run runs lines as those of a file, or of a person, who sees prompts.
func (s *stage) run(person bool, lines *script) (out string, err error) {
	var b bytes.Buffer
	o := Options{Client: s.client, Keyspace: "bank", Out: &b, Errors: &b}
	if person {
		o.Prompt = func(text string) { b.WriteString(text) }
	}
	err = New(o).Run(context.Background(), lines)
	return b.String(), err
}

func (s *stage) put(key, value string) {
	if _, err := s.client.Keyspace("bank").Put(context.Background(), key, []byte(value)); err != nil {
		s.t.Error(err)
	}
}

// TestConflictNamesTheKey that has changed since it was read, and nothing is done.
func TestConflictNamesTheKey(t *testing.T) {
	s := newStage(t)
	s.put("alice", "10")
	lines := &script{[]string{"begin", "get alice", "get bob", "put bob 5", "commit"}, map[string]func(){"commit": func() { s.put("alice", "11") }}}
	out, err := s.run(false, lines)
	var failed *FailedError
	if !errors.As(err, &failed) || failed.Line != 5 || !errors.Is(err, failed.First) ||
		!strings.Contains(out, `line 5: conflict: key "alice" in keyspace "bank" changed since it was read; nothing was done`) {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err := s.client.Keyspace("bank").Get(context.Background(), "bob"); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("bob: %v", err)
	}
	// Nothing was written: whether what was read belongs together is all that there is to say.
	lines = &script{[]string{"begin", "get alice", "get bob", "commit"}, map[string]func(){"get bob": func() { s.put("alice", "12") }}}
	if out, err = s.run(false, lines); err == nil || !strings.Contains(out, `key "alice" in keyspace "bank" changed`) {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestPersonSeesWhereTheShellStands, and that an error spoils nothing.
func TestPersonSeesWhereTheShellStands(t *testing.T) {
	s := newStage(t)
	out, err := s.run(true, &script{lines: []string{"begin", "dance", "put a 1", "commit", "keyspace elsewhere", "exit", "put b 1"}})
	for _, want := range []string{"bank> bank*> \"dance\" is not a statement", "bank*> bank*> committed\n", "bank> elsewhere: linearizable", "elsewhere> "} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if err != nil || strings.Contains(out, "line ") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestComplete(t *testing.T) {
	s := New(Options{})
	for line, want := range map[string]string{"pu": "put ", "keys": "keyspace", "k": "keyspace", "": "", "x": "", "get ": "", "keyspace": "", "keyspaces": "keyspaces ", "c": "", "co": "commit "} {
		if got, ok := s.Complete(line); ok != (want != "") || ok && got != want {
			t.Errorf("%q: %q, %t", line, got, ok)
		}
	}
}

// TestEveryStatementIsExplained, and says how it is used when it is used otherwise.
func TestEveryStatementIsExplained(t *testing.T) {
	s := New(Options{})
	for _, v := range s.verbs {
		if !strings.HasPrefix(v.usage, v.name) || v.help == "" {
			t.Errorf("%+v", v)
		}
		if v.name == "help" {
			continue
		}
		if err := s.execute(context.Background(), v.name+strings.Repeat(" x", v.most+1)); err == nil || !strings.HasPrefix(err.Error(), v.name+" is: ") {
			t.Errorf("%s: %v", v.name, err)
		}
	}
}

// FuzzExecute: no line makes the shell fall.
func FuzzExecute(f *testing.F) {
	for _, line := range []string{"get", `put "a`, "if a is b", "level bounded:", "receipt x", "# x", "commit", "?"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		c, err := client.Open([]string{"127.0.0.1:1"}, client.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // nothing is sent
		s := New(Options{Client: c, Keyspace: "k", Out: io.Discard, Errors: io.Discard})
		_ = s.execute(ctx, "begin")
		_ = s.execute(ctx, line)
	})
}
