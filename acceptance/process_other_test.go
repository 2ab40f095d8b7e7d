//go:build !linux

package acceptance

import (
	"errors"
	"syscall"
)

var errOnlyLinux = errors.New("only known on Linux")

func dieWithTest() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func residentBytes(int) (int64, error) { return 0, errOnlyLinux }

func processesMarked(string) []int { return nil }

func mountTmpfs(string, int64) (func() error, error) { return nil, errOnlyLinux }
