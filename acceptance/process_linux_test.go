package acceptance

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// dieWithTest makes the kernel end a child when this process ends, however that happens.
func dieWithTest() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// residentBytes is how much memory a process has in RAM.
func residentBytes(pid int) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("process %d says nothing of VmRSS", pid)
}

// processesMarked are the processes whose environment has the entry.
func processesMarked(entry string) (pids []int) {
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		// A process that has ended meanwhile, or belongs to somebody else, cannot be read: it is none of ours.
		b, err := os.ReadFile("/proc/" + d.Name() + "/environ")
		if err == nil && strings.Contains("\x00"+string(b), "\x00"+entry+"\x00") {
			pids = append(pids, pid)
		}
	}
	return pids
}

// mountTmpfs mounts a file system of its own size at a folder; it needs root.
func mountTmpfs(dir string, bytes int64) (unmount func() error, err error) {
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		return nil, err
	}
	return func() error { return syscall.Unmount(dir, syscall.MNT_DETACH) }, nil
}
