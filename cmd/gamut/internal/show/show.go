// Package show is how results of commands appear.
//
// A Printer takes rows, each as a value (for json and jsonl) and as cells (for table and raw), and writes them as they
// come, so that a dump of any length needs no memory.
//
// Others rely on this: json is one array, or one object where Only was called; raw has neither header nor escapes.
//
// Start with Printer.
package show

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf8"
)

// Formats are the values of -o.
var Formats = []string{"table", "json", "jsonl", "raw"}

// Printer writes rows in one format.
type Printer struct {
	format  string
	out     *bufio.Writer
	table   *tabwriter.Writer
	columns []string
	rows    int
	only    bool
}

// New makes a printer with the names of its columns.
func New(w io.Writer, format string, columns ...string) (*Printer, error) {
	p := &Printer{format: format, out: bufio.NewWriter(w), columns: columns}
	for _, f := range Formats {
		if f == format {
			p.table = tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
			return p, nil
		}
	}
	return nil, fmt.Errorf("output %q is not one of %s", format, strings.Join(Formats, ", "))
}

// JSON says that results appear as values, not as cells.
func (p *Printer) JSON() bool { return p.format == "json" || p.format == "jsonl" }

// tablePage is how many rows are aligned together: a table of a million keys must begin to appear.
const tablePage = 500

// Row writes one row.
func (p *Printer) Row(v any, cells ...string) error {
	p.rows++
	switch p.format {
	case "json":
		switch {
		case p.only:
		case p.rows == 1:
			p.out.WriteString("[\n")
		default:
			p.out.WriteString(",\n")
		}
		return p.json(v, p.only)
	case "jsonl":
		return p.json(v, true)
	case "raw":
		p.out.WriteString(strings.Join(cells, "\t"))
		return p.out.WriteByte('\n')
	}
	if p.rows == 1 {
		p.line(p.columns)
	}
	for i := range cells {
		cells[i] = printable(cells[i])
	}
	p.line(cells)
	if p.rows%tablePage == 0 {
		return p.table.Flush()
	}
	return nil
}

func (p *Printer) line(cells []string) {
	fmt.Fprintln(p.table, strings.Join(cells, "\t"))
}

func (p *Printer) json(v any, newline bool) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	p.out.Write(b)
	if newline {
		return p.out.WriteByte('\n')
	}
	return nil
}

// Only writes the one row of a command that has exactly one result.
func (p *Printer) Only(v any, cells ...string) error {
	p.only = true
	return p.Row(v, cells...)
}

// Close ends the output.
func (p *Printer) Close() error {
	switch {
	case p.format != "json" || p.only:
	case p.rows == 0:
		p.out.WriteString("[]\n")
	default:
		p.out.WriteString("\n]\n")
	}
	p.table.Flush() // writes into out, whose Flush tells what went wrong
	return p.out.Flush()
}

// printable keeps control characters away from the terminal: a key may hold any bytes.
func printable(s string) string {
	if utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return s
	}
	return fmt.Sprintf("%q", s)
}
