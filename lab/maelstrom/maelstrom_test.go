package maelstrom

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/referee"
)

// patienceOfTests bounds what must happen eventually; nothing is judged by how long it took.
const patienceOfTests = 30 * time.Second

// router is what Maelstrom is to its nodes: it carries lines between them and clients, and may lose some.
type router struct {
	t     *testing.T
	nodes map[string]*io.PipeWriter
	ended sync.WaitGroup

	mu      sync.Mutex
	clients map[string]chan answer
	lose    func(from, to string) bool
}

func newRouter(t *testing.T, names ...string) *router {
	r := &router{t: t, nodes: map[string]*io.PipeWriter{}, clients: map[string]chan answer{}, lose: func(string, string) bool { return false }}
	outputs := map[string]*io.PipeReader{}
	for _, name := range names {
		inRead, inWrite := io.Pipe()
		outRead, outWrite := io.Pipe()
		r.nodes[name], outputs[name] = inWrite, outRead
		r.ended.Go(func() {
			if err := Run(inRead, outWrite); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			outWrite.Close()
		})
	}
	for name, output := range outputs {
		r.ended.Go(func() { r.carry(name, output) })
	}
	t.Cleanup(func() {
		for _, in := range r.nodes {
			in.Close()
		}
		r.ended.Wait()
	})
	for _, name := range names {
		c := r.client("init-" + name)
		if a := c.ask(name, map[string]any{"type": "init", "node_id": name, "node_ids": names}); a.Type != "init_ok" {
			t.Fatalf("init: %+v", a)
		}
	}
	return r
}

// carry takes a node's lines to where they belong. Each waits in a goroutine of its own, so that two nodes that write to
// each other cannot block one another; lines may overtake each other, as in Maelstrom.
func (r *router) carry(from string, output io.Reader) {
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, lineMax)
	for lines.Scan() {
		var e envelope
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil || e.Src != from {
			r.t.Errorf("%s writes %q: %v", from, lines.Text(), err)
			continue
		}
		r.mu.Lock()
		lost, client := r.lose(e.Src, e.Dest), r.clients[e.Dest]
		r.mu.Unlock()
		switch in := r.nodes[e.Dest]; {
		case client != nil:
			var a answer
			if err := json.Unmarshal(e.Body, &a); err != nil {
				r.t.Errorf("%s answers %s: %v", from, e.Body, err)
			}
			client <- a
		case in != nil && !lost:
			line := append([]byte(lines.Text()), '\n')
			r.ended.Go(func() { _, _ = in.Write(line) }) // after the end of the test it fails
		}
	}
}

func (r *router) losing(f func(from, to string) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lose = f
}

type client struct {
	r       *router
	name    string
	answers chan answer
	last    int64
}

func (r *router) client(name string) *client {
	c := &client{r: r, name: name, answers: make(chan answer, 16)}
	r.mu.Lock()
	r.clients[name] = c.answers
	r.mu.Unlock()
	return c
}

// ask sends a request and waits for its answer, of which there is always one: nodes are not cut off from clients here.
func (c *client) ask(node string, body map[string]any) answer {
	c.last++
	body["msg_id"] = c.last
	b, err := json.Marshal(map[string]any{"src": c.name, "dest": node, "body": body})
	if err != nil {
		c.r.t.Fatal(err)
	}
	if _, err := c.r.nodes[node].Write(append(b, '\n')); err != nil {
		return answer{Type: "error", Code: crash, Text: err.Error()}
	}
	select {
	case a := <-c.answers:
		if a.InReplyTo != c.last {
			c.r.t.Errorf("%s answers %d, asked was %d", node, a.InReplyTo, c.last)
		}
		return a
	case <-time.After(patienceOfTests):
		c.r.t.Errorf("%s does not answer %v", node, body)
		return answer{Type: "error", Code: crash}
	}
}

// insist asks again while the answer is that it certainly did not happen for now.
func (c *client) insist(node string, body map[string]any) (a answer) {
	for end := time.Now().Add(patienceOfTests); time.Now().Before(end); {
		if a = c.ask(node, body); a.Code != temporarilyUnavailable {
			return a
		}
	}
	return a
}

