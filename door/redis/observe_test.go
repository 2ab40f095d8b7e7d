package redis

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gamutdb/gamut/kv"
)

func TestAnsweredCallsAreObservedByOutcome(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	_, address := start(t, newFake(), Options{Observe: func(code kv.Code, calls int, took time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		if took < 0 || took > time.Minute {
			t.Errorf("%d calls took %v", calls, took)
		}
		seen = append(seen, fmt.Sprint(calls, " ", code))
	}})
	c := dial(t, address)
	c.do("SET", "a", "1")
	c.do("PING")
	c.send(encode("SET", "b", "1") + encode("SET", "c", "1") + encode("GET", "missing") + encode("GET", "a"))
	for range 4 {
		c.reply()
	}
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"1 ok", "2 ok", "1 not found", "1 ok"}; !slices.Equal(seen, want) {
		t.Errorf("observed %q, want %q", seen, want)
	}
}
