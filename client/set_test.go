package client_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gamutdb/gamut/client"
	"github.com/gamutdb/gamut/kv"
)

func TestSetsHoldAnyBytesAndAreSeenBySessionsEverywhere(t *testing.T) {
	ctx := within(t, patience)
	c := open(t, addresses, client.Options{})
	set := c.Keyspace("carts").Set("any bytes")
	if members, err := set.Members(ctx); members != nil || err != nil {
		t.Errorf("a set that is not there has %q: %v", members, err)
	}
	want := []string{"", "a&b=c", "\x00\xff", "ünïcode"}
	if n, err := set.Add(ctx, want...); n != int64(len(want)) || err != nil {
		t.Fatalf("added %d: %v", n, err)
	}
	slices.Sort(want)
	for _, address := range addresses { // one session, on each node
		moved := client.NewSession()
		moved.Restore("carts", tokenOf(t, c, "carts"))
		there := open(t, []string{address}, client.Options{Session: moved}).Keyspace("carts").Set("any bytes")
		if got, err := there.Members(ctx); !slices.Equal(got, want) || err != nil {
			t.Errorf("at %s: %q: %v", address, got, err)
		}
		if has, err := there.Has(ctx, "\x00\xff"); !has || err != nil {
			t.Errorf("at %s: %t: %v", address, has, err)
		}
	}
	if n, err := set.Remove(ctx, "", "nobody"); n != 1 || err != nil {
		t.Errorf("removed %d: %v", n, err)
	}
	if n, err := set.Count(ctx); n != 3 || err != nil {
		t.Errorf("%d members: %v", n, err)
	}
	if has, err := set.Has(ctx, ""); has || err != nil {
		t.Errorf("what was removed is there: %v", err)
	}
	for r, err := range c.Keyspace("carts").Scan(ctx, client.Range{Prefix: "any bytes"}) {
		if err != nil || !slices.Equal(r.Members, want[1:]) {
			t.Errorf("a scan finds %q: %v", r.Members, err)
		}
	}
}

// tokenOf is the token of the client's session, as an operation leaves it.
func tokenOf(t *testing.T, c *client.Client, keyspace string) string {
	t.Helper()
	var r kv.Receipt
	if _, err := c.Keyspace(keyspace).With(client.Receipt(&r)).Set("any bytes").Count(t.Context()); err != nil || r.Token == "" {
		t.Fatalf("token %q: %v", r.Token, err)
	}
	return r.Token
}

func TestSetsAndSiblingsAreRefusedWhereThereAreNone(t *testing.T) {
	ctx := within(t, patience)
	c := open(t, addresses, client.Options{})
	long := []string{}
	for i := range 300 {
		long = append(long, fmt.Sprint(i, strings.Repeat("x", 100)))
	}
	_, many := c.Keyspace("carts").Set("long").Add(ctx, long...)
	_, sets := c.Keyspace("orders").Set("set").Add(ctx, "a")
	_, siblings := c.Keyspace("orders").Siblings(ctx, "key")
	_, none := c.Keyspace("carts").Siblings(ctx, "no such key")
	_, context := c.Keyspace("carts").Put(ctx, "key", nil, client.Replacing("YQ"))
	_, damaged := c.Keyspace("notes").Put(ctx, "key", nil, client.Replacing("no context"))
	for name, e := range map[string]struct {
		err  error
		code kv.Code
		says string
	}{
		"too many members":          {many, kv.Invalid, "in several calls"},
		"a set where none are":      {sets, kv.Unsupported, "has no sets"},
		"siblings where none are":   {siblings, kv.Unsupported, "no siblings"},
		"a context without a use":   {context, kv.Unsupported, "keeps no siblings"},
		"a context that is damaged": {damaged, kv.BadToken, "context"},
	} {
		var refused *client.RefusedError
		if !errors.As(e.err, &refused) || refused.Code != e.code || !strings.Contains(e.err.Error(), e.says) {
			t.Errorf("%s: %v", name, e.err)
		}
	}
	if !errors.Is(none, client.ErrNotFound) {
		t.Errorf("siblings of no key: %v", none)
	}
}
