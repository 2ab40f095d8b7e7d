package kv

import (
	"testing"
	"time"
)

func TestLevelsAreReadAsTheyAreWritten(t *testing.T) {
	for _, word := range LevelWords() {
		l, err := ParseLevel(word)
		if err != nil || l.String() != word || !l.valid() {
			t.Errorf("%q is read as %v, %v", word, l, err)
		}
	}
	for word, want := range map[string]Level{"": LevelDefault, "QUORUM": LevelQuorum, "Bounded:1500ms": BoundedAge(1500 * time.Millisecond),
		"bounded:24h": BoundedAge(BoundedAgeMax), "bounded:1000000v": BoundedVersions(BoundedVersionsMax)} {
		if l, err := ParseLevel(word); l != want || err != nil {
			t.Errorf("%q is read as %v, %v", word, l, err)
		}
	}
	for _, word := range []string{"strongest", "bounded", "bounded:", "bounded:v", "bounded:0v", "bounded:-1v", "bounded:1000001v", "bounded:0s",
		"bounded:1us", "bounded:1500us", "bounded:25h", "bounded:-5s", "bounded:5", "boundedly", "bounded:99999999999999999999v"} {
		if l, err := ParseLevel(word); err == nil {
			t.Errorf("%q is read as %v", word, l)
		}
	}
}

func TestBoundsOfLevels(t *testing.T) {
	if age, versions := BoundedAge(90 * time.Second).Bound(); age != 90*time.Second || versions != 0 {
		t.Error(age, versions)
	}
	if age, versions := BoundedVersions(7).Bound(); age != 0 || versions != 7 {
		t.Error(age, versions)
	}
	if age, versions := LevelAll.Bound(); age != 0 || versions != 0 {
		t.Error(age, versions)
	}
	for _, l := range []Level{LevelBounded, levels, BoundedAge(0), BoundedAge(BoundedAgeMax + time.Second), BoundedVersions(0), BoundedVersions(BoundedVersionsMax + 1)} {
		var c Command
		if DecodeCommand(AppendCommand(nil, &Command{Level: l, Ops: []Op{{Kind: OpGet}}}), &c) == nil {
			t.Errorf("a command of level %d was taken", uint64(l))
		}
	}
}

func TestReceiptSaysWhenReplicasNeedNotOverlap(t *testing.T) {
	for _, x := range []struct {
		replicas int
		level    Level
		weak     bool
	}{{3, LevelDefault, false}, {3, LevelOne, true}, {3, LevelEventual, true}, {3, LevelTwo, false}, {3, LevelAll, false}, {1, LevelOne, false},
		{2, LevelOne, false}, {5, LevelTwo, true}, {5, LevelQuorum, false}, {4, LevelOne, true}, {4, LevelTwo, false}} {
		ks := &Keyspace{Name: "q", Consistency: Quorum, Replicas: x.replicas}
		call := &Call{Command: Command{Level: x.level}, Result: Result{Level: x.level}}
		if r := NewReceipt(ks, call, &call.Result); r.Weak != x.weak {
			t.Errorf("%v of %d: weak is %t", x.level, x.replicas, r.Weak)
		}
	}
}
