package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a server that this program started.
type process struct {
	name      string
	arguments []string
	logPath   string
	command   *exec.Cmd
	ended     chan struct{} // closed once it has ended
}

// start runs the process; its output is appended to its log file. Call it on the main goroutine only: see main.go.
func (p *process) start() error {
	log, err := os.OpenFile(p.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	command := exec.Command(p.arguments[0], p.arguments[1:]...)
	command.Stdout, command.Stderr = log, log
	command.Dir = filepath.Dir(p.logPath)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	ended := make(chan struct{})
	p.command, p.ended = command, ended
	go func() {
		_ = command.Wait() // how it ended is in command.ProcessState; killing it is our usual way
		close(ended)
	}()
	return nil
}

// kill ends the process as a crash would.
func (p *process) kill() {
	if p.command == nil {
		return
	}
	_ = p.command.Process.Kill() // it may have ended already
	<-p.ended
}

// exited is an error with the last lines of the log once the process has ended, else nil.
func (p *process) exited() error {
	select {
	case <-p.ended:
	default:
		return nil
	}
	log, _ := os.ReadFile(p.logPath)
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	return fmt.Errorf("%s has ended (%v); its last lines:\n%s", p.name, p.command.ProcessState, strings.Join(lines[max(0, len(lines)-8):], "\n"))
}

// cpu is the processor time that the process has used so far, exact to nanoseconds (times in /proc come in 10 ms).
func (p *process) cpu() (time.Duration, error) {
	const sched = 2 // CPUCLOCK_SCHED of the kernel's posix-timers.h: the clock of a process's run time
	var at unix.Timespec
	if err := unix.ClockGettime(int32(^p.command.Process.Pid)<<3|sched, &at); err != nil {
		return 0, fmt.Errorf("processor time of %s: %w", p.name, err)
	}
	return time.Duration(at.Nano()), nil
}

// memory is the resident memory of the process in bytes.
func (p *process) memory() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.command.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(status))
	if len(fields) < 2 {
		return 0, fmt.Errorf("memory of %s: /proc says %q", p.name, status)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}

// ownCPU is the processor time that this program, the load generator, has used so far.
func ownCPU() time.Duration {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		panic(fmt.Sprintf("getrusage of this process: %v", err))
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// sleep is exact to some tens of microseconds; the runtime's own timers may be a millisecond late on an idle machine.
func sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	rest := unix.NsecToTimespec(int64(d))
	for unix.Nanosleep(&rest, &rest) == unix.EINTR { // the runtime's preemption signals cut it short
	}
}

// inMemory reports whether the folder is on a file system that no fsync reaches a disk from.
func inMemory(dir string) (bool, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return false, fmt.Errorf("file system of %s: %w", dir, err)
	}
	return fs.Type == unix.TMPFS_MAGIC || fs.Type == unix.RAMFS_MAGIC, nil
}

// waitUntil asks again every 20 ms until ready has no error, the time is over, or a process has ended.
func waitUntil(ctx context.Context, limit time.Duration, processes []*process, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		attempt, done := context.WithTimeout(ctx, time.Second)
		err := ready(attempt)
		done()
		if err == nil {
			return nil
		}
		for _, p := range processes {
			if ended := p.exited(); ended != nil {
				return ended
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready after %v: %w", limit, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
