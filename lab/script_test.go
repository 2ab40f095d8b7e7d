package lab

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewriteFlag = flag.Bool("rewrite", false, "write what scripts print into them")

var sims = map[string]Open{"sim": Simulated}

func playFile(t *testing.T, path string) {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s, err := Parse(path, f)
	if err != nil {
		t.Fatal(err)
	}
	if !s.Expects() && !*rewriteFlag {
		t.Fatalf("%s says nothing of what it prints; run the tests with -rewrite", path)
	}
	var out strings.Builder
	o := Options{Worlds: sims, Out: &out}
	play := Play
	if *rewriteFlag {
		play = Rewrite
	}
	outcome, err := play(context.Background(), s, o)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, failure := range outcome.Failures {
		t.Error(failure.Error())
	}
	if out.Len() > 0 && !*rewriteFlag {
		t.Errorf("%s prints what it does not expect:\n%s", path, out.String())
	}
}

// TestScripts plays what stands in testdata, and the examples.
func TestScripts(t *testing.T) {
	for _, pattern := range []string{"testdata/*.lab", "../examples/*.lab"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatal("no scripts", pattern, err)
		}
		for _, path := range paths {
			t.Run(strings.TrimSuffix(filepath.Base(path), ".lab"), func(t *testing.T) { playFile(t, path) })
		}
	}
}

// TestBayouScriptsHoldInEitherReadingOfTies plays the situations of a Bayou course once more, with the other server for the winner when
// two writes have one time. Only what such a tie decides is another then.
func TestBayouScriptsHoldInEitherReadingOfTies(t *testing.T) {
	for _, c := range []struct{ path, tie, won, lost string }{
		{"../examples/causal.lab", "low", "", ""},
		{"../examples/causal.lab", "high", "colour:one", "colour:zero"},
		{"../examples/causal_per_key.lab", "low", "y:zero", "y:one"},
		{"../examples/causal_per_key.lab", "high", "", ""},
		{"testdata/bayou_sessions.lab", "low", "", ""},
		{"testdata/bayou_sessions.lab", "high", "", ""},
		{"testdata/bayou_topologies.lab", "low", "", ""},
		{"testdata/bayou_topologies.lab", "high", "", ""},
	} {
		t.Run(filepath.Base(c.path)+" "+c.tie, func(t *testing.T) {
			text, err := os.ReadFile(c.path)
			if err != nil {
				t.Fatal(err)
			}
			if c.won != "" && !strings.Contains(string(text), c.lost) {
				t.Fatalf("no tie is decided: nothing prints %s", c.lost)
			}
			s, err := Parse(c.path, strings.NewReader(strings.ReplaceAll(string(text), c.lost, c.won)))
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			outcome, err := Play(context.Background(), s, Options{Worlds: sims, Tie: c.tie, Out: &out})
			if err != nil {
				t.Fatalf("%v\n%s", err, out.String())
			}
			for _, failure := range outcome.Failures {
				t.Error(failure.Error())
			}
			if outcome.Held == 0 {
				t.Error("it expects nothing")
			}
		})
	}
}
