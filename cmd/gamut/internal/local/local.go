// Package local runs a cluster of real processes on this machine.
//
// Each node is a child: this very program with the subcommand start. None is restarted, because somebody may want to see
// what a cluster does without it; each comes with the command that starts it again.
//
// Others rely on this: Stop ends all children that still run, and children are in process groups of their own, so that a
// terminal's interrupt reaches only the parent, which then ends them in order.
//
// Start with Run.
package local

import (
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gamutdb/gamut/cmd/gamut/internal/settings"
)

// Cluster is a set of children.
type Cluster struct {
	children []*child
	watching sync.WaitGroup
}

type child struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

// Run starts a child for each node and tells about each on out, now and when it ends. Their own output goes to log.
func Run(program string, nodes []settings.Node, out, log io.Writer) (*Cluster, error) {
	c := new(Cluster)
	for _, n := range nodes {
		args := append([]string{"start"}, n.Args()...)
		cmd := exec.Command(program, args...)
		cmd.Stdout, cmd.Stderr = log, log
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			c.Stop(0)
			return nil, fmt.Errorf("node %d: %w", n.Node, err)
		}
		ch := &child{cmd: cmd, ended: make(chan struct{})}
		c.children = append(c.children, ch)
		again := Quote(append([]string{program}, args...))
		fmt.Fprintf(out, "node %d runs as pid %d; to start it again: %s\n", n.Node, cmd.Process.Pid, again)
		c.watching.Go(func() {
			err := cmd.Wait()
			fmt.Fprintf(out, "node %d (pid %d) has ended: %s\n", n.Node, cmd.Process.Pid, reason(cmd, err))
			close(ch.ended)
		})
	}
	return c, nil
}

func reason(cmd *exec.Cmd, err error) string {
	if err != nil {
		return err.Error()
	}
	return cmd.ProcessState.String()
}

// Stop asks the children that still run to end, and ends those that have not after the wait.
func (c *Cluster) Stop(wait time.Duration) {
	for _, ch := range c.children {
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
