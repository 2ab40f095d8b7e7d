package machine

import (
	"testing"

	"github.com/gamutdb/gamut/kv"
)

// TestClaims is a table of who keeps a place behind whom.
func TestClaims(t *testing.T) {
	clear, scan := kv.Op{Kind: kv.OpClear}, kv.Op{Kind: kv.OpScan}
	both := []kv.Op{setOp("a", "1"), getOp("b")}
	for _, c := range []struct {
		name   string
		first  []kv.Op
		second kv.Op
		want   bool
	}{
		{"a read behind a write", both, getOp("a"), true},
		{"a write behind a write", both, setOp("a", "2"), true},
		{"a read behind a read", both, getOp("b"), false},
		{"a write behind a read", both, setOp("b", "2"), true},
		{"a write of another key", both, setOp("c", "2"), false},
		{"a copy onto a key", both, kv.Op{Kind: kv.OpCopy, Key: []byte("c"), Key2: []byte("b")}, true},
		{"a scan behind a write", both, scan, true},
		{"a scan behind a read", []kv.Op{getOp("a")}, scan, false},
		{"a clear behind a read", []kv.Op{getOp("a")}, clear, true},
		{"a write behind a clear", []kv.Op{clear}, setOp("a", "2"), true},
		{"a read behind a clear", []kv.Op{clear}, getOp("a"), true},
		{"a clear behind a clear", []kv.Op{clear}, clear, true},
		{"a write behind a scan", []kv.Op{scan}, setOp("a", "2"), false},
		{"a barrier behind a write", both, kv.Op{Kind: kv.OpNone}, false},
	} {
		var claims Claims
		first, second := &kv.Command{Ops: c.first}, &kv.Command{Ops: []kv.Op{c.second}}
		if claims.Before(second) {
			t.Errorf("%s: nothing is claimed yet", c.name)
		}
		claims.Add(first)
		claims.Add(first)
		claims.Remove(first)
		if got := claims.Before(second); got != c.want {
			t.Errorf("%s: %t, not %t", c.name, got, c.want)
		}
		claims.Remove(first)
		if claims.Before(second) || len(claims.keys) > 0 {
			t.Errorf("%s: something is left of what was taken back", c.name)
		}
	}
}
