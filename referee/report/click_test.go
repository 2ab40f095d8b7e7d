package report

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"

	"github.com/gamutdb/gamut/referee"
)

func TestPageInChromium(t *testing.T) {
	b := openBrowser(t)
	t.Run("looks", func(t *testing.T) {
		b.t = t
		for name, r := range map[string]*Run{"broken": broken.run(), "holds": passing.run()} {
			for _, scheme := range []string{"light", "dark"} {
				for _, width := range []int{1400, 390} {
					b.open(written(t, r), width, scheme)
					b.shoot(fmt.Sprintf("%s-%s-%d", name, scheme, width), true)
				}
			}
		}
	})
	t.Run("clicks", func(t *testing.T) {
		b.t = t
		walkThrough(t, b)
	})
	if said := b.complained(); len(said) > 0 {
		t.Errorf("the browser complained: %q", said)
	}
}

// walkThrough does with the page of a broken run what its reader would.
func walkThrough(t *testing.T, b *browser) {
	r := broken.run()
	p, _ := newPage(r)
	proof := p.Verdicts[0].Proof
	accused := proof.Ops[slices.IndexFunc(proof.Ops, func(o provenOp) bool { return o.Accused })]
	b.open(written(t, r), 1400, "light")
	for i, v := range p.Verdicts {
		if v.Proof != nil {
			b.do(chromedp.Click(chromedp.CSS(fmt.Sprintf("#proof-choice button:nth-child(%d)", i+1))))
			b.want(fmt.Sprintf(`document.getElementById("proof-note").textContent.startsWith(%q) && document.querySelectorAll("#proof-picture .op").length === %d`, v.Check, len(v.Proof.Ops)))
			b.shoot("proof-"+v.Check, false)
		}
	}
	b.do(chromedp.Click(chromedp.CSS("#proof-choice button")))

	b.do(chromedp.Click(chromedp.CSS(`#proof-picture .accused rect`)))
	b.want(fmt.Sprintf(`report.operation(report.state.selected).id === %d && !document.getElementById("details").hidden`, accused.ID))
	b.want(`document.querySelector("#details .accusation").textContent.includes("read")`)
	b.do(chromedp.Click(chromedp.CSS("#to-proof")))
	b.want(`report.state.to - report.state.from < report.run.span / 4`)
	b.shoot("clicked", false)
	b.want(fmt.Sprintf(`location.hash === "#op=%d"`, accused.ID))

	b.do(chromedp.Click(chromedp.CSS("#zoom-fit")))
	b.want(`report.state.to - report.state.from === report.run.span`)
	at := b.opPoint(proof.Ops[1].ID)
	b.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, at.X, at.Y))
	b.want(fmt.Sprintf(`!document.getElementById("tip").hidden && document.getElementById("tip").textContent.includes(%q)`, r.History[proof.Ops[1].ID].Value))
	b.shoot("hover", false)
	b.clickOp(proof.Ops[0].ID)
	b.want(fmt.Sprintf(`report.operation(report.state.selected).id === %d`, proof.Ops[0].ID))
	b.wheel("#lanes")
	b.want(`report.state.to - report.state.from < report.run.span`)
	b.do(chromedp.KeyEvent("n"))
	b.want(fmt.Sprintf(`report.operation(report.state.selected).id !== %d`, proof.Ops[0].ID))

	b.do(chromedp.Click(chromedp.CSS("#by-node")))
	b.want(`report.state.lanes === "node" && document.getElementById("by-node").getAttribute("aria-pressed") === "true"`)
	b.shoot("by-node", false)
	b.do(chromedp.KeyEvent("\u001b"), chromedp.Click(chromedp.CSS("#zoom-fit")))
	b.want(`report.state.selected === -1 && report.state.to - report.state.from === report.run.span`)
	b.clickOp(accused.ID)
	b.want(fmt.Sprintf(`report.operation(report.state.selected).id === %d`, accused.ID))

	b.do(chromedp.KeyEvent("\u001b"))
	b.want(`report.state.selected === -1 && document.getElementById("details").hidden`)
	b.do(chromedp.SendKeys(chromedp.CSS("#key"), proof.keyOf(r)))
	b.want(`report.run.keys[report.state.key] === document.getElementById("key").value`)
	b.shoot("key", false)
	b.wheel("#strips", chromedp.ButtonModifiers(chromedp.ModifierCtrl))
	b.do(chromedp.Click(chromedp.CSS("#zoom-fit")), chromedp.KeyEvent("\u001b"), chromedp.ScrollIntoView(chromedp.CSS("#minimap")))
	box := get(b, chromedp.Evaluate[point](`(() => { const box = document.getElementById("minimap").getBoundingClientRect(); return { x: box.left, y: box.top + box.height / 2 }; })()`))
	b.do(chromedp.DragAndDropXY(box.X+400, box.Y, box.X+600, box.Y))
	b.want(`report.state.from > 0 && report.state.to < report.run.span && report.state.to - report.state.from < report.run.span / 4`)
	downloads(t, b, r)
	b.do(chromedp.Click(chromedp.CSS("#theme")))
	b.want(`getComputedStyle(document.documentElement).colorScheme === "dark"`)
	b.shoot("theme", false)
}

