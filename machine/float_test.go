package machine

import (
	"testing"

	"github.com/gamutdb/gamut/kv"
)

// TestFloatsNextToNothingAreQuicklyZero: a number with a million zeros behind the point is 0 with 17 decimals. To write them out would
// stop every replica, and again at each start.
func TestFloatsNextToNothingAreQuicklyZero(t *testing.T) {
	for _, text := range []string{"1e-999999999", "-1e-999999999", "1e-18", "-1e-300"} {
		r := newWorld().do(kv.Op{Kind: kv.OpSet, Key: []byte("k"), Value: []byte(text)}, kv.Op{Kind: kv.OpIncrFloat, Key: []byte("k")})
		if r[1].Code != kv.OK || string(r[1].Value) != "0" {
			t.Errorf("%s and nothing makes %v %q", text, r[1].Code, r[1].Value)
		}
	}
}
