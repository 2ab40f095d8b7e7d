package acceptance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// hosts are network namespaces on one bridge: as far as a process in one of them can tell, three machines.
type hosts struct {
	t      *testing.T
	dir    string
	prefix string
	nodes  map[int]*node
}

// newHosts lays the network out, and takes it away with the test. It needs root, which no README asks for.
func newHosts(t *testing.T) *hosts {
	t.Helper()
	if testing.Short() {
		t.Skip("runs processes; left out by -short")
	}
	h := &hosts{t: t, dir: t.TempDir(), prefix: fmt.Sprintf("gamut%d", os.Getpid()), nodes: map[int]*node{}}
	if out, err := exec.Command("ip", "netns", "add", h.space(0)).CombinedOutput(); err != nil {
		t.Skipf("network namespaces need root and iproute2: %v: %s", err, out)
	}
	t.Cleanup(h.end)
	h.ip("-n", h.space(0), "link", "add", "bridge", "type", "bridge")
	h.ip("-n", h.space(0), "link", "set", "bridge", "up")
	for id := 1; id <= 3; id++ {
		h.nodes[id] = &node{id: id, dir: filepath.Join(h.dir, fmt.Sprint("node", id)), log: new(lastLines)}
		h.plug(id)
	}
	return h
}

func (h *hosts) space(id int) string { return fmt.Sprintf("%s-%d", h.prefix, id) }
func cable(id int) string            { return fmt.Sprint("port", id) }
func hostAddr(id int) string         { return fmt.Sprintf("10.77.0.%d", id) }

func (h *hosts) ip(args ...string) {
	h.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		h.t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// plug makes a host and joins it to the bridge.
func (h *hosts) plug(id int) {
	h.t.Helper()
	s := h.space(id)
	h.ip("netns", "add", s)
	h.ip("-n", h.space(0), "link", "add", cable(id), "type", "veth", "peer", "name", "eth0", "netns", s)
	h.ip("-n", h.space(0), "link", "set", cable(id), "master", "bridge", "up")
	h.ip("-n", s, "addr", "add", hostAddr(id)+"/24", "dev", "eth0")
	h.ip("-n", s, "link", "set", "lo", "up")
	h.ip("-n", s, "link", "set", "eth0", "up")
}

// cut takes a host's cable out: no packet says so. mend puts it back.
func (h *hosts) cut(id int)  { h.t.Helper(); h.ip("-n", h.space(0), "link", "set", cable(id), "down") }
func (h *hosts) mend(id int) { h.t.Helper(); h.ip("-n", h.space(0), "link", "set", cable(id), "up") }

// start runs the command of the manual, on its host.
func (h *hosts) start(id int) {
	h.t.Helper()
	n := h.nodes[id]
	list := fmt.Sprintf("1=%s:7401,2=%s:7401,3=%s:7401", hostAddr(1), hostAddr(2), hostAddr(3))
	n.cmd = exec.Command("ip", "netns", "exec", h.space(id), program, "start", "--node", fmt.Sprint(id), "--dir", n.dir,
		"--host", hostAddr(id), "--cluster", list, "--insecure")
	n.cmd.Stdout, n.cmd.Stderr, n.ended = n.log, n.log, make(chan struct{})
	if err := startProcess(n.cmd); err != nil {
		h.t.Fatalf("node %d: %v", id, err)
	}
	go func(cmd *exec.Cmd, ended chan struct{}) {
		_ = cmd.Wait() // how it ended is in ProcessState
		close(ended)
	}(n.cmd, n.ended)
}

func (h *hosts) kill(id int) {
	h.t.Helper()
	if n := h.nodes[id]; n.runs() {
		_ = n.cmd.Process.Kill() // one that ends at this moment needs no signal
		<-n.ended
	}
}

func (h *hosts) end() {
	for id := 1; id <= 3; id++ {
		if n := h.nodes[id]; n != nil {
			h.kill(id)
			if h.t.Failed() {
				h.t.Logf("last lines of node %d:\n%s", id, n.log)
			}
		}
	}
	for id := range 4 {
		_ = exec.Command("ip", "netns", "del", h.space(id)).Run() // it may never have been made
	}
}

// gamut runs the command line on a host, against the node there.
func (h *hosts) gamut(id int, args ...string) (string, error) {
	cmd := exec.Command("ip", append([]string{"netns", "exec", h.space(id), program}, args...)...)
	cmd.Env = append(os.Environ(), fmt.Sprintf("GAMUT_ADDR=%s:7400", hostAddr(id)))
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("on host %d: gamut %s: %w: %s", id, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), err
}

// await repeats a command until it succeeds, and returns what it prints.
func (h *hosts) await(id int, args ...string) (out string) {
	h.t.Helper()
	await(h.t, patience, func() (err error) {
		out, err = h.gamut(id, args...)
		return err
	})
	return out
}

func (h *hosts) reads(id int, key, want string) {
	h.t.Helper()
	if got := h.await(id, "get", key); got != want {
		h.t.Errorf("host %d reads %s as %q; want %q", id, key, got, want)
	}
}

// TestThreeHosts gives three machines the three commands of the manual and nothing else. Two form the cluster before the
// third is there. A host whose cable is out refuses what it cannot know, while the others go on; afterwards it has what it
// missed. All killed and started in another order, they are the same cluster.
func TestThreeHosts(t *testing.T) {
	h := newHosts(t)
	h.start(2)
	h.start(1)
	h.await(1, "put", "k", "of two")
	h.reads(2, "k", "of two")
	h.start(3)
	h.reads(3, "k", "of two")

	h.cut(1)
	h.await(2, "put", "k", "without the first")
	if out, err := h.gamut(1, "get", "k"); err == nil {
		t.Errorf("a host that is cut off reads %q", out)
	}
	h.reads(3, "k", "without the first")
	h.mend(1)
	h.reads(1, "k", "without the first")

	for _, id := range []int{1, 2, 3} {
		h.kill(id)
	}
	for _, id := range []int{3, 1, 2} {
		h.start(id)
	}
	for _, id := range []int{1, 2, 3} {
		h.reads(id, "k", "without the first")
	}
	await(t, patience, func() error {
		out, err := h.gamut(1, "verify")
		if err == nil && strings.Contains(out, "not checked") {
			err = fmt.Errorf("verify: %s", out)
		}
		return err
	})
}
