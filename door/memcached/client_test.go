package memcached

import (
	"errors"
	"testing"

	"github.com/bradfitz/gomemcache/memcache"
)

func TestRealClient(t *testing.T) {
	_, address := start(t, newFake(), Options{})
	c := memcache.New(address)
	check := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	check("ping", c.Ping(), nil)
	check("set", c.Set(&memcache.Item{Key: "a", Value: []byte("1"), Flags: 9, Expiration: 100}), nil)
	check("add", c.Add(&memcache.Item{Key: "a"}), memcache.ErrNotStored)
	check("replace", c.Replace(&memcache.Item{Key: "b"}), memcache.ErrNotStored)
	check("append", c.Append(&memcache.Item{Key: "a", Value: []byte("2")}), nil)
	check("prepend", c.Prepend(&memcache.Item{Key: "a", Value: []byte("3")}), nil)
	item, err := c.Get("a")
	check("get", err, nil)
	if string(item.Value) != "312" || item.Flags != 9 {
		t.Errorf("got %q with flags %d", item.Value, item.Flags)
	}
	n, err := c.Increment("a", 8)
	check("incr", err, nil)
	m, err := c.Decrement("a", 20)
	check("decr", err, nil)
	if n != 320 || m != 300 {
		t.Errorf("counted to %d and %d", n, m)
	}
	item.Value = []byte("late")
	check("cas of an old version", c.CompareAndSwap(item), memcache.ErrCASConflict)
	_, err = c.GetAndTouch("a", 5)
	check("gat", err, nil)
	check("touch", c.Touch("b", 5), memcache.ErrCacheMiss)
	many, err := c.GetMulti([]string{"a", "b", "c"})
	if err != nil || len(many) != 1 {
		t.Errorf("get of three: %v, %v", many, err)
	}
	check("delete", c.Delete("a"), nil)
	check("delete again", c.Delete("a"), memcache.ErrCacheMiss)
	check("flush", c.FlushAll(), nil)
}