func TestLinKV(t *testing.T) {
	r := newRouter(t, "n1", "n2", "n3")
	c := r.client("c1")
	for _, s := range []struct {
		node string
		body map[string]any
		want answer
	}{
		{"n1", map[string]any{"type": "read", "key": 1}, answer{Type: "error", Code: keyDoesNotExist}},
		{"n2", map[string]any{"type": "cas", "key": 1, "from": 0, "to": 1}, answer{Type: "error", Code: keyDoesNotExist}},
		{"n2", map[string]any{"type": "write", "key": 1, "value": 3}, answer{Type: "write_ok"}},
		{"n3", map[string]any{"type": "read", "key": 1}, answer{Type: "read_ok", Value: []byte("3")}},
		{"n1", map[string]any{"type": "cas", "key": 1, "from": 2, "to": 4}, answer{Type: "error", Code: preconditionFailed}},
		{"n1", map[string]any{"type": "cas", "key": 1, "from": 3, "to": map[string]any{"a": []int{4}}}, answer{Type: "cas_ok"}},
		{"n2", map[string]any{"type": "read", "key": 1}, answer{Type: "read_ok", Value: []byte(`{"a":[4]}`)}},
		{"n2", map[string]any{"type": "read", "key": "1"}, answer{Type: "error", Code: keyDoesNotExist}},
		{"n2", map[string]any{"type": "write", "key": 1}, answer{Type: "error", Code: malformedRequest}},
		{"n2", map[string]any{"type": "txn", "txn": []any{}}, answer{Type: "error", Code: notSupported}},
		{"n2", map[string]any{"type": "cas", "key": 2, "from": 1, "to": 2, "create_if_not_exists": true}, answer{Type: "error", Code: notSupported}},
	} {
		got := c.insist(s.node, s.body)
		if got.Type != s.want.Type || got.Code != s.want.Code || string(got.Value) != string(s.want.Value) {
			t.Errorf("%s %v: %+v, want %+v", s.node, s.body, got, s.want)
		}
	}
}

// A node that is cut off answers that it cannot tell, or certainly did not, and never what was true before.
func TestPartitionedNode(t *testing.T) {
	r := newRouter(t, "n1", "n2", "n3")
	c := r.client("c1")
	if a := c.insist("n1", map[string]any{"type": "write", "key": 1, "value": "old"}); a.Type != "write_ok" {
		t.Fatalf("%+v", a)
	}
	r.losing(func(from, to string) bool { return from == "n1" || to == "n1" })
	if a := c.insist("n2", map[string]any{"type": "write", "key": 1, "value": "new"}); a.Type != "write_ok" && a.Code != crash {
		t.Errorf("the majority: %+v", a)
	}
	await(t, func() bool { return string(c.ask("n3", map[string]any{"type": "read", "key": 1}).Value) == `"new"` })
	if a := c.ask("n1", map[string]any{"type": "read", "key": 1}); a.Code != temporarilyUnavailable && a.Code != crash {
		t.Errorf("the node behind the cut answers %+v", a)
	}
	r.losing(func(string, string) bool { return false })
	await(t, func() bool { return string(c.ask("n1", map[string]any{"type": "read", "key": 1}).Value) == `"new"` })
}

func await(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patienceOfTests); !done(); {
		if time.Now().After(end) {
			t.Fatal("it does not happen")
		}
	}
}

