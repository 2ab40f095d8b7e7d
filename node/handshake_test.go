package node

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
)

func TestJudge(t *testing.T) {
	self := hello{version: 1, cluster: [16]byte{1}, node: 1, store: keyspace.StoreID{1}}
	good := hello{version: 1, cluster: [16]byte{1}, node: 2, store: keyspace.StoreID{2}}
	for _, c := range []struct {
		name   string
		change func(*hello)
		known  keyspace.StoreID
		member bool
		want   refusal
	}{
		{"known", func(*hello) {}, keyspace.StoreID{2}, true, refusedNot},
		{"not in the catalog yet", func(*hello) {}, keyspace.StoreID{}, true, refusedNot},
		{"other version", func(h *hello) { h.version = 2 }, keyspace.StoreID{2}, true, refusedVersion},
		{"other cluster", func(h *hello) { h.cluster[0] = 9 }, keyspace.StoreID{2}, true, refusedCluster},
		{"not a member", func(*hello) {}, keyspace.StoreID{}, false, refusedNode},
		{"ourselves", func(h *hello) { h.node = 1 }, keyspace.StoreID{}, true, refusedNode},
		{"blank disk", func(h *hello) { h.store = keyspace.StoreID{3} }, keyspace.StoreID{2}, true, refusedStore},
	} {
		h := good
		c.change(&h)
		if got := h.judge(&self, c.known, c.member); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		if c.want != refusedNot && c.want.Error() == "" {
			t.Errorf("%s: the refusal has no words", c.name)
		}
	}
}

// greetRaw greets a node as somebody else would.
func greetRaw(t *testing.T, addr string, b []byte) (hello, error) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(b); err != nil {
		t.Fatal(err)
	}
	return readHello(conn)
}

func TestStrangersAreRefusedAtTheDoor(t *testing.T) {
	c := newCluster(t, 3)
	c.start(1)
	n := c.nodes[1]
	addr := c.configs[1].Cluster[1]
	mine := n.hello()
	other := mine
	other.node, other.cluster = 2, [16]byte{9}
	if h, err := greetRaw(t, addr, other.append(nil)); err != nil || h.refused != refusedCluster || h.node != 1 {
		t.Errorf("another cluster: %+v, %v", h, err)
	}
	other = mine
	other.node = 99
	if h, err := greetRaw(t, addr, other.append(nil)); err != nil || h.refused != refusedNode {
		t.Errorf("no member: %+v, %v", h, err)
	}
	if h, err := greetRaw(t, addr, []byte("GET / HTTP/1.1\r\nHost: somewhere.example\r\nUser-Agent: a browser\r\n\r\n")); err == nil {
		t.Errorf("a browser was greeted: %+v", h)
	}
}

// A disk that is lost must not come back under the name of the old one: it has forgotten what it promised (rule M5).
func TestABlankDiskDoesNotSpeakForAnOldNode(t *testing.T) {
	c := newCluster(t, 3)
	c.start(1, 2, 3)
	c.ready()
	for id, n := range c.nodes {
		eventually(t, "all disks in the catalog", func() error {
			if len(n.table.Load().catalog.Nodes) < 3 {
				return errors.New("not yet")
			}
			return nil
		})
		_ = id
	}
	c.close(3)
	if err := os.RemoveAll(c.configs[3].Dir); err != nil {
		t.Fatal(err)
	}
	c.start(3)
	var failed error
	select {
	case failed = <-c.fatal:
	case <-time.After(patience):
	}
	if !errors.Is(failed, errOurDisk) {
		t.Fatalf("the node with the blank disk ended with %v", failed)
	}
	if up := c.nodes[1].Status().Nodes[2].Up; up {
		t.Error("node 1 speaks with the blank disk")
	}
	c.close(3)
}

func TestAFolderOfAnotherNodeOrClusterIsRefused(t *testing.T) {
	c := newCluster(t, 3)
	c.start(1)
	c.close(1)
	wrongNode := c.configs[2]
	wrongNode.Dir = c.configs[1].Dir
	if _, err := Start(wrongNode); err == nil || !strings.Contains(err.Error(), "belongs to node 1") {
		t.Errorf("another node's folder: %v", err)
	}
	wrongCluster := c.configs[1]
	wrongCluster.ClusterName = "elsewhere"
	if _, err := Start(wrongCluster); err == nil || !strings.Contains(err.Error(), "belongs to cluster") {
		t.Errorf("another cluster's folder: %v", err)
	}
	again, err := Start(c.configs[1])
	if err != nil {
		t.Fatalf("its own folder: %v", err)
	}
	if err := again.Close(context.Background()); err != nil {
		t.Error(err)
	}
	var b kv.Batch
	b.Reset(time.Now().Add(patience))
	b.Add().Keyspace = again.system()
	again.Submit(&b)
	b.Wait()
	if r := b.Calls()[0].Result; r.Code != kv.Unavailable {
		t.Errorf("a closed node answers %+v", r)
	}
}
