package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		line string
		want []word
	}{
		{"", nil}, {"  \t ", nil}, {"# nothing", nil},
		{"put 1 x y  ", []word{{"put", false}, {"1", false}, {"x", false}, {"y", false}}},
		{"put k # v", []word{{"put", false}, {"k", false}}},
		{"put k#1 v", []word{{"put", false}, {"k#1", false}, {"v", false}}},
		{`get "a b"`, []word{{"get", false}, {"a b", true}}},
		{`get 'a "b"'`, []word{{"get", false}, {`a "b"`, true}}},
		{`get "\x00\n\u00e9\""`, []word{{"get", false}, {"\x00\né\"", true}}},
		{`put {'a': (1, "}")} [ ]`, []word{{"put", false}, {`{'a': (1, "}")}`, true}, {"[ ]", true}}},
		{"put \"\" ''", []word{{"put", false}, {"", true}, {"", true}}},
	} {
		got, err := split(c.line)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%q: %v, %v", c.line, got, err)
		}
	}
	for _, line := range []string{`get "a`, `get 'a`, `get "\q"`, `get {1`, `get "a"b`, `get {1}2`, `get ("}`} {
		if got, err := split(line); err == nil {
			t.Errorf("%q is read as %v", line, got)
		}
	}
}

func TestMistakes(t *testing.T) {
	for _, c := range []struct{ script, says string }{
		{"frobnicate 1", `s:1: there is no statement "frobnicate"; expected one of those that ` + "`gamut lab commands` prints"},
		{"put k", "s:1: expected: put CLIENT KEY VALUE {options} (\"k\" is no client's number), or: put|set KEY VALUE [LEVEL] {context=TEXT} {options} (it ends where VALUE should follow)"},
		{"\n\nput k v at 9", "(at: there is no node 9; the nodes are 1, 2, 3)"},
		{"put k v w", `"w" is no level; the levels are linearizable, sequential,`},
		{"put k v at 1 at 2", "at is given twice"},
		{"put k v one colour=red", `"colour=red" is more than it takes`},
		{"put k v at", "at needs a value"},
		{"get 5 k", `no client 5 has joined above`},
		{"get k as 5", `as: no client 5 has joined above`},
		{"crash", "s:1: expected: crash NODES... [kept|lost|torn] (it ends where NODES should follow)"},
		{"crash 1 2 burned", `"burned" is no node`},
		{"crash 4", "there is no node 4; the nodes are 1, 2, 3"},
		{"cut 1", `"1" is no link; give one as 1-2 or 1->2, or all`},
		{"cut 1-1", "leads from a node to itself"},
		{"cut 1->9", "there is no node 9"},
		{"sleep 5", `"5" is no time up to 24h`},
		{"sleep -5s", "is no time"},
		{"loss all 120%", "is no chance from 0% to 100%"},
		{"loss all NaN", "is no chance"},
		{"print", `"print" cannot stand there; expected: print kvstore|kv`},
		{"print nonsense", `"nonsense" cannot stand there; expected: print kvstore|kv`},
		{"sleep 1s &", "only client commands can run in the background"},
		{"&", "nothing stands before the &"},
		{"! put k v &", "a ! can stand before what is done at once"},
		{"get k\nseed 3", "s:2: seed is a setting; it must stand above all statements"},
		{"seed -1", "is no whole number from 0 on"},
		{"cluster nodes 11", "s:1: a cluster of 11 nodes; give 1 to 10"},
		{"cluster nodes 0", "is no whole number from 1"},
		{"world moon", `"moon" is not sim or live`},
		{"tie up", `"up" is not low or high`},
		{"session loose", `"loose" is not strict or per-key`},
		{"----\nx", "s:1: nothing stands above ---- that could print"},
		{"get k\n----\n----\nx", "s:2: the doubled ---- is not closed"},
		{strings.Join(joins(11), "\n"), "it starts 11 different servers; 10 are possible"},
		{"joinServer 0\nprintStore 1", "s:2: expected: printStore NODE {in=KEYSPACE} (there is no node 1; the nodes are 0)"},
		{"joinClient 5 0", "there is no node 0"},
		{"clock 1 rate fast", "is no whole number"},
		{"disk 1 melt", `"melt" is not hang or error or full or ok`},
		{`get "a`, "is not closed"},
	} {
		_, err := Parse("s", strings.NewReader(c.script))
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q:\n got %v\nwant ...%s", c.script, err, c.says)
		}
		var m *Mistake
		if errors.As(err, &m) && m.Line < 1 {
			t.Errorf("%q: line %d", c.script, m.Line)
		}
	}
}

// TestReadings holds how lines are read that could be read in two ways.
func TestReadings(t *testing.T) {
	for _, c := range []struct{ script, form string }{
		{"put 1 k quorum", "put|set KEY VALUE [LEVEL]"},
		{"joinClient 1 2\nput 1 k quorum", "put CLIENT KEY VALUE"},
		{"put k quorum", "put|set KEY VALUE [LEVEL]"},
		{"get 137 quorum", "get KEY [LEVEL]"},
		{"joinClient 137 2\nget 137 quorum", "get CLIENT KEY"},
		{"PUT k v", "put|set KEY VALUE [LEVEL]"},
		{"failLink 1 2", "failLink PEER1 PEER2"},
		{"failLink 8001", "failLink PEER1"},
		{"show", "status|show|debug"},
		{"?", "help|?"},
	} {
		s, err := Parse("s", strings.NewReader(c.script))
		if err != nil {
			t.Errorf("%q: %v", c.script, err)
			continue
		}
		last := s.steps[len(s.steps)-1].statements
		if got := last[len(last)-1].form.row.form; !strings.HasPrefix(got, c.form) {
			t.Errorf("%q is read as %q", c.script, got)
		}
	}
}

