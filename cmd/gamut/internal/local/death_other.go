//go:build !linux

package local

import (
	"os/exec"
	"syscall"
)

func (c *Cluster) attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// begin starts a child.
func (c *Cluster) begin(cmd *exec.Cmd) error { return cmd.Start() }
