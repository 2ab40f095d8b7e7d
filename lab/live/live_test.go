package live

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/door/http/remote"
	"github.com/gamutdb/gamut/internal/freeport"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/lab"
	"github.com/gamutdb/gamut/lab/inject"
	"github.com/gamutdb/gamut/referee"
)

// kept are processes of which none runs: what is done to a stopped node needs no more.
type kept struct{ dir string }

func (k kept) Start(core.NodeID) error             { return errors.New("not in this test") }
func (k kept) Signal(core.NodeID, os.Signal) error { return errors.New("not in this test") }
func (k kept) Runs(core.NodeID) bool               { return false }
func (k kept) Ended(core.NodeID) string            { return "never began" }
func (k kept) Dir(node core.NodeID) string         { return filepath.Join(k.dir, fmt.Sprint("node", node)) }
func (k kept) Stop(time.Duration)                  {}

func stoppedWorld(t *testing.T) *World {
	nodes := []core.NodeID{1, 2, 3}
	return New(kept{t.TempDir()}, nodes, map[core.NodeID]string{1: "127.0.0.1:1", 2: "127.0.0.1:1", 3: "127.0.0.1:1"})
}

// What is set on a node that does not run is there when it starts.
func TestSettingsOfAStoppedNodeStandInItsFolder(t *testing.T) {
	w, ctx := stoppedWorld(t), context.Background()
	for _, err := range []error{
		w.SetLink(ctx, 1, 2, lab.Link{Down: true}), w.SetLink(ctx, 3, 2, lab.Link{Delay: time.Second, Loss: 0.5}),
		w.SetClock(ctx, 2, lab.Clock{Offset: time.Hour, Rate: -7}), w.SetDisk(ctx, 2, lab.Disk{Full: true}),
		w.SetLink(ctx, 1, 3, lab.Link{Down: true}), w.SetLink(ctx, 1, 3, lab.Link{}),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	for node, want := range map[core.NodeID]string{
		1: `to node 2 {"down":true}`, 3: "",
		2: `from node 1 {"down":true}; from node 3 {"delay":"1s","loss":0.5}; clock {"offset":"1h0m0s","rate":-7}; disk {"full":true}`,
	} {
		s, err := inject.ReadFile(w.processes.Dir(node))
		if err != nil || s.String() != want {
			t.Errorf("node %d: %s, %v; want %s", node, s.String(), err, want)
		}
	}
	if err := w.Wipe(ctx, 2); err != nil {
		t.Error(err)
	}
	if s, err := inject.ReadFile(w.processes.Dir(2)); err != nil || s.String() == "" {
		t.Errorf("wiping the disk takes the faults away: %q, %v", s.String(), err)
	}
}

func TestWhatALiveWorldCannotDoIsAnError(t *testing.T) {
	w, ctx := stoppedWorld(t), context.Background()
	elsewhere := newWorld([]core.NodeID{1}, map[core.NodeID]string{1: "127.0.0.1:1"})
	for name, err := range map[string]error{
		"power loss":                   w.Crash(ctx, lab.TailLost, 1),
		"a sync error of nobody":       w.SetDisk(ctx, 1, lab.Disk{SyncError: true}),
		"to kill another's process":    elsewhere.Crash(ctx, lab.TailKept, 1),
		"to wipe another's disk":       elsewhere.Wipe(ctx, 1),
		"a kind of damage of tomorrow": damage(t.TempDir(), lab.Damage{Kind: 99}),
	} {
		if !errors.Is(err, lab.ErrCannot) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := elsewhere.pick([]string{"crash"}, kv.Linearizable); !errors.Is(err, lab.ErrCannot) {
		t.Errorf("to draw crashes of another's processes: %v", err)
	}
	if list, err := elsewhere.pick(nil, kv.Linearizable); err != nil || slices.ContainsFunc(list, func(k *kind) bool { return k.process }) {
		t.Errorf("what can be drawn for another's cluster: %v, %v", list, err)
	}
	if _, err := w.pick([]string{"crahs"}, kv.Linearizable); err == nil || !strings.Contains(err.Error(), `there are no faults called "crahs"`) {
		t.Errorf("a misspelt fault: %v", err)
	}
}

func TestPlanIsAFunctionOfItsSeed(t *testing.T) {
	w := stoppedWorld(t)
	all, err := w.pick(nil, kv.Linearizable)
	if err != nil {
		t.Fatal(err)
	}
	text := func(seed uint64) string {
		var b strings.Builder
		for _, s := range plan(seed, time.Minute, all) {
			fmt.Fprintln(&b, s.at, s.lasts, s.kind.name, s.seed)
		}
		return b.String()
	}
	once := text(7)
	if again := text(7); once != again {
		t.Error("one seed, two plans")
	}
	if once == text(8) {
		t.Error("two seeds, one plan")
	}
	several := text(7) + text(8) + text(9) + text(10)
	for _, k := range all {
		if !strings.Contains(several, " "+k.name+" ") {
			t.Errorf("in four minutes, no %s", k.name)
		}
	}
	few, err := w.pick([]string{"pause"}, kv.Linearizable)
	if err != nil || len(plan(7, time.Minute, few)) == 0 {
		t.Errorf("one kind alone never strikes, %v", err)
	}
}

// An answer is refused only if the node certainly was not reached; everything else that is no answer is unknown.
func TestWhatIsNotAnsweredIsUnknown(t *testing.T) {
	over := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-over }))
	defer silent.Close()
	defer close(over)
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte{0xff}) }))
	defer broken.Close()
	cut := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer cut.Close()
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(kv.AppendResult(nil, &kv.Result{Code: kv.Busy}))
	}))
	defer busy.Close()
	nobody := freeport.Address(t)
	for _, c := range []struct {
		name, address string
		want          kv.Code
	}{
		{"nobody listens", nobody, kv.Unavailable}, {"no answer in time", silent.Listener.Addr().String(), kv.Unknown},
		{"an answer that cannot be read", broken.Listener.Addr().String(), kv.Unknown},
		{"a connection that breaks", cut.Listener.Addr().String(), kv.Unknown}, {"the node's own word", busy.Listener.Addr().String(), kv.Busy},
	} {
		w := newWorld([]core.NodeID{1}, map[core.NodeID]string{1: c.address})
		op := w.Begin(lab.Request{Node: 1, Keyspace: "k", Timeout: 200 * time.Millisecond,
			Command: kv.Command{Ops: []kv.Op{{Kind: kv.OpSet, Key: []byte("a")}}}})
		if err := w.Wait(context.Background(), op); err != nil || op.Result.Code != c.want || op.Returned < op.Called {
			t.Errorf("%s: %v, %+v, from %v to %v; want %v", c.name, err, op.Result, op.Called, op.Returned, c.want)
		}
	}
	if r := failed(1, errors.New("status 500")); r.Code != kv.Unknown {
		t.Errorf("an answer that is none: %v", r.Code)
	}
	if r := failed(1, fmt.Errorf("%w at x", remote.ErrNoAnswer)); !r.Code.Refused() {
		t.Errorf("a node that cannot be reached: %v", r.Code)
	}
}

