package lab

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/sim"
)

// Script is a text that was read: what it asks of its world, then steps.
type Script struct {
	Name string
	// World is "sim" or "live"; empty: it does not say.
	World   string
	Setting Setting
	// Timeout is what clients give a node; 0: the default.
	Timeout time.Duration
	// Consistency is the promise of the keyspace that no statement makes; empty: causal for a script that joins its
	// servers, linearizable for others. Tie and Session are its options; empty: its defaults.
	Consistency  kv.Consistency
	Tie, Session string

	labels map[core.NodeID]int
	lines  []string
	steps  []step
}

// step is a paragraph: some statements and what they print.
type step struct {
	statements []statement
	expected   *expectation
}

type statement struct {
	line       int
	text       string
	form       *form
	args       args
	background bool
	// refused says that the cluster must not do it: ! stands before it.
	refused bool
}

// expectation is what stands below ----: the lines from and up to, the marks included. want ends in a newline, unless it is empty.
type expectation struct {
	from, to int
	want     string
}

// Mistake is a line that is not as it should be.
type Mistake struct {
	Script string
	Line   int // from 1
	Why    string
}

// Error names the place as compilers do.
func (m *Mistake) Error() string { return fmt.Sprintf("%s:%d: %s", m.Script, m.Line, m.Why) }

// lineMax bounds a line, textMax a script.
const (
	lineMax = 1 << 20
	textMax = 16 << 20
)

