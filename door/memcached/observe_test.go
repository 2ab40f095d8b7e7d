package memcached

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
	_, address := start(t, newFake("default"), Options{Observe: func(code kv.Code, calls int, took time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		if took < 0 || took > time.Minute {
			t.Errorf("%d calls took %v", calls, took)
		}
		seen = append(seen, fmt.Sprint(calls, " ", code))
	}})
	talk(t, address, crlf("set a 0 0 1\nx\nset b 0 0 1\nx\nget c\nversion\n"), 1<<20)
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"2 ok", "1 not found"}; !slices.Equal(seen, want) {
		t.Errorf("observed %q, want %q", seen, want)
	}
}
