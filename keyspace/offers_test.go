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
sequential            rw           rw         rw     -      -      -
session               rw           rw         rw     -      rw     -
read-your-writes      rw           rw         rw     -      rw     -
monotonic-reads       rw           rw         rw     -      rw     -
monotonic-writes      rw           rw         rw     -      rw     -
writes-follow-reads   rw           rw         rw     -      rw     -
bounded:5s            r            r          r      -      -      -
bounded:10v           r            r          r      -      -      -
prefix                r            r          -      -      -      -
eventual              r            r          r      rw     rw     rw
one                   -            -          -      rw     -      -
two                   -            -          -      rw     -      -
quorum                -            -          -      rw     -      -
all                   -            -          -      rw     -      -
tentative             -            -          -      -      -      -
committed             -            -          -      -      -      -
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

// TestOffersOfACommitOrder: what a keyspace with a commit order gives beyond a causal one, and what it refuses.
func TestOffersOfACommitOrder(t *testing.T) {
	d, _, err := Plan(kv.CreateKeyspace{Name: "k", Consistency: kv.Causal, CommitOrder: true}, three, FirstNext())
	if err != nil {
		t.Fatal(err)
	}
	ks, key := d.Keyspace(), []byte("k")
	absent := []kv.Cond{{Kind: kv.CondAbsent, Key: key}}
	for name, c := range map[string]struct {
		command kv.Command
		refused bool
	}{
		"set":                     {kv.Command{Ops: []kv.Op{{Kind: kv.OpSet, Key: key}}}, false},
		"set, committed":          {kv.Command{Level: kv.LevelCommitted, Ops: []kv.Op{{Kind: kv.OpSet, Key: key}}}, false},
		"get, tentative":          {kv.Command{Level: kv.LevelTentative, Ops: []kv.Op{{Kind: kv.OpGet, Key: key}}}, false},
		"barrier, committed":      {kv.Command{Level: kv.LevelCommitted, Ops: []kv.Op{{}}}, false},
		"append":                  {kv.Command{Ops: []kv.Op{{Kind: kv.OpAppend, Key: key}}}, false},
		"condition":               {kv.Command{Conds: absent, Ops: []kv.Op{{Kind: kv.OpSet, Key: key}}}, false},
		"merge procedure":         {kv.Command{Conds: absent, Ops: []kv.Op{{Kind: kv.OpSet, Key: key}}, Merge: &kv.Merge{Kind: kv.MergeMax}}, false},
		"linearizable":            {kv.Command{Level: kv.LevelLinearizable, Ops: []kv.Op{{Kind: kv.OpGet, Key: key}}}, true},
		"time to live":            {kv.Command{Ops: []kv.Op{{Kind: kv.OpSet, Key: key, Expiry: kv.ExpireIn, Expire: 5}}}, true},
		"a set":                   {kv.Command{Ops: []kv.Op{{Kind: kv.OpInclude, Key: key}}}, true},
		"siblings":                {kv.Command{Ops: []kv.Op{{Kind: kv.OpSiblings, Key: key}}}, true},
		"a context":               {kv.Command{Context: []byte("seen"), Ops: []kv.Op{{Kind: kv.OpSet, Key: key}}}, true},
		"clear":                   {kv.Command{Ops: []kv.Op{{Kind: kv.OpClear}}}, true},
		"condition on a get":      {kv.Command{Conds: absent, Ops: []kv.Op{{Kind: kv.OpGet, Key: key}}}, true},
		"append with a session":   {kv.Command{Session: kv.Session{Seq: 1}, Ops: []kv.Op{{Kind: kv.OpAppend, Key: key}}}, true},
		"time to live, elsewhere": {kv.Command{Conds: absent, Ops: []kv.Op{{Kind: kv.OpSet, Key: key}}, Merge: &kv.Merge{Kind: kv.MergeAlternatives, Alternatives: []kv.Alternative{{Ops: []kv.Op{{Kind: kv.OpExpire, Key: key}}}}}}, true},
	} {
		err := Offers(ks, &c.command)
		if (err != nil) != c.refused {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && c.command.Level == kv.LevelDefault && !strings.Contains(err.Error(), "keyspace") {
			t.Errorf("%s: it does not say what to use: %v", name, err)
		}
	}
	merge := kv.Command{Conds: absent, Ops: []kv.Op{{Kind: kv.OpSet, Key: key}}, Merge: &kv.Merge{Kind: kv.MergeMax}}
	for _, c := range kv.Consistencies {
		if Offers(planned(t, c).Keyspace(), &merge) == nil {
			t.Errorf("a %s keyspace takes a merge procedure", c)
		}
	}
	if _, _, err := Plan(kv.CreateKeyspace{Name: "k", Consistency: kv.Quorum, CommitOrder: true}, three, FirstNext()); err == nil {
		t.Error("a quorum keyspace has a commit order")
	}
}

// TestCompanionsArePlacedBesideTheirKeyspaces: on the same nodes, under ids that were not given, and under a name that nobody can ask for.
func TestCompanionsArePlacedBesideTheirKeyspaces(t *testing.T) {
	d, next, err := Plan(kv.CreateKeyspace{Name: "k", Consistency: kv.Causal, CommitOrder: true}, three, FirstNext())
	if err != nil {
		t.Fatal(err)
	}
	c, after := d.PlanCompanion(next)
	if c.Shards[0].Group != next.Group || after.Group != next.Group+1 || after.Keyspace != next.Keyspace+1 || len(c.Shards[0].Replicas) != 3 {
		t.Errorf("the companion is %+v, then comes %+v", c, after)
	}
	for _, m := range d.Shards[0].Replicas {
		if c.Shards[0].On(m.Node) == 0 {
			t.Errorf("the companion has no replica on node %d", m.Node)
		}
	}
	for _, one := range []*Descriptor{d, c} {
		if back, err := DecodeDescriptor(one.Encode()); err != nil || back.Name != one.Name || back.Terms.CommitOrder != one.Terms.CommitOrder {
			t.Errorf("%s comes back as %+v: %v", one.Name, back, err)
		}
	}
	if CheckName(c.Name) == nil || !IsCompanion(c.Name) || IsCompanion(d.Name) {
		t.Errorf("a user can make %q", c.Name)
	}
	if none, same := planned(t, kv.Causal).PlanCompanion(next); none != nil || same != next {
		t.Error("a causal keyspace without a commit order has a companion")
	}
}
