package acceptance

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/redis/go-redis/v9"
)

// program is the path of the binary under test.
var program string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "gamut-acceptance")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "gamut")
	args := []string{"build", "-o", program}
	if os.Getenv("GAMUT_RACE") == "1" {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "github.com/gamutdb/gamut/cmd/gamut")...)
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the binary under test: %v\n%s", err, out)
		return 1
	}
	redis.SetLogger(quiet{})
	go startProcesses()
	return m.Run()
}

// quiet drops what go-redis logs: that a killed node refuses connections is no news here.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

type toStart struct {
	cmd *exec.Cmd
	err chan error
}

var starting = make(chan toStart)

// startProcesses starts all children from one thread that never ends: a child dies with the thread that started it.
func startProcesses() {
	runtime.LockOSThread()
	for s := range starting {
		s.err <- s.cmd.Start()
	}
}

func startProcess(cmd *exec.Cmd) error {
	cmd.SysProcAttr = dieWithTest()
	s := toStart{cmd, make(chan error, 1)}
	starting <- s
	return <-s.err
}

// lacks skips a test that cannot run here; under CI it must, so that there it fails.
func lacks(t *testing.T, what string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(what+" (never skipped under CI=true)", args...)
	}
	t.Skipf(what, args...)
}
