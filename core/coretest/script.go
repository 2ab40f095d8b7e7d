package coretest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// Player plays the statements of one script that follow its first one, "start".
type Player interface {
	// Run plays one. A broken invariant, or a mistake in the script, panics.
	Run(statement string, args []string)
	// Said is what happened since it was last asked.
	Said() string
}

// Scripts plays the situations of testdata, each with a player of its own, which start makes of the words behind "start". In a script one statement stands on a line; several
// stand below a line "do". A script that has a line "# Caught: NAME" is played again with the mutation of that name, a planted
// bug, and must then end otherwise. The zero mutation is none.
func Scripts[M fmt.Stringer](t *testing.T, mutations []M, start func(mutation M, args []string) Player) {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			var none M
			steps := playFile(t, path, &script{start: func(args []string) Player { return start(none, args) }})
			for _, name := range caught(t, path) {
				t.Run("mutation "+name, func(t *testing.T) {
					bug := named(t, mutations, name)
					difference, found := differs(&script{start: func(args []string) Player { return start(bug, args) }}, steps)
					if !found {
						t.Errorf("the script ends the same with the bug %q", name)
					}
					t.Log(difference)
				})
			}
		})
	}
}

// script is a player once it was started.
type script struct {
	start  func(args []string) Player
	player Player
}

func (s *script) run(statement string, args []string) {
	switch {
	case statement == "start":
		s.player = s.start(args)
	case s.player == nil:
		panic("the first statement of a script is start")
	default:
		s.player.Run(statement, args)
	}
}

// step is some statements, and what happens.
type step struct{ lines, expected string }

// playFile holds a script against what happens, and returns its steps.
func playFile(t *testing.T, path string, s *script) (steps []step) {
	datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
		lines := d.Cmd
		for _, a := range d.CmdArgs {
			lines += " " + a.String()
		}
		if d.Input != "" {
			lines += "\n" + d.Input
		}
		steps = append(steps, step{lines, d.Expected})
		got, failed := s.play(lines)
		if failed != nil {
			t.Fatalf("%s: %s: %v", d.Pos, lines, failed)
		}
		return got
	})
	return steps
}

// caught names the planted bugs that a script is to find.
func caught(t *testing.T, path string) (names []string) {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		if name, ok := strings.CutPrefix(line, "# Caught: "); ok {
			names = append(names, name)
		}
	}
	return names
}

func named[M fmt.Stringer](t *testing.T, mutations []M, name string) (none M) {
	for _, m := range mutations {
		if m.String() == name {
			return m
		}
	}
	t.Fatalf("no mutation is called %q", name)
	return none
}

// differs plays recorded steps with a planted bug, which may panic, and says where they end otherwise.
func differs(script *script, steps []step) (where string, found bool) {
	for _, s := range steps {
		if got, failed := script.play(s.lines); failed != nil || got != s.expected {
			return fmt.Sprintf("%s\n%s%v", s.lines, got, failed), true
		}
	}
	return "", false
}

// play runs the lines of one step. A failure is a broken invariant or a mistake in the script.
func (s *script) play(lines string) (got string, failed any) {
	defer func() { failed = recover() }()
	for _, line := range strings.Split(lines, "\n") {
		if words := strings.Fields(line); len(words) > 0 && words[0] != "do" {
			s.run(words[0], words[1:])
		}
	}
	if got = s.player.Said(); got == "" {
		got = "ok\n"
	}
	return got, nil
}
