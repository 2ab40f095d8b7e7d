package local

import (
	"os/exec"
	"runtime"
	"syscall"
)

func (c *Cluster) attributes() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true}
	if c.DieWithParent {
		a.Pdeathsig = syscall.SIGKILL
	}
	return a
}

type toStart struct {
	cmd *exec.Cmd
	err chan error
}

var starting = make(chan toStart)

func init() {
	// A child dies with the thread that started it, so one thread that never ends starts them all.
	go func() {
		runtime.LockOSThread()
		for s := range starting {
			s.err <- s.cmd.Start()
		}
	}()
}

// begin starts a child.
func (c *Cluster) begin(cmd *exec.Cmd) error {
	if !c.DieWithParent {
		return cmd.Start()
	}
	s := toStart{cmd, make(chan error, 1)}
	starting <- s
	return <-s.err
}
