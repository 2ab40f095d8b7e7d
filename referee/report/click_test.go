package report

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
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
	accused := proof.Ops[len(proof.Ops)-1]
	b.open(written(t, r), 1400, "light")

	b.do(chromedp.Click(chromedp.CSS(`#proof-picture .accused rect`)))
	b.want(fmt.Sprintf(`report.operation(report.state.selected).id === %d && !document.getElementById("details").hidden`, accused.ID))
	b.want(`document.querySelector("#details .accusation").textContent.includes("read")`)
	b.do(chromedp.Click(chromedp.CSS("#to-proof")))
	b.want(`report.state.to - report.state.from < report.run.span / 4`)
	b.shoot("clicked", false)

	b.do(chromedp.Click(chromedp.CSS("#zoom-fit")))
	b.want(`report.state.to - report.state.from === report.run.span`)
	b.clickOp(proof.Ops[0].ID)
	b.want(fmt.Sprintf(`report.operation(report.state.selected).id === %d`, proof.Ops[0].ID))
	b.wheel("#lanes")
	b.want(`report.state.to - report.state.from < report.run.span`)
	b.do(chromedp.KeyEvent("n"))
	b.want(fmt.Sprintf(`report.operation(report.state.selected).id !== %d`, proof.Ops[0].ID))

	b.do(chromedp.Click(chromedp.CSS("#by-node")))
	b.want(`report.state.lanes === "node" && document.getElementById("by-node").getAttribute("aria-pressed") === "true"`)
	b.shoot("by-node", false)
	b.clickOp(accused.ID)
	b.want(fmt.Sprintf(`report.operation(report.state.selected).id === %d`, accused.ID))

	b.do(chromedp.KeyEvent("\u001b"))
	b.want(`report.state.selected === -1 && document.getElementById("details").hidden`)
	b.do(chromedp.SendKeys(chromedp.CSS("#key"), proof.keyOf(r)))
	b.want(`report.run.keys[report.state.key] === document.getElementById("key").value`)
	b.shoot("key", false)
	b.wheel("#strips", chromedp.ButtonModifiers(chromedp.ModifierCtrl))
	b.do(chromedp.Click(chromedp.CSS("#theme")))
	b.want(`getComputedStyle(document.documentElement).colorScheme === "dark"`)
	b.shoot("theme", false)
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
