package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// environment is what a reader has to know about the machine.
type environment struct {
	Started    time.Time `json:"started"`
	Finished   time.Time `json:"finished"`
	Processor  string    `json:"processor"`
	Cores      int       `json:"cores"`
	MemoryGB   float64   `json:"memory_gb"`
	Kernel     string    `json:"kernel"`
	FileSystem string    `json:"file_system"`
	Go         string    `json:"go"`
	Load       string    `json:"load_average"`
}

// describe asks the system; what cannot be found out stays empty.
func describe(dir string) environment {
	e := environment{Started: time.Now(), Cores: runtime.NumCPU(), Go: runtime.Version()}
	e.Processor = afterColon("/proc/cpuinfo", "model name")
	var kib float64
	if _, err := fmt.Sscanf(afterColon("/proc/meminfo", "MemTotal"), "%f kB", &kib); err == nil {
		e.MemoryGB = kib * 1024 / 1e9
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		e.Kernel = unix.ByteSliceToString(name.Sysname[:]) + " " + unix.ByteSliceToString(name.Release[:])
	}
	var fs unix.Statfs_t
	if unix.Statfs(dir, &fs) == nil {
		e.FileSystem = map[int64]string{unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs", unix.OVERLAYFS_SUPER_MAGIC: "overlayfs"}[int64(fs.Type)]
	}
	load, _ := os.ReadFile("/proc/loadavg")
	if fields := strings.Fields(string(load)); len(fields) > 0 {
		e.Load = fields[0]
	}
	return e
}

// afterColon finds the first line of a file under /proc that begins with the name.
func afterColon(path, name string) string {
	text, _ := os.ReadFile(path)
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func (e environment) String() string {
	return fmt.Sprintf("%s, %d cores, %.0f GB, %s, %s, load generator on the same machine, built with %s", e.Processor, e.Cores, e.MemoryGB, e.Kernel, e.FileSystem, e.Go)
}
