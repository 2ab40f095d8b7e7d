package inject

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gamutdb/gamut/core"
)

func TestRequestsChangeOneSettingOrNothing(t *testing.T) {
	for _, c := range []struct{ path, body, want, wrong string }{
		{"links/2/in", `{"down":true}`, `from node 2 {"down":true}`, ""},
		{"links/2/in", `{"delay":"20ms","loss":0.5}`, `from node 2 {"delay":"20ms","loss":0.5}`, ""},
		{"links/3/out", `{"down":true,"flap":"1s"}`, `to node 3 {"down":true,"flap":"1s"}`, ""},
		{"clock", `{"offset":"-1h"}`, `clock {"offset":"-1h0m0s"}`, ""},
		{"disk", `{"syncDelay":"5ms","full":true}`, `disk {"syncDelay":"5ms","full":true}`, ""},
		{"faults", `{"in":{"2":{"down":true}},"clock":{"rate":100}}`, `from node 2 {"down":true}; clock {"rate":100}`, ""},
		{"links/3/out", `{"delay":"1s"}`, "", "only down and flap"},
		{"links/0/in", `{}`, "", "is no part of the settings"},
		{"links/x/in", `{}`, "", "is no part of the settings"},
		{"links/2/by", `{}`, "", "is no part of the settings"},
		{"links/2/in", `{"loss":1.5}`, "", "chances from 0 to 1"},
		{"links/2/in", `{"delay":"2h"}`, "", "0 to 1m0s"},
		{"links/2/in", `{"delay":20}`, "", "is not a duration"},
		{"links/2/in", `{"flap":"1s"}`, "", "without down"},
		{"links/2/in", `{"dwon":true}`, "", `unknown field "dwon"`},
		{"clock", `{"offset":"99999h"}`, "", "the limit is"},
		{"clock", `{"rate":60000}`, "", "the limit is 50000"},
		{"disk", `{"syncDelay":"-1s"}`, "", "give 0 to"},
		{"everything", `{}`, "", "is no part of the settings"},
	} {
		var s Settings
		err := s.Request("PUT", "/v1/lab/"+c.path, []byte(c.body))
		if c.wrong == "" && err != nil || c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)) {
			t.Errorf("%s %s: %v, want %q", c.path, c.body, err, c.wrong)
		}
		if got := s.String(); got != c.want {
			t.Errorf("%s %s sets %q, want %q", c.path, c.body, got, c.want)
		}
	}
}

func FuzzRequest(f *testing.F) {
	f.Add("links/2/in", []byte(`{"down":true}`))
	f.Add("faults", []byte(`{"in":{"2":{"delay":"1s"}}}`))
	f.Fuzz(func(t *testing.T, path string, body []byte) {
		var s Settings
		if err := s.Request("PUT", "/v1/lab/"+path, body); err != nil {
			if s.String() != "" {
				t.Errorf("refused (%v), but sets %s", err, s.String())
			}
			return
		}
		if err := s.Validate(); err != nil {
			t.Errorf("accepted, but %v", err)
		}
		b, err := json.Marshal(&s)
		var again Settings
		if err != nil || json.Unmarshal(b, &again) != nil || again.String() != s.String() {
			t.Errorf("%s reads back as %s, %v", s.String(), again.String(), err)
		}
	})
}

