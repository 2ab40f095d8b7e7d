package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gamutdb/gamut/cmd/gamut/internal/settings"
	"github.com/gamutdb/gamut/door/http/remote"
	"github.com/gamutdb/gamut/internal/freeport"
	"github.com/gamutdb/gamut/machine"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"gamut": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			base, release, err := freeport.Claim(nodesMax)
			if err != nil {
				return err
			}
			env.Defer(release)
			env.Setenv("BASE", strconv.Itoa(base))
			for i := range nodesMax {
				env.Setenv(fmt.Sprintf("HTTP%d", i+1), fmt.Sprintf("127.0.0.1:%d", base+i*settings.PortStep))
			}
			var cluster []string
			for i := range 3 {
				cluster = append(cluster, fmt.Sprintf("%d=127.0.0.1:%d", i+1, base+i*settings.PortStep+settings.PeerPort))
			}
			env.Setenv("CLUSTER", strings.Join(cluster, ","))
			env.Setenv("PEER1", fmt.Sprintf("127.0.0.1:%d", base+settings.PeerPort))
			env.Setenv("BASE4", strconv.Itoa(base+3*settings.PortStep))
			env.Setenv("BASE5", strconv.Itoa(base+4*settings.PortStep))
			env.Setenv("GAMUT_ADDR", fmt.Sprintf("127.0.0.1:%d", base))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "ready": ready, "kill9": kill9, "again": again, "alter": alter, "until": until,
		},
	})
}

// nodesMax is the largest cluster of a script.
const nodesMax = 5

// exits runs gamut and checks its exit code: exits CODE ARGUMENTS…
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE ARGUMENTS…")
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		got := codeOf(ts, args[1:])
		switch {
		case got == args[0]:
			return
		case got != unavailable || time.Now().After(deadline):
			ts.Fatalf("gamut %v exits with %s, want %s", args[1:], got, args[0])
		}
	}
}

// unavailable is the exit code that asks to try again: on a busy machine a group may be without a leader for a moment.
const unavailable = "5"

func codeOf(ts *testscript.TestScript, args []string) string {
	err := ts.Exec("gamut", args...)
	if exit, ok := err.(*exec.ExitError); ok {
		return strconv.Itoa(exit.ExitCode())
	}
	ts.Check(err)
	return "0"
}

// until runs gamut until it ends well and prints what matches: until PATTERN ARGUMENTS…
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until PATTERN ARGUMENTS…")
	}
	pattern := regexp.MustCompile(args[0])
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		err := ts.Exec("gamut", args[1:]...)
		if err == nil && pattern.MatchString(ts.ReadFile("stdout")) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("gamut %v within a minute: %v", args[1:], err)
		}
	}
}

// ready waits until the nodes at the addresses can serve; ! ready, until they cannot be reached.
func ready(ts *testscript.TestScript, neg bool, args []string) {
	for _, address := range args {
		cluster := remote.New([]string{address}, time.Second)
		deadline := time.Now().Add(time.Minute)
		for {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			err := cluster.Ready(ctx)
			cancel()
			if (err != nil) == neg {
				break
			}
			if time.Now().After(deadline) {
				ts.Fatalf("%s within a minute: %v", address, err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// child finds what dev said of a node in a file with its output.
func child(ts *testscript.TestScript, file, node string) (pid int, command string) {
	for line := range strings.Lines(ts.ReadFile(file)) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "node "+node+" runs as pid ")
		if !ok {
			continue
		}
		pidText, command, _ := strings.Cut(rest, "; to start it again: ")
		pid, err := strconv.Atoi(pidText)
		ts.Check(err)
		return pid, command
	}
	ts.Fatalf("%s says nothing of node %s", file, node)
	return 0, ""
}

// kill9 kills a child of dev: kill9 FILE NODE.
func kill9(ts *testscript.TestScript, _ bool, args []string) {
	pid, _ := child(ts, args[0], args[1])
	ts.Check(syscall.Kill(pid, syscall.SIGKILL))
}

// again starts a node by the command that dev printed: again FILE NODE. The script's end stops it.
func again(ts *testscript.TestScript, _ bool, args []string) {
	_, command := child(ts, args[0], args[1])
	cmd := exec.Command("sh", "-c", "exec "+command)
	ts.Check(cmd.Start())
	ts.Defer(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
}

// alter changes the last byte of a key's record in the state of a stopped node, as a bug would that checksums do not see:
// alter STATE-FOLDER KEY.
func alter(ts *testscript.TestScript, _ bool, args []string) {
	db, err := pebble.Open(ts.MkAbs(args[0]), &pebble.Options{FormatMajorVersion: pebble.FormatNewest, Logger: silent{}})
	ts.Check(err)
	it, err := db.NewIter(nil)
	ts.Check(err)
	altered := 0
	for it.First(); it.Valid(); it.Next() {
		if key := it.Key(); len(key) > 8 && string(key[8:]) == string(rune(machine.DataKind))+args[1] {
			value := bytes.Clone(it.Value())
			value[len(value)-1] ^= 1
			ts.Check(db.Set(bytes.Clone(key), value, pebble.Sync))
			altered++
		}
	}
	ts.Check(it.Close())
	ts.Check(db.Flush())
	ts.Check(db.Close())
	if altered != 1 {
		ts.Fatalf("%d records of %s in %s", altered, args[1], args[0])
	}
}

type silent struct{}

func (silent) Infof(string, ...any)              {}
func (silent) Errorf(string, ...any)             {}
func (silent) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
