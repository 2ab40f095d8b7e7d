package lab

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed page_head.md
var pageHead string

// Page is the language on one page, in Markdown, made of the table that scripts are read with.
func Page() string {
	var b strings.Builder
	b.WriteString(strings.ReplaceAll(pageHead, "COMMAND_OPTIONS", strings.TrimSpace(commandOptions)))
	for _, c := range chapters() {
		fmt.Fprintf(&b, "\n## %s\n\n", c.title)
		for i := range c.rows {
			b.WriteString(entry(&c.rows[i]))
		}
	}
	b.WriteString("\n## What arguments may be\n\n| argument | |\n|---|---|\n")
	for _, k := range kinds {
		fmt.Fprintf(&b, "| %s | %s |\n", k.name, strings.ReplaceAll(k.doc, "|", "\\|"))
	}
	return b.String()
}

func entry(r *row) string {
	spelled, options := strings.CutSuffix(r.form, commandOptions)
	text := fmt.Sprintf("- `%s`", spelled)
	if options {
		text += " *"
	}
	text += ": " + r.doc + "."
	if r.needs != "" {
		text += " For " + r.needs + "."
	}
	if r.from != "" {
		text += " (" + r.from + ")"
	}
	return text + "\n"
}
