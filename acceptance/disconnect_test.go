package acceptance

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// TestSuddenDisconnectionsLeaveNothing has clients of all doors go away without a word, in the middle of requests and of
// answers. What they held, connections and goroutines, must be gone again, and nobody else may have to wait for them.
func TestSuddenDisconnectionsLeaveNothing(t *testing.T) {
	c := newCluster(t)
	value := strings.Repeat("x", 1<<20)
	if err := c.redis(1, patience).Set(t.Context(), "large", value, 0).Err(); err != nil {
		t.Fatal(err)
	}
	goroutines, files := c.gauge(1, "go_goroutines"), c.gauge(1, "process_open_fds")
	requests := map[int][]string{
		redisDoor:     {"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\nxxx", "*2\r\n$3\r\nGET\r\n$5\r\nlarge\r\n", "*1\r\n$5\r\nMULTI\r\n", "*2\r\n$5\r\nWATCH\r\n$1\r\nk\r\n", ""},
		memcachedDoor: {"set k 0 0 100000\r\nxxx", "get large\r\n", "mg large v\r\n", ""},
		httpDoor: {"PUT /v1/keyspaces/default/keys/k HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nxxx",
			"GET /v1/keyspaces/default/keys/large HTTP/1.1\r\nHost: x\r\n\r\n", "GET /v1/keyspaces/default/keys?values=true HTTP/1.1\r\nHost: x\r\n\r\n", ""},
		peerDoor: {"not a peer at all", ""},
	}
	for range 20 {
		for door, texts := range requests {
			for _, text := range texts {
				c.hangUp(1, door, text)
			}
		}
	}
	const few = 8 // of those who ask
	await(t, patience, func() error {
		if g, f := c.gauge(1, "go_goroutines"), c.gauge(1, "process_open_fds"); g > goroutines+few || f > files+few {
			return fmt.Errorf("%d goroutines and %d files are open, before there were %d and %d", g, f, goroutines, files)
		}
		return nil
	})
	if err := c.redis(1, patience).Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Error(err)
	}
}

// hangUp sends a text to a door and resets the connection.
func (c *cluster) hangUp(id, door int, text string) {
	c.t.Helper()
	conn, err := net.Dial("tcp", c.addr(id, door))
	if err != nil {
		c.t.Fatal(err)
	}
	// A door may have closed already: that is what this is about.
	_, _ = io.WriteString(conn, text)
	conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}

// gauge is a number of a node's /metrics.
func (c *cluster) gauge(id int, name string) int {
	c.t.Helper()
	resp, err := http.Get("http://" + c.addr(id, httpDoor) + "/metrics")
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			v, err := strconv.ParseFloat(text, 64)
			if err != nil {
				c.t.Fatal(err)
			}
			return int(v)
		}
	}
	c.t.Fatalf("node %d shows no %s", id, name)
	return 0
}