// Parse reads a script. name is for messages.
func Parse(name string, r io.Reader) (*Script, error) {
	text, err := io.ReadAll(io.LimitReader(r, textMax+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(text) > textMax {
		return nil, fmt.Errorf("%s: the script is longer than %d MiB", name, textMax>>20)
	}
	p := &parser{script: &Script{Name: name}, names: names{nodes: map[int]core.NodeID{}, clients: map[int]bool{}}}
	p.script.lines = strings.Split(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n")
	if last := len(p.script.lines) - 1; p.script.lines[last] == "" {
		p.script.lines = p.script.lines[:last]
	}
	if err := p.parse(); err != nil {
		return nil, err
	}
	return p.script, nil
}

type parser struct {
	script *Script
	names  names
	at     int // the line, from 0
	step   step
	begun  bool // a statement was read that is no setting
}

// mark stands above what a step prints. Doubled, above and below, it lets that hold blank lines.
const mark = "----"

func (p *parser) parse() error {
	if err := p.findNodes(); err != nil {
		return err
	}
	for p.at = 0; p.at < len(p.script.lines); p.at++ {
		line := strings.TrimSpace(p.script.lines[p.at])
		if line == mark {
			if err := p.expectation(); err != nil {
				return err
			}
			continue
		}
		if line == "" {
			p.endStep()
		}
		if err := p.line(line); err != nil {
			return &Mistake{p.script.Name, p.at + 1, err.Error()}
		}
	}
	p.endStep()
	return nil
}

// endStep ends a paragraph.
func (p *parser) endStep() {
	if len(p.step.statements) > 0 {
		p.script.steps = append(p.script.steps, p.step)
		p.step = step{}
	}
}

// expectation reads what stands below a mark: up to a blank line, or between two marks and two marks.
func (p *parser) expectation() error {
	if len(p.step.statements) == 0 {
		return &Mistake{p.script.Name, p.at + 1, "nothing stands above ---- that could print what is expected"}
	}
	e := &expectation{from: p.at}
	lines := p.script.lines
	at := p.at + 1
	if at < len(lines) && strings.TrimSpace(lines[at]) == mark {
		first := at + 1
		for at = first; ; at++ {
			if at+1 >= len(lines) {
				return &Mistake{p.script.Name, e.from + 1, "the doubled ---- is not closed by another one"}
			}
			if strings.TrimSpace(lines[at]) == mark && strings.TrimSpace(lines[at+1]) == mark {
				break
			}
		}
		e.want, at = joined(lines[first:at]), at+2
	} else {
		first := at
		for at < len(lines) && strings.TrimSpace(lines[at]) != "" {
			at++
		}
		e.want = joined(lines[first:at])
	}
	e.to, p.at = at, at-1
	p.step.expected = e
	p.endStep()
	return nil
}

func joined(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}

func (p *parser) line(text string) error {
	if len(text) > lineMax {
		return fmt.Errorf("the line is longer than 1 MiB")
	}
	words, err := split(text)
	if err != nil || len(words) == 0 {
		return err
	}
	s := statement{line: p.at + 1, text: text}
	if last := words[len(words)-1]; last.text == "&" && !last.quoted {
		s.background, words = true, words[:len(words)-1]
	}
	if len(words) == 0 {
		return fmt.Errorf("nothing stands before the &")
	}
	if words[0].text == "!" && !words[0].quoted && len(words) > 1 {
		s.refused, words = true, words[1:]
	}
	if err := p.match(&s, words); err != nil {
		return err
	}
	return p.take(s)
}

// take puts a statement where it belongs.
func (p *parser) take(s statement) error {
	r := s.form.row
	switch {
	case s.background && !r.background:
		return fmt.Errorf("only client commands can run in the background; leave out the &")
	case s.refused && (s.background || r.set != nil):
		return fmt.Errorf("a ! can stand before what is done at once; leave it out")
	case r.set != nil && p.begun:
		return fmt.Errorf("%s is a setting; it must stand above all statements", s.form.words[0][0])
	case r.set != nil:
		r.set(p.script, s.args)
		return nil
	}
	p.begun = true
	if r.joins {
		p.names.clients[int(arg[uint64](s.args, "NUMBER"))] = true
	}
	p.step.statements = append(p.step.statements, s)
	return nil
}

// match finds the form of a statement: the first that fits.
func (p *parser) match(s *statement, words []word) error {
	var wrong []string
	for _, f := range table {
		rest, ok := f.begins(words)
		if !ok {
			continue
		}
		got, bad := f.fit(&p.names, rest)
		if bad == nil {
			s.form, s.args = f, got
			return nil
		}
		wrong = append(wrong, fmt.Sprintf("%s (%s)", spelling(f), bad.why))
	}
	if len(wrong) == 0 {
		return unknown(words)
	}
	return fmt.Errorf("expected: %s", strings.Join(wrong, ", or: "))
}

// spelling is a form for a message; the options that all client commands have would drown it.
func spelling(f *form) string {
	if short, ok := strings.CutSuffix(f.row.form, commandOptions); ok {
		return short + " {options}"
	}
	return f.row.form
}

// unknown says what begins as the line does, or that nothing does.
func unknown(words []word) error {
	var began []string
	for _, f := range table {
		if len(f.words) > 1 && slices.ContainsFunc(f.words[0], func(w string) bool { return strings.EqualFold(w, words[0].text) }) {
			began = append(began, spelling(f))
		}
	}
	if len(began) > 0 {
		return fmt.Errorf("%q cannot stand there; expected: %s", words[min(1, len(words)-1)].text, strings.Join(began, ", or: "))
	}
	return fmt.Errorf("there is no statement %q; expected one of those that `gamut lab commands` prints", words[0].text)
}

// findNodes looks ahead for the nodes: a statement may name one that a line below starts.
func (p *parser) findNodes() error {
	count, started := 0, map[int]bool{}
	for i, line := range p.script.lines {
		words, err := split(line)
		if err != nil || len(words) < 2 {
			continue // its own turn will tell
		}
		n, err := strconv.Atoi(words[len(words)-1].text)
		switch name := strings.ToLower(words[0].text); {
		case err != nil || n < 0:
		case name == "cluster" && len(words) == 3 && count == 0:
			if n > nodesMax {
				return &Mistake{p.script.Name, i + 1, fmt.Sprintf("a cluster of %d nodes; give 1 to %d", n, nodesMax)}
			}
			count = n
		case len(words) == 2 && startsNodes(name):
			started[n] = true
		}
	}
	return p.name(count, started)
}

func startsNodes(word string) bool {
	return slices.ContainsFunc(table, func(f *form) bool { return f.row.starts && strings.EqualFold(f.words[0][0], word) })
}

// nodesDefault is how many nodes there are if nothing is said, nodesMax the largest cluster.
const (
	nodesDefault = 3
	nodesMax     = sim.NodesMax
)

// name gives the nodes their ids: their own numbers, or, in a script that starts its servers itself, the order of theirs.
func (p *parser) name(count int, started map[int]bool) error {
	s := p.script
	s.labels = map[core.NodeID]int{}
	if count == 0 && len(started) > nodesMax {
		return fmt.Errorf("%s: it starts %d different servers; %d are possible", s.Name, len(started), nodesMax)
	}
	labels := sortedKeys(started)
	if count > 0 || len(started) == 0 {
		labels = labels[:0]
		for i := range cmp.Or(count, nodesDefault) {
			labels = append(labels, i+1)
		}
	}
	for i, label := range labels {
		id := core.NodeID(i + 1)
		p.names.nodes[label], s.labels[id] = id, label
		if count == 0 && len(started) > 0 {
			s.Setting.Absent = append(s.Setting.Absent, id)
		}
	}
	s.Setting.Nodes = len(labels)
	return nil
}

// makesKeyspaces reports whether a statement makes a keyspace; else there is default from the beginning.
func (s *Script) makesKeyspaces() bool {
	return slices.ContainsFunc(s.steps, func(st step) bool {
		return slices.ContainsFunc(st.statements, func(s statement) bool { return s.form.words[0][0] == "keyspace" })
	})
}

// joins reports whether the script starts its servers itself.
func (s *Script) joins() bool { return len(s.Setting.Absent) > 0 }

// Expects reports whether the script says what it prints.
func (s *Script) Expects() bool {
	return slices.ContainsFunc(s.steps, func(st step) bool { return st.expected != nil })
}

func sortedKeys[V any](m map[int]V) []int { return slices.Sorted(maps.Keys(m)) }