// TestHistoryIsLinearizable lets clients work while lines are lost and nodes cut off, and judges it as Maelstrom would. The
// same history with one stale answer must be found out.
func TestHistoryIsLinearizable(t *testing.T) {
	r := newRouter(t, "n1", "n2", "n3")
	began := time.Now()
	var mu sync.Mutex
	var h referee.History
	var all sync.WaitGroup
	for id := range 4 {
		c := r.client(fmt.Sprint("c", id))
		all.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(id)))
			for i := range 60 {
				if id == 0 && i%20 == 0 {
					cut := fmt.Sprintf("n%d", rng.IntN(5)) // n0 and n4 are nobody: then lines are only lost
					r.losing(func(from, to string) bool { return from == cut || to == cut || rand.IntN(20) == 0 })
				}
				op := referee.Op{Client: id, Key: fmt.Sprint(i / 10), Value: fmt.Sprint(1000*id + i), Call: int64(time.Since(began))}
				body := map[string]any{"key": i / 10}
				switch rng.IntN(3) {
				case 0:
					op.Kind, op.Value, body["type"] = referee.Get, "", "read"
				case 1:
					op.Kind, body["type"], body["value"] = referee.Set, "write", json.RawMessage(op.Value)
				default:
					op.Kind, op.Expect, body["type"] = referee.Cas, fmt.Sprint(1000*rng.IntN(4)+i/10*10+rng.IntN(10)), "cas"
					body["from"], body["to"] = json.RawMessage(op.Expect), json.RawMessage(op.Value)
				}
				result := resultOf(c.ask(fmt.Sprintf("n%d", 1+rng.IntN(3)), body))
				op.Answer(int64(time.Since(began)), &result)
				mu.Lock()
				h = append(h, op)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	r.losing(func(string, string) bool { return false })
	h.Sort()
	counts := map[referee.Outcome]int{}
	for i := range h {
		counts[h[i].Outcome]++
	}
	t.Log(counts)
	if v := referee.CheckLinearizable(h, patienceOfTests); !v.OK() {
		t.Error(v)
	}
	if counts[referee.Done] < 20 {
		t.Errorf("only %d of %d operations done", counts[referee.Done], len(h))
	}
	c := r.client("canary")
	var stale referee.History
	for _, value := range []string{"1", "2"} {
		op := referee.Op{Kind: referee.Set, Key: "canary", Value: value, Call: int64(time.Since(began))}
		result := resultOf(c.insist("n1", map[string]any{"type": "write", "key": "canary", "value": json.RawMessage(value)}))
		op.Answer(int64(time.Since(began)), &result)
		stale = append(stale, op)
	}
	now := int64(time.Since(began))
	stale = append(stale, referee.Op{Kind: referee.Get, Key: "canary", Call: now, Return: now + 1, Outcome: referee.Done, Got: "1"})
	if v := referee.CheckLinearizable(stale, patienceOfTests); v.Decision != referee.Broken {
		t.Errorf("a stale answer: %v", v)
	}
}

// resultOf is an answer as the referee takes it.
func resultOf(a answer) kv.Result {
	switch a.Code {
	case 0:
		return kv.Result{Value: a.Value}
	case keyDoesNotExist:
		return kv.Result{Code: kv.NotFound}
	case preconditionFailed:
		return kv.Result{Code: kv.ConditionFailed}
	case crash:
		return kv.Result{Code: kv.Unknown}
	}
	return kv.Result{Code: kv.Unavailable}
}

func TestCodes(t *testing.T) {
	for c, want := range map[kv.Code]int{
		kv.OK: 0, kv.NotFound: 20, kv.ConditionFailed: 22, kv.Exists: 21, kv.Unknown: 13, kv.NotLeader: 11, kv.Busy: 11,
		kv.Unavailable: 11, kv.Invalid: 12, kv.Unsupported: 10, kv.ClockSkew: 11,
	} {
		if got := codeOf(c); got != want {
			t.Errorf("%v is error %d, want %d", c, got, want)
		}
	}
}

func TestWhatIsNotMaelstromsIsAnError(t *testing.T) {
	for _, in := range []string{"{", `{"src":"c1","body":7}`, `{"src":"c1","dest":"n1","body":{"type":"init","msg_id":1,"node_id":"n9","node_ids":["n1"]}}`} {
		if err := Run(strings.NewReader(in+"\n"), io.Discard); err == nil {
			t.Errorf("%s is taken", in)
		}
	}
	var out strings.Builder
	in := `{"src":"c1","dest":"n1","body":{"type":"read","msg_id":1,"key":1}}` + "\n" + `{"src":"c1","dest":"n1","body":{"type":"topology"}}` + "\n"
	if err := Run(strings.NewReader(in), &out); err != nil || !strings.Contains(out.String(), `"code":11`) {
		t.Errorf("before init: %q, %v", out.String(), err)
	}
}
