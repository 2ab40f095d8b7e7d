package report

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/referee"
)

var keepPages = flag.String("pages", "", "write example pages into this folder, to look at")

// The scripts hold runs as lines of JSON, as the referee exports them, and what a page is told of each.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/pages", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			run, err := referee.Import(strings.NewReader(d.Input))
			if err != nil {
				return err.Error()
			}
			r := &Run{Run: run, World: Simulated, Nodes: 3}
			r.History.Sort()
			r.Verdicts = judged(t, d, run)
			if d.HasArg("world") {
				d.ScanArgs(t, "world", (*string)(&r.World))
			}
			if err := r.Validate(); err != nil {
				return err.Error()
			}
			p, _ := newPage(r)
			if d.Cmd == "data" {
				b, err := json.MarshalIndent(p, "", " ")
				if err != nil {
					t.Fatal(err)
				}
				return compact(b)
			}
			return told(p)
		})
	})
}

// judged applies the checkers that a script names, or three that stand for all. "none" is no checker, and "planted" is a
// verdict as a checker with links of its own would give it, which names one operation twice.
func judged(t *testing.T, d *datadriven.TestData, run *referee.Run) (verdicts []referee.Verdict) {
	names := []string{"linearizable", "versions", "durability"}
	if arg, ok := d.Arg("checks"); ok {
		names = arg.Vals
	}
	for _, name := range names {
		if name == "none" {
			continue
		}
		if name == "planted" {
			verdicts = append(verdicts, referee.Verdict{Check: "planted", Decision: referee.Broken, Judged: len(run.History), Pattern: "G-single", Key: run.History[0].Key,
				Why: "#1 cannot stand behind #0", Proof: append(run.History[:2:2], run.History[1]), Links: []referee.Link{{From: 0, To: 1, Relation: referee.WW, Why: "#1 replaced what #0 wrote"}, {From: 1, To: 0, Relation: referee.RT, Why: "#1 had returned"}}})
			continue
		}
		c, ok := referee.CheckerNamed(name)
		if !ok {
			d.Fatalf(t, "no checker is called %q", name)
		}
		verdicts = append(verdicts, c.Check(run))
	}
	return verdicts
}

// compact writes lists of numbers on one line.
func compact(b []byte) string {
	numbers := regexp.MustCompile(`\[[\s\d,.-]*\]`)
	space := regexp.MustCompile(`\s+`)
	return string(numbers.ReplaceAllFunc(b, func(list []byte) []byte { return space.ReplaceAll(list, nil) }))
}

// told is what a reader of the page reads, without the drawing.
func told(p *page) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n", p.Headline, p.Sentence)
	for _, f := range p.Faults {
		fmt.Fprintf(&b, "fault %d to %d at %v: %s\n", f.From, f.To, f.Nodes, f.Words)
	}
	for _, v := range p.Verdicts {
		fmt.Fprintf(&b, "%s %s\n", v.Check, v.Decision)
		if v.Proof == nil {
			continue
		}
		for i, o := range v.Proof.Ops {
			fmt.Fprintf(&b, "  %d%s [%s] %s\n", i+1, map[bool]string{true: "!"}[o.Accused], o.Label, o.Words)
		}
		for _, a := range v.Proof.Arrows {
			fmt.Fprintf(&b, "  %d -> %d %s: %s %s\n", a.From+1, a.To+1, a.Relation, a.Label, a.Why)
		}
	}
	return b.String()
}

