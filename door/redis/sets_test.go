package redis

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/gamutdb/gamut/kv"
)

// set does what kv says of operations on sets.
func (s *fakeStep) set(op *kv.Op, old *fakeRecord) kv.Result {
	if old != nil && old.set == nil {
		return kv.Result{Code: kv.WrongType, Existed: true}
	}
	if old == nil && op.Kind == kv.OpInclude {
		old = &fakeRecord{set: map[string]bool{}}
		s.shard.records[string(op.Key)] = old
	}
	if old == nil {
		return kv.Result{Code: kv.NotFound}
	}
	has := old.set[string(op.Value)]
	switch r := (kv.Result{Existed: has}); op.Kind {
	case kv.OpInclude:
		old.set[string(op.Value)] = true
		return r
	case kv.OpExclude:
		if delete(old.set, string(op.Value)); !has {
			r.Code = kv.NotFound
		}
		return r
	case kv.OpMember:
		if has {
			r.Int = 1
		}
		return r
	}
	r := kv.Result{Int: int64(len(old.set))}
	for _, value := range slices.Sorted(maps.Keys(old.set)) {
		r.Items = append(r.Items, kv.Result{Value: []byte(value)})
	}
	return r
}

func TestSets(t *testing.T) {
	_, address := start(t, newFake(), Options{})
	c := dial(t, address)
	for _, step := range [][2]string{
		{"SADD s b a b", ":2"},
		{"SADD s a", ":0"},
		{"SMEMBERS s", "*2 $1 a $1 b"},
		{"SMEMBERS none", "*0"},
		{"SISMEMBER s a", ":1"},
		{"SISMEMBER s x", ":0"},
		{"SISMEMBER none x", ":0"},
		{"SMISMEMBER s a x", "*2 :1 :0"},
		{"SCARD s", ":2"},
		{"SCARD none", ":0"},
		{"SREM s a x", ":1"},
		{"SREM none x", ":0"},
		{"TYPE s", "+set"},
		{"EXISTS s", ":1"},
		{"SET k v", "+OK"},
		{"SADD k x", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
		{"GET s", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
		{"STRLEN s", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
		{"SADD s", "-ERR wrong number of arguments for 'sadd' command"},
		{"SUNION s k", "-ERR 'sunion' is not offered: sets are added to, removed from and read one by one"},
		{"MULTI", "+OK"}, {"SADD s y", "+QUEUED"}, {"SCARD s", "+QUEUED"}, {"EXEC", "*2 :1 :2"},
		{"HELLO 3", ""}, {"SMEMBERS s", "~2 $1 b $1 y"},
	} {
		got := strings.TrimSpace(strings.ReplaceAll(c.do(strings.Fields(step[0])...), "\r\n", " "))
		if got != step[1] && step[1] != "" {
			t.Errorf("%s: %q, not %q", step[0], got, step[1])
		}
	}
}

// TestOneCommandAtALevel: GAMUT.AT changes the level of its command and of no other.
func TestOneCommandAtALevel(t *testing.T) {
	db := newFake()
	var asked []kv.Level
	db.fail = func(call *kv.Call) kv.Result {
		asked = append(asked, call.Command.Level)
		return kv.Result{}
	}
	_, address := start(t, db, Options{})
	c := dial(t, address)
	c.want("GAMUT.AT eventual SET k v", "+OK\r\n")
	c.want("GET k", "$1\r\nv\r\n")
	c.want("GAMUT.AT bounded:5s GET k", "$1\r\nv\r\n")
	c.want("GAMUT.AT eventual SCAN 0", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nk\r\n")
	c.want("GAMUT.LEVEL", "$7\r\ndefault\r\n")
	if eventual, five := kv.LevelEventual, mustLevel("bounded:5s"); !slices.Equal(asked, []kv.Level{eventual, kv.LevelDefault, five, eventual}) {
		t.Errorf("asked %v", asked)
	}
	for command, says := range map[string]string{
		"GAMUT.AT eventual":             "wrong number of arguments",
		"GAMUT.AT eventual PING":        "for commands on keys",
		"GAMUT.AT sometimes GET k":      "is not known",
		"GAMUT.AT eventual NOSUCH k":    "unknown command",
		"GAMUT.AT one GAMUT.AT two GET": "for commands on keys",
		"GAMUT.AT eventual GET":         "wrong number of arguments for 'get'",
	} {
		if got := c.do(strings.Fields(command)...); !strings.HasPrefix(got, "-ERR ") || !strings.Contains(got, says) {
			t.Errorf("%s: %q", command, got)
		}
	}
	c.do("MULTI")
	c.want("GAMUT.AT eventual GET k", "-ERR Command not allowed inside a transaction\r\n")
}

func mustLevel(word string) kv.Level {
	l, err := kv.ParseLevel(word)
	if err != nil {
		panic(err)
	}
	return l
}

// TestContextsGoWithTheCommand: GAMUT.RESOLVE replaces what a read of siblings has seen, and GAMUT.SIBLINGS says what that is.
func TestContextsGoWithTheCommand(t *testing.T) {
	db := newFake()
	var last kv.Command
	db.fail = func(call *kv.Call) kv.Result {
		last = call.Command
		return kv.Result{}
	}
	_, address := start(t, db, Options{})
	c := dial(t, address)
	c.want("GAMUT.RESOLVE k c2Vlbg v", "+OK\r\n")
	if string(last.Context) != "seen" || last.Ops[0].Kind != kv.OpSet {
		t.Errorf("asked %+v", last)
	}
	c.want("GET k", "$1\r\nv\r\n")
	if last.Context != nil {
		t.Error("the context stays")
	}
	c.want("GAMUT.RESOLVE k c2Vlbg", ":1\r\n")
	if string(last.Context) != "seen" || last.Ops[0].Kind != kv.OpDelete {
		t.Errorf("asked %+v", last)
	}
	c.want("GAMUT.RESOLVE k !", "-BADTOKEN bad token: the context is not what a read of siblings gave\r\n")
	c.want("GAMUT.RESOLVE k c2Vlbg v w", "-ERR wrong number of arguments for 'gamut.resolve' command\r\n")
}
