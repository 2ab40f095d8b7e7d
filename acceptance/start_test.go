package acceptance

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestNodesStartInAnyOrder starts nodes by flags alone, as on three hosts. One alone refuses, and says what it waits for; two
// are a cluster; the third joins when it comes. The same commands in another order bring all back after kill -9.
func TestNodesStartInAnyOrder(t *testing.T) {
	c := layOut(t, "--host", "127.0.0.1")
	c.start(3)
	await(t, patience, func() error {
		if err := c.readyz(3); err == nil || !strings.Contains(err.Error(), "no leader is known") || !strings.Contains(err.Error(), "node 2: dial tcp") {
			return fmt.Errorf("/readyz of a node that is alone says %v", err)
		}
		return nil
	})
	if status := c.putHTTP(3, "k", "v"); status != http.StatusServiceUnavailable {
		t.Errorf("a node that is alone answers a write with status %d", status)
	}
	c.start(1)
	c.awaitReady(1, 3)
	c.put(3, "two", "are a majority")
	c.get(1, "two", "are a majority")
	if code, out := c.gamut("verify"); code != 0 || !strings.Contains(out, "2\tequal; not checked: node 2: ") {
		t.Errorf("gamut verify exits with %d while node 2 was never up:\n%s", code, out)
	}
	c.start(2)
	c.awaitReady(2)
	c.get(2, "two", "are a majority")
	c.checkReplicas()

	for _, id := range []int{1, 2, 3} {
		c.kill(id)
	}
	for _, id := range []int{2, 3, 1} {
		c.start(id)
	}
	c.awaitReady(1, 2, 3)
	for _, id := range []int{1, 2, 3} {
		c.get(id, "two", "are a majority")
	}
	c.checkReplicas()
}
