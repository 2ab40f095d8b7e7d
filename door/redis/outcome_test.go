package redis

import (
	"strings"
	"testing"

	"github.com/gamutdb/gamut/kv"
)

func TestRequestGivesOneWriteANumber(t *testing.T) {
	db := newFake()
	var numbers []uint64
	db.fail = func(c *kv.Call) kv.Result {
		numbers = append(numbers, c.Command.Session.Seq)
		return kv.Result{}
	}
	_, address := start(t, db, Options{})
	c := dial(t, address)
	number := kv.Session{Client: [16]byte{7}, Seq: 5}.Number()
	for _, line := range [][]string{
		{"+OK\r\n", "GAMUT.REQUEST", number, "SET", "a", "1"},
		{"+OK\r\n", "SET", "a", "2"},
		{"-ERR invalid request: \"x\" is not", "GAMUT.REQUEST", "x", "SET", "a", "1"},
		{"-ERR GAMUT.REQUEST is for writes of one key, not for 'get'", "GAMUT.REQUEST", number, "GET", "a"},
		{"-ERR GAMUT.REQUEST is for writes of one key, not for 'mset'", "GAMUT.REQUEST", number, "MSET", "a", "1", "b", "2"},
		{"-ERR GAMUT.REQUEST is for writes of one key, not for 'gamut.request'", "GAMUT.REQUEST", number, "GAMUT.REQUEST", number, "SET", "a", "1"},
		{"-ERR unknown command", "GAMUT.REQUEST", number, "FROB", "a"},
		{"-ERR invalid request: \"x\" is neither", "GAMUT.OUTCOME", "x"},
		{"-ERR no such keyspace", "GAMUT.OUTCOME", "nowhere.YQ." + number},
		{"+OK\r\n", "SET", "a", "3"},
	} {
		if got := c.do(line[1:]...); !strings.HasPrefix(got, line[0]) {
			t.Errorf("%q: %q, want %q", line[1:], got, line[0])
		}
	}
	if len(numbers) != 3 || numbers[0] != 5 || numbers[1] != 0 || numbers[2] != 0 {
		t.Errorf("the writes came under the numbers %v", numbers)
	}
}

// teller knows of one request that is done.
type teller struct{ *fakeDatabase }

func (d teller) Submit(b *kv.Batch) {
	b.Start()
	for _, c := range b.Calls() {
		c.Done(kv.Result{Existed: c.Command.AsksOutcome(), Items: []kv.Result{{Int: 7}}})
	}
}

func TestOutcomeIsAMap(t *testing.T) {
	_, address := start(t, teller{newFake()}, Options{})
	c := dial(t, address)
	id := kv.RequestID{Keyspace: "default", Key: []byte("a"), Session: kv.Session{Seq: 1}}.String()
	want := "*6\r\n$7\r\noutcome\r\n$4\r\ndone\r\n$6\r\nresult\r\n$2\r\nok\r\n$3\r\nint\r\n$1\r\n7\r\n"
	if got := c.do("GAMUT.OUTCOME", id); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
