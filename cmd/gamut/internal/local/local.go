// Package local runs a cluster of real processes on this machine.
//
// Each node is a child: this very program with the subcommand start. None is restarted by itself, because somebody may want
// to see what a cluster does without it; each comes with the command that starts it again, and the lab starts it so.
//
// Others rely on this: Stop ends all children that still run, and children are in process groups of their own, so that a
// terminal's interrupt reaches only the parent, which then ends them in order.
//
// Start with Run, or with New and Start.
package local

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gamutdb/gamut/cmd/gamut/internal/settings"
	"github.com/gamutdb/gamut/core"
)

// Cluster is a set of children. Its methods are for one caller at a time, Runs excepted.
type Cluster struct {
	// DieWithParent lets the system end the children when this process ends, however that happens, where the system can.
	DieWithParent bool

	program  string
	out, log io.Writer
	nodes    map[core.NodeID]*settings.Node
	watching sync.WaitGroup

	mu       sync.Mutex
	children map[core.NodeID]*child // the last life of each node
}

type child struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

// New prepares a cluster of which no node runs yet.
func New(program string, nodes []settings.Node, out, log io.Writer) *Cluster {
	c := &Cluster{program: program, out: out, log: log, nodes: map[core.NodeID]*settings.Node{}, children: map[core.NodeID]*child{}}
	for i := range nodes {
		c.nodes[core.NodeID(nodes[i].Node)] = &nodes[i]
	}
	return c
}

// Run starts a child for each node and tells about each on out, now and when it ends. Their own output goes to log.
func Run(program string, nodes []settings.Node, out, log io.Writer) (*Cluster, error) {
	c := New(program, nodes, out, log)
	for i := range nodes {
		if err := c.Start(core.NodeID(nodes[i].Node)); err != nil {
			c.Stop(0)
			return nil, err
		}
	}
	return c, nil
}

// Start starts a node that does not run.
func (c *Cluster) Start(node core.NodeID) error {
	if c.Runs(node) {
		return fmt.Errorf("node %d runs already", node)
	}
	args := append([]string{"start"}, c.nodes[node].Args()...)
	cmd := exec.Command(c.program, args...)
	cmd.Stdout, cmd.Stderr = c.log, c.log
	cmd.SysProcAttr = c.attributes()
	if err := c.begin(cmd); err != nil {
		return fmt.Errorf("node %d: %w", node, err)
	}
	ch := &child{cmd: cmd, ended: make(chan struct{})}
	c.mu.Lock()
	c.children[node] = ch
	c.mu.Unlock()
	again := Quote(append([]string{c.program}, args...))
	fmt.Fprintf(c.out, "node %d runs as pid %d; to start it again: %s\n", node, cmd.Process.Pid, again)
	c.watching.Go(func() {
		err := cmd.Wait()
		fmt.Fprintf(c.out, "node %d (pid %d) has ended: %s\n", node, cmd.Process.Pid, reason(cmd, err))
		close(ch.ended)
	})
	return nil
}

func reason(cmd *exec.Cmd, err error) string {
	if err != nil {
		return err.Error()
	}
	return cmd.ProcessState.String()
}

// Runs says whether a node's process has been started and has not ended.
func (c *Cluster) Runs(node core.NodeID) bool {
	ch := c.child(node)
	if ch == nil {
		return false
	}
	select {
	case <-ch.ended:
		return false
	default:
		return true
	}
}

// Ended says how a node's last process ended; it is empty for one that runs or never did.
func (c *Cluster) Ended(node core.NodeID) string {
	if ch := c.child(node); ch != nil && !c.Runs(node) {
		return ch.cmd.ProcessState.String()
	}
	return ""
}

func (c *Cluster) child(node core.NodeID) *child {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.children[node]
}

// Signal sends a signal to a node that runs. After one that ends a process at once, the process is gone on return.
func (c *Cluster) Signal(node core.NodeID, s os.Signal) error {
	if !c.Runs(node) {
		return fmt.Errorf("node %d does not run", node)
	}
	ch := c.child(node)
	if err := ch.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("node %d: %w", node, err)
	}
	if s == syscall.SIGKILL {
		<-ch.ended
	}
	return nil
}

// Dir is the folder of a node's data.
func (c *Cluster) Dir(node core.NodeID) string { return c.nodes[node].Dir }

// Stop asks the children that still run to end, and ends those that have not after the wait.
func (c *Cluster) Stop(wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ch := range c.children {
		ch.cmd.Process.Signal(syscall.SIGCONT) // one that was stopped could not obey
		ch.cmd.Process.Signal(syscall.SIGTERM) // one that has ended already needs no signal
	}
	timeout := time.After(wait)
	for _, ch := range c.children {
		select {
		case <-ch.ended:
		case <-timeout:
			for _, late := range c.children {
				late.cmd.Process.Kill() // as above
			}
			c.watching.Wait()
			return
		}
	}
	c.watching.Wait()
}

const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:=,@-"

// Quote writes arguments as a shell reads them back.
func Quote(args []string) string {
	var out []string
	for _, a := range args {
		if a == "" || strings.Trim(a, plain) != "" {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		out = append(out, a)
	}
	return strings.Join(out, " ")
}
