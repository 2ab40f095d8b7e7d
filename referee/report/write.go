package report

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"strings"

	"github.com/gamutdb/gamut/referee"
)

//go:embed page
var files embed.FS

// scripts are the page's own, in the order in which they are read: later ones use what earlier ones declare.
var scripts = []string{"data.js", "words.js", "view.js", "lanes.js", "draw.js", "strips.js", "minimap.js", "proof.js", "details.js", "controls.js", "main.js"}

// Write writes the run as one HTML file. It needs no other resource and makes no request.
func Write(w io.Writer, r *Run) error {
	if err := r.Validate(); err != nil {
		return err
	}
	p, shown := newPage(r)
	data, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	var history bytes.Buffer
	if err := exported(r, shown).Export(&history); err != nil {
		return fmt.Errorf("report: history: %w", err)
	}
	return assemble(w, r.Name, unclosable(data), unclosable(history.Bytes()))
}

// exported is the run as the page carries it. Of a sample nothing can be judged, so what was left at the end stays out then.
func exported(r *Run, shown referee.History) *referee.Run {
	run := *r.Run
	run.History = shown
	if len(shown) < len(r.History) {
		run.Final, run.Replicas = nil, nil
	}
	return &run
}

// unclosable writes "<" as JSON does within strings, the only place where it stands, so that nothing in the text can end
// the script that it lies in, or begin one.
func unclosable(encoded []byte) []byte {
	return bytes.ReplaceAll(encoded, []byte("<"), []byte(`\u003c`))
}

// assemble puts the pieces in the places that the frame names.
func assemble(w io.Writer, title string, data, history []byte) error {
	style, code := read("style.css"), make([]string, len(scripts))
	for i, name := range scripts {
		code[i] = read(name)
	}
	pieces := map[string]string{
		"POLICY":  policy(style, code),
		"TITLE":   html.EscapeString(strings.ToValidUTF8(title, "\ufffd")),
		"STYLE":   "<style>" + style + "</style>",
		"DATA":    string(data),
		"HISTORY": string(history),
		"SCRIPTS": "<script>" + strings.Join(code, "</script>\n<script>") + "</script>",
	}
	// The frame alternates between text and the names of pieces; what a piece holds is never looked at again.
	for i, part := range strings.Split(read("index.html"), "%%") {
		if i%2 == 1 {
			part = pieces[part]
		}
		if _, err := io.WriteString(w, part); err != nil {
			return err
		}
	}
	return nil
}

// policy lets the browser refuse all that is not in this file: no requests, no scripts or styles but these, by their hashes.
func policy(style string, code []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; style-src %s; script-src", hash(style))
	for _, s := range code {
		b.WriteString(" " + hash(s))
	}
	return b.String()
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// read is a file of the page. They are part of the binary, so one that is missing is a mistake of the build.
func read(name string) string {
	b, err := files.ReadFile("page/" + name)
	if err != nil {
		panic("report: " + err.Error())
	}
	return string(b)
}