func TestDamageHitsWhatWasWritten(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "log", "000001.log")
	empty := filepath.Join(dir, "log", "000002.log")
	content := append(slices.Repeat([]byte("abcdefgh"), 100), make([]byte, 1000)...)
	if err := os.MkdirAll(filepath.Dir(log), 0o755); err != nil {
		t.Fatal(err)
	}
	write := func() {
		if err := errors.Join(os.WriteFile(log, content, 0o644), os.WriteFile(empty, make([]byte, 1000), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	read := func() []byte {
		b, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for seed := range uint64(20) {
		write()
		if err := damage(dir, lab.Damage{Kind: lab.LogBitFlip, Seed: seed}); err != nil {
			t.Fatal(err)
		}
		changed := 0
		for i, b := range read() {
			if b != content[i] {
				changed++
				if i >= 800 {
					t.Errorf("seed %d alters byte %d, behind all that was written", seed, i)
				}
			}
		}
		if changed != 1 {
			t.Errorf("seed %d alters %d bytes", seed, changed)
		}
		write()
		if err := damage(dir, lab.Damage{Kind: lab.LogCut, Seed: seed}); err != nil {
			t.Fatal(err)
		}
		if n := len(read()); n >= 800 {
			t.Errorf("seed %d leaves %d bytes of 800", seed, n)
		}
	}
	if err := damage(dir, lab.Damage{Kind: lab.StateBitFlip}); !errors.Is(err, errNothing) {
		t.Errorf("damage to a state that is not there: %v", err)
	}
}

// A run without any faults and with any number of them is judged by what the report holds, nothing else.
func TestReportIsNotOKIfAnythingIsWrong(t *testing.T) {
	good := referee.Verdict{Decision: referee.Holds}
	for _, c := range []struct {
		name string
		r    Report
		want bool
	}{
		{"all hold", Report{Verdicts: []referee.Verdict{good, good}}, true},
		{"one is broken", Report{Verdicts: []referee.Verdict{good, {Decision: referee.Broken}}}, false},
		{"one is undecided", Report{Verdicts: []referee.Verdict{{Decision: referee.Undecided}, good}}, false},
		{"a node ended by itself", Report{Verdicts: []referee.Verdict{good}, Problems: []string{"node 1 ended"}}, false},
	} {
		if c.r.OK() != c.want {
			t.Errorf("%s: OK %v", c.name, !c.want)
		}
	}
}