func TestSettings(t *testing.T) {
	s, err := Parse("s", strings.NewReader("world live\ncluster nodes 4\nseed 9\ntimeout 2s\nconsistency causal\ntie high\nsession per-key\nget k"))
	if err != nil {
		t.Fatal(err)
	}
	if s.World != "live" || s.Setting.Nodes != 4 || s.Setting.Seed != 9 || s.Timeout.Seconds() != 2 || s.Consistency != "causal" ||
		s.Tie != "high" || s.Session != "per-key" {
		t.Errorf("%+v", s)
	}
}

// TestPlayRefuses holds what is found only when a script is played.
func TestPlayRefuses(t *testing.T) {
	for _, c := range []struct{ script, says string }{
		{"world live\nget k", `there is no world "live" here`},
		{"consistency quantum\nget k", `consistency "quantum" is not known; there are`},
		{"tie low\nget k", "tie is for causal and eventual keyspaces; default is linearizable"},
		{"session per-key\nget k", "session is for causal keyspaces; default is linearizable"},
		{"! get k", "s:1: it should have been refused"},
		{"crash 1\ncrash 1", "s:2: crash 1: node 1 does not run"},
		{"crash all\nawait leader 2s", "nobody leads keyspace default after 2s"},
		{"cut all\nput k v timeout 1s\nheal\nisolate 1\nput k w at 2 timeout 10s\nstabilize 1s", ""},
		{"joinServer 3\njoinServer 3", "s:2: joinServer 3: node 3 runs"},
	} {
		s, err := Parse("s", strings.NewReader(c.script))
		if err != nil {
			t.Errorf("%q: %v", c.script, err)
			continue
		}
		var out strings.Builder
		_, err = Play(context.Background(), s, Options{Worlds: sims, Out: &out})
		if c.says == "" && err == nil {
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q:\n got %v\nwant ...%s\n%s", c.script, err, c.says, out.String())
		}
	}
}

// TestUnmetExpectation is the canary of every script: what differs is told.
func TestUnmetExpectation(t *testing.T) {
	s, err := Parse("s", strings.NewReader("put k v\n----\nok\n\nget k\n----\nw\n"))
	if err != nil {
		t.Fatal(err)
	}
	o, err := Play(context.Background(), s, Options{Worlds: sims, Out: os.Stdout})
	if err != nil || o.Held != 1 || len(o.Failures) != 1 {
		t.Fatalf("%+v, %v", o, err)
	}
	if f := o.Failures[0]; f.Line != 6 || f.Want != "w\n" || f.Got != "v\n" {
		t.Errorf("%+v", f)
	}
}

func TestRewrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.lab")
	const before = "# kept\nseed 5\nput k v # kept, too\n\nget k\n----\nwrong\nand more\n\necho a\necho ''\necho b\n\nsleep 1s"
	const after = "# kept\nseed 5\nput k v # kept, too\n----\nok\n\nget k\n----\nv\n\necho a\necho ''\necho b\n----\n----\na\n\nb\n----\n----\n\nsleep 1s\n"
	if err := os.WriteFile(path, []byte(before), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Parse(path, f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Rewrite(context.Background(), s, Options{Worlds: sims, Out: os.Stdout}); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != after {
			t.Fatalf("%v\n%s", err, got)
		}
	}
	s, err := Parse(path, strings.NewReader(after))
	if err != nil {
		t.Fatal(err)
	}
	o, err := Play(context.Background(), s, Options{Worlds: sims, Out: os.Stdout})
	if err != nil || o.Held != 3 || len(o.Failures) != 0 {
		t.Errorf("%+v, %v", o, err)
	}
}

// FuzzParse reads anything without a panic, and what it accepts again in the same way.
func FuzzParse(f *testing.F) {
	paths, _ := filepath.Glob("testdata/*.lab")
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("put \"a\\x00\" {1} & # c\n----\n----\n\n----\n----\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse("s", strings.NewReader(text))
		if err != nil {
			return
		}
		again, err := Parse("s", strings.NewReader(newRewriting(s).text()))
		if err != nil || len(again.steps) != len(s.steps) {
			t.Errorf("%q: read once, not twice: %v", text, err)
		}
	})
}

// TestLongLines ends only if a list of words is read in one go: tried word by word, these took minutes.
func TestLongLines(t *testing.T) {
	many := strings.Repeat(" 1", 200_000)
	for _, c := range []struct {
		line string
		good bool
	}{{"echo" + many, true}, {"crash" + many + " lost", true}, {"crash" + many + " x", false}, {"get k" + many, false}} {
		if _, err := Parse("s", strings.NewReader(c.line)); (err == nil) != c.good {
			t.Errorf("%.20s: %v", c.line, err)
		}
	}
}

// joins are statements that start so many servers.
func joins(n int) (lines []string) {
	for i := range n {
		lines = append(lines, fmt.Sprint("joinServer ", i))
	}
	return lines
}