// A node that is killed at once starts again with what was set, a sync that is to fail once excepted.
func TestSettingsOutliveTheProcess(t *testing.T) {
	dir := t.TempDir()
	first := injector(t, dir)
	change(t, first, "links/2/in", `{"down":true}`)
	change(t, first, "disk", `{"syncDelay":"1ms","syncError":true}`)
	change(t, first, "clock", `{"offset":"1h"}`)
	if want := `from node 2 {"down":true}; clock {"offset":"1h0m0s"}; disk {"syncDelay":"1ms","syncError":true}`; first.String() != want {
		t.Errorf("set is %s, want %s", first, want)
	}
	second := injector(t, dir)
	if want := `from node 2 {"down":true}; clock {"offset":"1h0m0s"}; disk {"syncDelay":"1ms"}`; second.String() != want {
		t.Errorf("after a restart %s, want %s", second, want)
	}
	if !second.Cut(2, false) || second.Cut(2, true) || second.Cut(3, false) {
		t.Error("the cut of one direction is not what it was")
	}
	if err := os.WriteFile(filepath.Join(dir, FileName), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := New(dir); err == nil || !strings.Contains(err.Error(), "remove the file") {
		t.Errorf("a damaged file: %v", err)
	}
}

func injector(t *testing.T, dir string) *Injector {
	t.Helper()
	i, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func change(t *testing.T, i *Injector, path, body string) {
	t.Helper()
	if err := i.Change(func(s *Settings) error { return s.Request("PUT", "/v1/lab/"+path, []byte(body)) }); err != nil {
		t.Fatal(err)
	}
}

func TestFatesOfAMessage(t *testing.T) {
	always := func() float64 { return 0 } // below every chance but 0
	never := func() float64 { return 0.999 }
	half := func() float64 { return 0.5 }
	all := Link{Loss: 0.6, Duplicate: 0.6, Reorder: 0.6, Delay: Duration(time.Second), Jitter: Duration(time.Second)}
	for _, c := range []struct {
		name    string
		link    Link
		ordered bool
		chance  func() float64
		want    []fate
	}{
		{"a healthy link", Link{}, false, always, []fate{{}}},
		{"lost", all, false, always, nil},
		{"neither lost nor doubled nor late", Link{Loss: 0.6, Duplicate: 0.6, Reorder: 0.6}, false, never, []fate{{}}},
		{"doubled and overtaken", Link{Duplicate: 0.6, Reorder: 0.6}, false, half, []fate{{reorderMax / 2, true}, {reorderMax / 2, true}}},
		{"late by delay and jitter", Link{Delay: Duration(time.Second), Jitter: Duration(time.Second)}, false, half, []fate{{1500 * time.Millisecond, false}}},
		{"what is ordered is late, and nothing else", all, true, half, []fate{{1500 * time.Millisecond, false}}},
	} {
		if got := c.link.fates(c.ordered, c.chance); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestFlapping(t *testing.T) {
	l := Link{Down: true, Flap: Duration(time.Second)}
	for since, want := range map[time.Duration]bool{0: true, 999 * time.Millisecond: true, time.Second: false, 2 * time.Second: true, 3500 * time.Millisecond: false} {
		if l.down(since) != want {
			t.Errorf("%v after it was set: down %v", since, !want)
		}
	}
}

// What must keep its order does so while the delay changes, and when it goes away.
func TestOrderedArrivalsKeepTheirOrder(t *testing.T) {
	i := injector(t, t.TempDir())
	const n = 200
	var mu sync.Mutex
	var got []int
	all := make(chan struct{})
	for at := range n {
		switch at {
		case 0:
			change(t, i, "links/2/in", `{"delay":"30ms","jitter":"20ms","loss":1,"duplicate":1,"reorder":1}`)
		case n / 2:
			change(t, i, "links/2/in", `{"delay":"1ms"}`)
		case n - 10:
			change(t, i, "links/2/in", `{}`)
		}
		i.Arrive(2, true, func() {
			mu.Lock()
			defer mu.Unlock()
			if got = append(got, at); len(got) == n {
				close(all)
			}
		})
	}
	<-all
	if !slices.IsSorted(got) {
		t.Errorf("arrived as %v", got)
	}
}

func TestClocksJumpAndRun(t *testing.T) {
	i := injector(t, t.TempDir())
	now := core.Time(1000e9)
	day := time.Unix(1e9, 0)
	mono, wall := i.Clocks(func() core.Time { return now }, func() time.Time { return day })
	want := func(what string, shown core.Time, off time.Duration) {
		t.Helper()
		if mono() != shown || wall().Sub(day) != off {
			t.Errorf("%s: %v and %v, want %v and %v", what, mono(), wall().Sub(day), shown, off)
		}
	}
	want("healthy", now, 0)
	change(t, i, "clock", `{"offset":"-1h","rate":50000}`)
	want("no jump when the rate changes", now, -time.Hour)
	now += 100e9
	want("five per cent too fast", 1105e9, -time.Hour)
	change(t, i, "clock", `{}`)
	want("healed, without a jump back", 1105e9, 0)
	now += 100e9
	want("at the true rate again", 1205e9, 0)
}

func TestDisks(t *testing.T) {
	i := injector(t, t.TempDir())
	fs := i.FS(vfs.NewMem())
	if err := errors.Join(fs.MkdirAll("n/log", 0o755), fs.MkdirAll("n/state", 0o755)); err != nil {
		t.Fatal(err)
	}
	log, err := fs.Create("n/log/1.log", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	state, err := fs.Create("n/state/1.sst", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	change(t, i, "disk", `{"syncError":true}`)
	if err := state.Sync(); err != nil {
		t.Errorf("the state's sync fails: %v", err)
	}
	if err := log.SyncData(); !errors.Is(err, errSync) {
		t.Errorf("the log's sync: %v", err)
	}
	if err := log.SyncData(); err != nil || i.String() != "" {
		t.Errorf("it fails more than once: %v, %s", err, i)
	}
	change(t, i, "disk", `{"noSpace":true}`)
	if _, err := log.Write([]byte("x")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a write on a disk without space: %v", err)
	}
	if usage, err := fs.GetDiskUsage("n"); err == nil && usage.AvailBytes != 0 {
		t.Errorf("%d bytes free", usage.AvailBytes)
	}
	change(t, i, "disk", `{"hung":true}`)
	done := make(chan error, 1)
	go func() { done <- log.SyncData() }()
	select {
	case err := <-done:
		t.Errorf("a sync on a hung disk returns: %v", err)
	case <-time.After(20 * time.Millisecond): // one that did not hang would most likely be through
	}
	change(t, i, "disk", `{}`)
	if err := <-done; err != nil {
		t.Errorf("after the disk went on: %v", err)
	}
}

func TestDoorAnswersInTheFormOfTheOthers(t *testing.T) {
	h := injector(t, t.TempDir()).Handler(nil)
	ask := func(method, path, body string) (int, string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, path, bytes.NewReader([]byte(body))))
		return w.Code, strings.TrimSpace(w.Body.String())
	}
	for _, c := range []struct {
		method, path, body string
		code               int
		want               string
	}{
		{"PUT", "/v1/lab/links/2/in", `{"down":true}`, 200, `{"in":{"2":{"down":true}},"clock":{},"disk":{}}`},
		{"GET", "/v1/lab/faults", ``, 200, `{"in":{"2":{"down":true}},"clock":{},"disk":{}}`},
		{"PUT", "/v1/lab/links/2/in", `{"loss":2}`, 400, `"error":"invalid"`},
		{"DELETE", "/v1/lab/faults", ``, 200, `{"clock":{},"disk":{}}`},
		{"GET", "/v1/lab/nonsense", ``, 404, `"error":"no_such_path"`},
	} {
		code, got := ask(c.method, c.path, c.body)
		if code != c.code || !strings.Contains(got, c.want) {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, code, got, c.code, c.want)
		}
	}
	if code, _ := ask("PUT", "/v1/lab/clock", fmt.Sprintf(`{"x":"%s"}`, strings.Repeat("x", settingsMax))); code != http.StatusBadRequest {
		t.Errorf("a long body: %d", code)
	}
}
