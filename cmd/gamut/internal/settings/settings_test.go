package settings

import (
	"strings"
	"testing"
	"time"
)

const three = "1=127.0.0.1:7401,2=127.0.0.1:7411,3=127.0.0.1:7421"

func TestResolve(t *testing.T) {
	for _, c := range []struct {
		name string
		node Node
		want string // "": no error
	}{
		{"complete", Node{Node: 2, Cluster: List(three)}, ""},
		{"no node", Node{Cluster: List(three)}, "which node"},
		{"no cluster", Node{Node: 1}, "which nodes"},
		{"not in the list", Node{Node: 4, Cluster: List(three)}, "node 4 is not in the cluster list"},
		{"one address twice", Node{Node: 1, Cluster: List("1=127.0.0.1:7401,2=127.0.0.1:7401")}, "nodes 1 and 2 have one address, 127.0.0.1:7401"},
		{"one node twice", Node{Node: 1, Cluster: List("1=127.0.0.1:7401,1=127.0.0.1:7411")}, "node 1 is there twice"},
		{"no number", Node{Node: 1, Cluster: List("a=127.0.0.1:7401")}, `"a=127.0.0.1:7401" is not number=host:port`},
		{"no port", Node{Node: 1, Cluster: List("1=127.0.0.1")}, "not host:port"},
		{"bad port", Node{Node: 1, Cluster: List("1=127.0.0.1:99999")}, `port "99999"`},
		{"port too low", Node{Node: 1, Cluster: List("1=127.0.0.1:1")}, "between 1 and 65535"},
		{"ports disagree", Node{Node: 1, BasePort: 7500, Cluster: List(three)}, "base-port 7500 puts the peer port at 7501"},
		{"exposed", Node{Node: 1, Cluster: List("1=10.0.0.1:7401")}, "--insecure"},
		{"exposed wildcard", Node{Node: 1, Host: "0.0.0.0", Cluster: List(three)}, "--insecure"},
		{"exposed on purpose", Node{Node: 1, Insecure: true, Cluster: List("1=10.0.0.1:7401")}, ""},
		{"a store beside it", Node{Node: 1, Store: "redis://127.0.0.1:6379/1", Cluster: List(three)}, ""},
		{"its own disk", Node{Node: 1, Store: "pebble", Cluster: List(three)}, ""},
		{"bad store", Node{Node: 1, Store: "rocks", Cluster: List(three)}, "give pebble, memory, memcached://host:port"},
		{"bad drain", Node{Node: 1, Drain: "soon", Cluster: List(three)}, `drain "soon"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.node.Resolve()
			if c.want == "" && err == nil {
				return
			}
			if c.want == "" || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestDefaultsFollowFromTheList(t *testing.T) {
	n := Node{Node: 2, Cluster: List(three)}
	if err := n.Resolve(); err != nil {
		t.Fatal(err)
	}
	if n.Dir != "gamut-data/node2" || n.Address(RedisPort) != "127.0.0.1:7412" || n.DrainTime() != 10*time.Second || n.Exposed() {
		t.Fatalf("node %+v", n)
	}
	again := Node{}
	args := n.Args()
	for i := 0; i+1 < len(args); i += 2 {
		if err := again.Override(strings.TrimPrefix(args[i], "--"), args[i+1], "flag"); err != nil {
			t.Fatal(err)
		}
	}
	if err := again.Resolve(); err != nil || again.Address(HTTPPort) != n.Address(HTTPPort) || again.Dir != n.Dir {
		t.Fatalf("node %+v, %v", again, err)
	}
}

func TestFile(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"node = 1\ncluster = [\"1=127.0.0.1:7401\"]\n", ""},
		{"node = 1\n\nbase_port = 7400\n", `line 3: there is no setting "base_port"`},
		{"[node]\nid = 1\n", "uint32"},
		{"node = \n", "line 1"},
		{"node = \"one\"\n", "line 1"},
	} {
		_, err := parse([]byte(c.text))
		if c.want == "" && err == nil {
			continue
		}
		if c.want == "" || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: error %v, want %q", c.text, err, c.want)
		}
	}
}

func TestOverrideKnowsEverySetting(t *testing.T) {
	values := map[string]string{"node": "3", "base-port": "7500", "insecure": "true", "lab": "true"}
	for _, name := range Names {
		text := values[name]
		if text == "" {
			text = "x"
		}
		var n Node
		if err := n.Override(name, text, Variable(name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if values[name] == "" {
			continue
		}
		if err := n.Override(name, "x", Variable(name)); err == nil || !strings.Contains(err.Error(), Variable(name)) {
			t.Errorf("%s took x: %v", name, err)
		}
	}
}

func FuzzFile(f *testing.F) {
	f.Add([]byte("node = 1\ncluster = [\"1=127.0.0.1:7401\"]\ninsecure = true\n"))
	f.Add([]byte("cluster = [\"1=[::1]:7401\", \"2==\"]\nnode=2"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := parse(b)
		if err != nil || n.Resolve() != nil {
			return
		}
		if n.Exposed() && !n.Insecure {
			t.Fatalf("%q binds %s without insecure", b, n.Host)
		}
	})
}

func TestDebugAddressesFollowThePorts(t *testing.T) {
	nodes := make([]Node, 3)
	if err := DebugFrom(nodes, "127.0.0.1:6060"); err != nil || nodes[0].Debug != "127.0.0.1:6060" || nodes[2].Debug != "127.0.0.1:6080" {
		t.Errorf("%v: %q, %q", err, nodes[0].Debug, nodes[2].Debug)
	}
	for _, address := range []string{"", "6060", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65530", "127.0.0.1:x"} {
		if DebugFrom(nodes, address) == nil {
			t.Errorf("%q is taken", address)
		}
	}
}

func TestStoresOfALocalCluster(t *testing.T) {
	for _, c := range []struct {
		stores, want string
	}{
		{"memory", ""},
		{"pebble", ""},
		{"memcached://127.0.0.1:1,redis://127.0.0.1:2,memory", ""},
		{"memcached://127.0.0.1:1", "names 1 stores for 3 nodes"},
		{"memory,memory", "names 2 stores for 3 nodes"},
		{"memory,memory,shelf", "there is no store of the kind"},
	} {
		all, err := Local(3, t.TempDir(), BasePort, nil)
		if err != nil {
			t.Fatal(err)
		}
		stores := List(c.stores)
		switch err := StoresFrom(all, stores); {
		case (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: error %v, want %q", c.stores, err, c.want)
		case err == nil && (all[2].Store != stores[len(stores)-1] || !strings.Contains(strings.Join(all[2].Args(), " "), "--store "+all[2].Store)):
			t.Errorf("%s: the third node has %q", c.stores, all[2].Store)
		}
	}
}
