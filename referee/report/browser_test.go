package report

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

var screenshots = flag.String("screenshots", "", "keep the pictures that the browser test takes in this folder")

// chromium is the browser's path; the test is skipped where there is none, except in CI.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	const missing = "no chromium in PATH; install Debian's package chromium"
	if os.Getenv("CI") == "true" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

// browser is one tab of a headless Chromium, with what it complained of.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu sync.Mutex
	// complaints are console errors, exceptions and requests that are not for the file itself.
	complaints []string
}

func openBrowser(t *testing.T) *browser {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium(t)), chromedp.UserDataDir(t.TempDir()),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	// It bounds a hang; nothing is decided by it.
	ctx, giveUp := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(giveUp)
	allocator, endAllocator := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(endAllocator)
	ctx, end := chromedp.NewContext(allocator)
	t.Cleanup(end)
	b := &browser{t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatal(err)
	}
	call(b, runtime.Enable, cdp.Empty{})
	call(b, log.Enable, cdp.Empty{})
	call(b, network.Enable, network.EnableParams{})
	return b
}

func (b *browser) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		said := e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			said += " " + e.ExceptionDetails.Exception.Description
		}
		b.complaints = append(b.complaints, "exception: "+said)
	case *runtime.EventConsoleAPICalled:
		b.complaints = append(b.complaints, fmt.Sprintf("console: %s", e.Args[0].Value))
	case *log.EventEntryAdded:
		b.complaints = append(b.complaints, "log: "+e.Entry.Text)
	case *network.EventRequestWillBeSent:
		if u := e.Request.URL; !strings.HasPrefix(u, "file://") && !strings.HasPrefix(u, "data:") && !strings.HasPrefix(u, "blob:") {
			b.complaints = append(b.complaints, "request: "+u)
		}
	}
}

func (b *browser) complained() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string{}, b.complaints...)
}

// call sends a command of the protocol that has no action.
func call[P, R any](b *browser, command cdp.Command[P, R], params P) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, command, params); err != nil {
		b.t.Fatal(err)
	}
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatalf("%v; the browser said %q", err, b.complained())
	}
}

// get runs an action and returns what it gives.
func get[T any](b *browser, action chromedp.Action[T]) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, action)
	if err != nil {
		b.t.Fatalf("%v; the browser said %q", err, b.complained())
	}
	return v
}

// want waits until an expression of the page is true.
func (b *browser) want(expression string) {
	b.t.Helper()
	// So many frames are ten seconds or more; what is awaited follows from an event that the page has had already.
	for range 600 {
		if get(b, chromedp.Evaluate[bool](expression)) {
			return
		}
		b.settled()
	}
	b.t.Fatalf("never true: %s; the browser said %q", expression, b.complained())
}

// settled waits until the page has drawn what was asked for.
func (b *browser) settled() {
	b.t.Helper()
	get(b, chromedp.Evaluate[bool](`new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))`, chromedp.EvalAwaitPromise))
}

// open shows a page from a file, in a window of this width.
func (b *browser) open(html []byte, width int, scheme string) {
	b.t.Helper()
	path := filepath.Join(b.t.TempDir(), "report.html")
	if err := os.WriteFile(path, html, 0o600); err != nil {
		b.t.Fatal(err)
	}
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme},
		// A page that still scrolls when it is clicked is clicked elsewhere.
		{Name: "prefers-reduced-motion", Value: "reduce"},
	}})
	b.do(chromedp.EmulateViewport(int64(width), 900), chromedp.Navigate("file://"+path))
	b.settled()
}

// shoot takes a picture of the whole page, or of the window.
func (b *browser) shoot(name string, whole bool) {
	b.t.Helper()
	b.settled()
	var picture []byte
	if whole {
		picture = get(b, chromedp.FullScreenshot(100))
	} else {
		picture = get(b, chromedp.CaptureScreenshot())
	}
	if config, err := png.DecodeConfig(bytes.NewReader(picture)); err != nil || config.Width < 300 {
		b.t.Errorf("picture %s: %v, %v", name, config, err)
	}
	if *screenshots != "" {
		if err := os.WriteFile(filepath.Join(*screenshots, name+".png"), picture, 0o600); err != nil {
			b.t.Error(err)
		}
	}
}

type point struct {
	X float64 `json:"x"`
	Y float64 `json:"y"`
}

// opPoint is where an operation is drawn in the window.
func (b *browser) opPoint(id int) point {
	b.t.Helper()
	b.do(chromedp.ScrollIntoView(chromedp.CSS("#lanes")))
	return get(b, chromedp.Evaluate[point](fmt.Sprintf(`(() => {
		const box = document.getElementById("lanes").getBoundingClientRect(), p = report.pointOf(%d);
		return { x: box.left + p.x, y: box.top + p.y };
	})()`, id)))
}

// clickOp clicks an operation in the lanes.
func (b *browser) clickOp(id int) {
	b.t.Helper()
	at := b.opPoint(id)
	b.do(chromedp.MouseClickXY(at.X, at.Y))
	b.settled()
}

// wheel turns it upwards in the middle of an element.
func (b *browser) wheel(selector string, options ...chromedp.MouseOption) {
	b.t.Helper()
	at := get(b, chromedp.Evaluate[point](fmt.Sprintf(`(() => {
		const box = document.querySelector(%q).getBoundingClientRect();
		return { x: box.left + box.width / 2, y: box.top + box.height / 3 };
	})()`, selector)))
	// The protocol wants both, and the library leaves out a zero.
	up := func(p *input.DispatchMouseEventParams) { p.DeltaX, p.DeltaY = .01, -200 }
	b.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseWheel, at.X, at.Y, append(options, up)...))
	b.settled()
}