// downloads takes the history from the page, and finds the run in it.
func downloads(t *testing.T, b *browser, r *Run) {
	t.Helper()
	dir := t.TempDir()
	if _, err := chromedp.CallBrowser(b.ctx, cdpbrowser.SetDownloadBehavior, cdpbrowser.SetDownloadBehaviorParams{Behavior: "allow", DownloadPath: dir}); err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.Click(chromedp.CSS("#download")))
	for range 600 {
		f, err := os.Open(filepath.Join(dir, "carts-under-partitions-seed-42.jsonl"))
		if err != nil {
			b.settled()
			continue
		}
		defer f.Close()
		if back, err := referee.Import(f); err != nil || !reflect.DeepEqual(back, r.Run) {
			t.Errorf("the download is not the run: %v", err)
		}
		return
	}
	t.Error("nothing was downloaded")
}

func (p *proof) keyOf(r *Run) string { return r.History[p.Ops[0].ID].Key }

// The watch over the page must see what a page could do wrong.
func TestBrowserNoticesWhatIsWrong(t *testing.T) {
	for name, wrong := range map[string]string{
		"outside picture": `<img src="http://127.0.0.1:24001/x.png">`,
		"foreign script":  `<script>document.title = "taken over"</script>`,
		"exception":       `</body>`,
	} {
		t.Run(name, func(t *testing.T) {
			b := openBrowser(t)
			b.open(append(written(t, broken.run()), wrong...), 800, "light")
			if name == "exception" {
				get(b, chromedp.Evaluate[chromedp.Void](`setTimeout(() => { throw new Error("planted") })`))
				b.settled()
			}
			if said := b.complained(); len(said) == 0 {
				t.Error("it said nothing")
			}
			if get(b, chromedp.Title()) == "taken over" {
				t.Error("a foreign script ran")
			}
		})
	}
}

// A long history stays quick because a frame draws no more than the screen can show; a very long one is sampled.
func TestLongHistories(t *testing.T) {
	b := openBrowser(t)
	large := broken
	large.clients, large.keys, large.pause, large.length = 40, 400, 2e6, 2000*ms
	for name, r := range map[string]*Run{
		"20000":  large.run(),
		"200000": {Run: &referee.Run{Name: "two hundred thousand", Consistency: "linearizable", History: many(200_000)}, World: Live},
	} {
		b.open(written(t, r), 1400, "light")
		t.Logf("%s: %d operations, drawn in %s ms", name, len(r.History), get(b, chromedp.Evaluate[string](`(() => {
			const from = performance.now();
			for (let n = 0; n < 10; n++) { report.show(n, report.run.span - n); for (const paint of painters) paint(); }
			return ((performance.now() - from) / 10).toFixed(1);
		})()`)))
		b.shoot("long-"+name, true)
		b.clickOp(r.History[len(r.History)/2].ID)
		b.want(`report.state.selected >= 0`)
	}
	if said := b.complained(); len(said) > 0 {
		t.Errorf("the browser complained: %q", said)
	}
}

// Runs with nothing in them, with hostile texts, or with more faults than there is room for open without a complaint.
func TestOddRunsOpen(t *testing.T) {
	b := openBrowser(t)
	stormy := passing.run()
	for i := range int64(500) {
		stormy.Events = append(stormy.Events, referee.Event{What: []string{"pause", "disk", "clock", "leader"}[i%4], At: i * 8 * ms, End: i * 8 * ms * (i % 3), Nodes: []uint32{uint32(1 + i%5)}})
	}
	for name, r := range map[string]*Run{
		"empty":   {Run: &referee.Run{Consistency: "causal"}, World: Live},
		"one":     {Run: &referee.Run{Consistency: "linearizable", History: many(1)}, World: Live},
		"stormy":  stormy,
		"hostile": hostile("</title><script>document.body.remove()</script>", "k\x00\xff<img src=x onerror=alert(1)>", `"><svg onload=alert(1)>`),
	} {
		b.open(written(t, r), 1000, "dark")
		b.do(chromedp.KeyEvent("l"), chromedp.KeyEvent("p"), chromedp.KeyEvent("n"), chromedp.KeyEvent("+"))
		b.want(`document.getElementById("headline").textContent !== ""`)
		b.shoot("odd-"+name, true)
		if said := b.complained(); len(said) > 0 {
			t.Errorf("%s: the browser complained: %q", name, said)
		}
	}
}