func TestRunThatCannotBeDrawn(t *testing.T) {
	fine := func() *Run {
		return &Run{Run: &referee.Run{Consistency: "linearizable", History: referee.History{{ID: 0, Call: 1, Return: 2}, {ID: 1, Call: 3, Return: 4}}}, World: Live}
	}
	if err := Write(io.Discard, fine()); err != nil {
		t.Error(err)
	}
	for want, spoil := range map[string]func(r *Run){
		"no run":         func(r *Run) { r.Run = nil },
		"the world is":   func(r *Run) { r.World = "dreamt" },
		"no consistency": func(r *Run) { r.Consistency = "" },
		"numbered #7":    func(r *Run) { r.History[1].ID = 7 },
		"names an operation #2": func(r *Run) {
			r.Verdicts = []referee.Verdict{{Check: "c", Decision: referee.Broken, Proof: []referee.Op{{ID: 2}}}}
		},
		"names an operation #1": func(r *Run) {
			r.Verdicts = []referee.Verdict{{Check: "c", Decision: referee.Broken, Proof: []referee.Op{{ID: 1, Call: 9}}}}
		},
		"called before": func(r *Run) { r.History[1].Call = 0 },
	} {
		r := fine()
		spoil(r)
		if err := Write(io.Discard, r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func written(t *testing.T, r *Run) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := Write(&out, r); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// embedded finds a script's text in a page.
func embedded(t testing.TB, html []byte, id string) []byte {
	t.Helper()
	_, rest, ok := bytes.Cut(html, []byte(`id="`+id+`">`))
	text, _, closed := bytes.Cut(rest, []byte("</script>"))
	if !ok || !closed {
		t.Fatalf("the page has no script %q", id)
	}
	return text
}

func TestPageCarriesTheRun(t *testing.T) {
	r := broken.run()
	back, err := referee.Import(bytes.NewReader(embedded(t, written(t, r), "run")))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, r.Run) {
		t.Error("what the page carries is not the run")
	}
	for i, v := range referee.CheckAll(back) {
		if v.String() != r.Verdicts[i].String() {
			t.Errorf("judged again it says %s, said %s", v, r.Verdicts[i])
		}
	}
}

// The page is a function of the run.
func TestSameRunSamePage(t *testing.T) {
	if !bytes.Equal(written(t, broken.run()), written(t, broken.run())) {
		t.Error("two pages of one run differ")
	}
}

// No text of a run can add markup: every "<" of the page is one of its own.
func FuzzNothingBreaksOut(f *testing.F) {
	for _, s := range []string{"", "plain", "</script><script>alert(1)</script>", "<!--<script>", "]]>", "\x00\xff\xfe", "\u2028\u2029", `"\`, "%%DATA%%", "&lt;/script&gt;", "</SCRIPT >", "\r\n\t"} {
		f.Add(s, s, s)
	}
	own := bytes.Count(written(&testing.T{}, hostile("a", "b", "c")), []byte("<"))
	f.Fuzz(func(t *testing.T, title, key, value string) {
		html := written(t, hostile(title, key, value))
		if n := bytes.Count(html, []byte("<")); n != own {
			t.Errorf("%d signs begin markup, %d are the page's own", n, own)
		}
		var p page
		if err := json.Unmarshal(embedded(t, html, "data"), &p); err != nil {
			t.Errorf("data: %v", err)
		}
		back, err := referee.Import(bytes.NewReader(embedded(t, html, "run")))
		if err != nil || len(back.History) != 3 {
			t.Errorf("history: %d operations, %v", len(back.History), err)
		}
	})
}

// hostile is a run with these texts wherever a text can stand.
func hostile(title, key, value string) *Run {
	r := &Run{Run: &referee.Run{Name: title, Consistency: "linearizable", Workload: title, History: referee.History{
		{Key: key, Kind: referee.Set, Value: value, Call: 1, Return: 2, Outcome: referee.Done, Session: title, Where: value},
		{Key: key, Kind: referee.Set, Value: value + "'", Call: 3, Return: 4, Outcome: referee.Done, Level: value, Client: 1},
		{Key: key, Kind: referee.Get, Got: value, Call: 5, Return: 6, Outcome: referee.Done, Code: kv.OK, Client: 2},
	}, Events: []referee.Event{{What: "cut", At: 2, End: 3, Nodes: []uint32{1}, Detail: value}}, Final: referee.Final{key: value}},
		World: Live, Replay: value, Keyspace: title, Promise: value, Nodes: 1, Counters: []Counter{{title, value}}}
	r.History.Sort()
	r.Verdicts = []referee.Verdict{{Check: title, Decision: referee.Broken, Key: key, Pattern: value, Why: value, Proof: r.History,
		Links: []referee.Link{{From: 0, To: 1, Relation: referee.RT, Why: value}}}}
	return r
}

// The fuzz must notice a page that lets a "<" through.
func TestBreakoutWouldBeSeen(t *testing.T) {
	var out bytes.Buffer
	if err := assemble(&out, "t", []byte(`{"key":"</script>"}`), nil); err != nil {
		t.Fatal(err)
	}
	if own := bytes.Count(written(t, hostile("a", "b", "c")), []byte("<")); bytes.Count(out.Bytes(), []byte("<")) == own {
		t.Error("a script was ended, and the count of signs is the same")
	}
}

func TestPageNamesNothingOutside(t *testing.T) {
	names := append([]string{"index.html", "style.css"}, scripts...)
	entries, err := files.ReadDir("page")
	if err != nil || len(entries) != len(names) {
		t.Errorf("the folder has %d files, the page %d: %v", len(entries), len(names), err)
	}
	address := regexp.MustCompile(`(https?:)?//[a-z][^\s"']*|@import|url\([^#]`)
	for _, name := range names {
		for _, found := range address.FindAllString(read(name), -1) {
			if found != "http://www.w3.org/2000/svg" {
				t.Errorf("%s names %q", name, found)
			}
		}
	}
}

func TestExamplePages(t *testing.T) {
	large := broken
	large.clients, large.keys, large.pause, large.length = 40, 400, 2e6, 2000*ms
	for name, e := range map[string]example{"broken": broken, "holds": passing, "20000": large} {
		html := written(t, e.run())
		if len(html) < 100_000 {
			t.Errorf("%s: only %d bytes", name, len(html))
		}
		if *keepPages != "" {
			if err := os.WriteFile(*keepPages+"/"+name+".html", html, 0o600); err != nil {
				t.Error(err)
			}
		}
	}
}
