package node

import (
	"fmt"
	"sync"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/paxos"
)

// session carries a token from node to node.
type session struct {
	t     *testing.T
	name  string
	token []byte
}

func (s *session) do(n *Node, c kv.Command) kv.Result {
	s.t.Helper()
	c.Token = s.token
	r := submit(n, s.name, c)[0]
	if r.Code >= kv.Unavailable {
		s.t.Errorf("a session at %x is answered %v: %s", s.token, r.Code, r.Detail)
	}
	if merged := paxos.MergeTokens(s.token, r.Token); string(merged) != string(r.Token) {
		s.t.Errorf("a session at %x is put back to %x", s.token, r.Token)
	}
	s.token = r.Token
	return r
}

// at asks for a level.
func at(l kv.Level, c kv.Command) kv.Command {
	c.Level = l
	return c
}

func sequentialCluster(t *testing.T, shards int) *cluster {
	c := newCluster(t, 3)
	c.start(1, 2, 3)
	c.ready()
	c.create(1, kv.CreateKeyspace{Name: "s", Consistency: kv.Sequential, Shards: shards})
	c.hasKeyspace("s")
	return c
}

func TestASessionSeesItsWritesAtEveryNode(t *testing.T) {
	c := sequentialCluster(t, 4)
	s := &session{t: t, name: "s"}
	for i := range 60 {
		key, value := fmt.Sprint("key", i%7), fmt.Sprint("value", i)
		if r := s.do(c.nodes[core.NodeID(i%3+1)], set(key, value)); r.Level != kv.LevelSequential {
			t.Fatalf("the write met level %v", r.Level)
		}
		if r := s.do(c.nodes[core.NodeID((i+1)%3+1)], get(key)); string(r.Value) != value {
			t.Fatalf("after writing %q the session reads %q at the next node", value, r.Value)
		}
	}
}

func TestAReplicaThatIsCutOffAnswersSessionsUpToItsTime(t *testing.T) {
	c := sequentialCluster(t, 1)
	s := &session{t: t, name: "s"}
	s.do(c.nodes[1], set("k", "v"))
	eventually(t, "node 3 has come as far as the session", func() error {
		if safe := c.nodes[3].table.Load().byName["s"].shards[0].safe.Load(); safe <= uint64(tokenTime(t, s.token)) {
			return fmt.Errorf("it holds all up to %d", safe)
		}
		return nil
	})
	c.close(1)
	c.close(2)
	for range 5 {
		if r := s.do(c.nodes[3], get("k")); string(r.Value) != "v" {
			t.Fatalf("node 3 alone answers %q", r.Value)
		}
	}
	for _, l := range []kv.Level{kv.LevelPrefix, kv.LevelEventual} {
		if r := submit(c.nodes[3], "s", at(l, get("k")))[0]; string(r.Value) != "v" || r.Level != l || r.Token != nil {
			t.Errorf("level %v: %+v", l, r)
		}
	}
}

func tokenTime(t *testing.T, token []byte) kv.HLC {
	t.Helper()
	k, err := paxos.DecodeToken(token)
	if err != nil {
		t.Fatal(err)
	}
	return k.Time
}

// TestNoTwoSessionsMissEachOther is trap T5.2 on a cluster: whoever wrote x and then misses y came before whoever wrote y, who
// then cannot miss x.
func TestNoTwoSessionsMissEachOther(t *testing.T) {
	c := sequentialCluster(t, 8)
	one, two := &session{t: t, name: "s"}, &session{t: t, name: "s"}
	missed := 0
	for i := range 100 {
		var x, y kv.Result
		var both sync.WaitGroup
		cross := func(s *session, mine, other string, from, then int, r *kv.Result) {
			s.do(c.nodes[core.NodeID(from%3+1)], set(fmt.Sprint(mine, i), "1"))
			*r = s.do(c.nodes[core.NodeID(then%3+1)], get(fmt.Sprint(other, i)))
		}
		both.Go(func() { cross(one, "x", "y", i, i+1, &y) })
		both.Go(func() { cross(two, "y", "x", i+1, i, &x) })
		both.Wait()
		if x.Code == kv.NotFound && y.Code == kv.NotFound {
			t.Fatalf("round %d: each session misses what the other wrote", i)
		}
		if x.Code == kv.NotFound || y.Code == kv.NotFound {
			missed++
		}
	}
	t.Logf("in %d of 100 rounds one session missed the other", missed)
}

func TestLevelsAndTokensThatCannotBeMetAreRefused(t *testing.T) {
	c := sequentialCluster(t, 1)
	c.create(1, kv.CreateKeyspace{Name: "l"})
	c.hasKeyspace("l")
	id := c.nodes[1].Keyspace("s").Binding
	elsewhere := c.nodes[1].table.Load().byName["s"].descriptor.Keyspace().Binding // in a cluster without an identity
	token := func(binding uint64, at kv.HLC) []byte { return paxos.Token{Binding: binding, Time: at}.AppendTo(nil) }
	with := func(token []byte, c kv.Command) kv.Command { c.Token = token; return c }
	far := kv.HLCOf(9_999_999_999_999)
	damaged := token(id, 1)
	damaged[6]++
	for _, x := range []struct {
		why, name string
		command   kv.Command
		want      kv.Code
	}{
		{"more than sequential", "l", at(kv.LevelSequential, get("k")), kv.NotFound},
		{"more than a session", "l", at(kv.LevelSession, set("other", "v")), kv.OK},
		{"as it is", "l", at(kv.LevelPrefix, get("k")), kv.NotFound},
		{"a weak write", "l", at(kv.LevelEventual, set("k", "v")), kv.Unsupported},
		{"a weak write", "s", at(kv.LevelPrefix, set("k", "v")), kv.Unsupported},
		{"replicas cannot be counted", "s", at(kv.LevelQuorum, get("k")), kv.Unsupported},
		{"session", "s", at(kv.LevelSession, get("k")), kv.NotFound},
		{"linearizable", "s", at(kv.LevelLinearizable, get("k")), kv.NotFound},
		{"of another keyspace", "s", with(token(id+1, 1), get("k")), kv.BadToken},
		{"of another cluster", "s", with(token(elsewhere, 1), get("k")), kv.BadToken},
		{"damaged", "s", with(damaged, set("k", "v")), kv.BadToken},
		{"damaged", "s", with([]byte("x"), get("k")), kv.BadToken},
		{"far in the future", "s", with(token(id, far), get("k")), kv.ClockSkew},
		{"far in the future", "s", with(token(id, far), set("k", "v")), kv.ClockSkew},
	} {
		for _, n := range c.nodes {
			if r := submit(n, x.name, x.command)[0]; r.Code != x.want || (r.Code >= kv.Unavailable && r.Detail == "") {
				t.Errorf("%s in %s: %v %q, want %v", x.why, x.name, r.Code, r.Detail, x.want)
			}
		}
	}
}
