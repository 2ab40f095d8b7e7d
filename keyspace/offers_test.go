package keyspace

import (
	"errors"
	"strings"
	"testing"

	"github.com/gamutdb/gamut/kv"
)

// levelTable is which levels a keyspace of each consistency gives, to reads and to writes: r, w, or both; - is refused. A
// quorum keyspace refuses linearizable unless it is atomic, which its replicas judge.
const levelTable = `
level                 linearizable sequential atomic quorum causal eventual
default               rw           rw         rw     rw     rw     rw
linearizable          rw           rw         rw     rw     -      -
sequential            -            rw         -      -      -      -
session               -            rw         -      -      rw     -
read-your-writes      -            rw         -      -      rw     -
monotonic-reads       -            rw         -      -      rw     -
monotonic-writes      -            rw         -      -      rw     -
writes-follow-reads   -            rw         -      -      rw     -
bounded:5s            r            r          -      -      -      -
bounded:10v           r            r          -      -      -      -
prefix                r            r          -      -      -      -
eventual              r            r          r      rw     rw     rw
one                   -            -          -      rw     -      -
two                   -            -          -      rw     -      -
quorum                -            -          -      rw     -      -
all                   -            -          -      rw     -      -
`

// TestLevelsOfEachConsistency holds the table of levels, for each level that there is and each consistency that is built.
func TestLevelsOfEachConsistency(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(levelTable), "\n")
	words := strings.Fields(lines[0])[1:]
	told := map[string][]string{}
	for _, line := range lines[1:] {
		f := strings.Fields(line)
		told[f[0]] = f[1:]
	}
	for _, c := range kv.Consistencies {
		if !strings.Contains(lines[0], string(c)) {
			t.Errorf("consistency %s is not in the table", c)
		}
	}
	for _, level := range kv.LevelWords() {
		gives := told[level]
		if gives == nil {
			t.Errorf("level %s is not in the table", level)
			continue
		}
		for i, word := range words {
			for _, op := range []kv.Op{{Kind: kv.OpGet, Key: []byte("k")}, {Kind: kv.OpSet, Key: []byte("k")}} {
				checkOffer(t, kv.Consistency(word), level, op, strings.Contains(gives[i], map[bool]string{true: "r", false: "w"}[op.Kind.ReadOnly()]))
			}
		}
	}
}

func checkOffer(t *testing.T, c kv.Consistency, level string, op kv.Op, want bool) {
	t.Helper()
	l, err := kv.ParseLevel(level)
	if err != nil {
		t.Fatal(err)
	}
	d := planned(t, c)
	err = Offers(d.Keyspace(), &kv.Command{Level: l, Ops: []kv.Op{op}})
	if err == nil && c == kv.Quorum {
		return // how many replicas there are is for them to judge
	}
	var e *kv.Error
	if (err == nil) != want || err != nil && (!errors.As(err, &e) || e.Code != kv.Unsupported || !strings.Contains(e.Detail, "level")) {
		t.Errorf("%s, level %s, operation %d: %v", c, level, op.Kind, err)
	}
}

func planned(t *testing.T, c kv.Consistency) *Descriptor {
	t.Helper()
	d, _, err := Plan(kv.CreateKeyspace{Name: "k", Consistency: c}, three, FirstNext())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestTokensAreBoundToTheClusterAndTheKeyspace: a token that comes from anywhere else is its own error, at once.
func TestTokensAreBoundToTheClusterAndTheKeyspace(t *testing.T) {
	for _, c := range []kv.Consistency{kv.Sequential, kv.Causal} {
		d := planned(t, c)
		here, there := d.Keyspace(), d.Keyspace()
		d.Tokens([16]byte{1}, here)
		d.Tokens([16]byte{2}, there)
		if here.Binding == there.Binding {
			t.Errorf("%s: tokens of two clusters are bound alike", c)
		}
		for _, token := range [][]byte{{1}, []byte("no token of anybody's"), make([]byte, 21)} {
			var e *kv.Error
			if err := here.CheckToken(token); !errors.As(err, &e) || e.Code != kv.BadToken {
				t.Errorf("%s: %q: %v", c, token, err)
			}
		}
	}
}
