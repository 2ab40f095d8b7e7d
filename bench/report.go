package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// baseline is the system that the others are compared with.
const baseline = "gamut"

// column is a figure of a table. Its ratio is the baseline's figure divided by the system's.
type column struct {
	title, ratio string // no ratio: none is printed
	figure       func(*sample) *float64
}

var (
	opsColumn     = column{"ops/s", "ops/s", func(s *sample) *float64 { return &s.OpsPerSecond }}
	p50Column     = column{"p50 ms", "p50", func(s *sample) *float64 { return &s.P50Millis }}
	p99Column     = column{"p99 ms", "p99", func(s *sample) *float64 { return &s.P99Millis }}
	serverColumn  = column{"server CPU us/op", "server CPU", func(s *sample) *float64 { return &s.ServerMicros }}
	clientColumn  = column{"client CPU us/op", "", func(s *sample) *float64 { return &s.ClientMicros }}
	offeredColumn = column{"offered/s", "", func(s *sample) *float64 { return &s.OfferedPerSecond }}
	refusedColumn = column{"refused/s", "", func(s *sample) *float64 { return &s.RefusedPerSecond }}
	failedColumn  = column{"failed/s", "", func(s *sample) *float64 { return &s.FailedPerSecond }}
	heldColumn    = column{"held back/s", "", func(s *sample) *float64 { return &s.HeldPerSecond }}
	sentColumn    = column{"p99 ms since sent", "p99 since sent", func(s *sample) *float64 { return &s.SentP99Millis }}
	memoryColumn  = column{"MB", "MB", func(s *sample) *float64 { return &s.MemoryMB }}
	idleColumn    = column{"% of a core", "CPU", func(s *sample) *float64 { return &s.IdlePercent }}
	gapColumn     = column{"ms", "ms", func(s *sample) *float64 { return &s.GapMillis }}
	costColumn    = column{"% fewer", "", func(s *sample) *float64 { return &s.CostPercent }}
	beforeColumn  = column{"ops/s before", "", func(s *sample) *float64 { return &s.BeforePerSecond }}
	catchUpColumn = column{"MB/s caught up", "", func(s *sample) *float64 { return &s.CatchUpMB }}
)

// columns are the figures of a shape; the first is the one whose spread over the rounds is shown.
var columns = map[shape][]column{
	closedLoop:  {opsColumn, p50Column, p99Column, serverColumn, clientColumn},
	fixedRate:   {p99Column, p50Column, sentColumn, opsColumn, serverColumn},
	overload:    {opsColumn, offeredColumn, refusedColumn, heldColumn, failedColumn, p99Column, sentColumn, serverColumn},
	afterLoad:   {memoryColumn},
	quiet:       {idleColumn},
	afterLeader: {gapColumn},

	whileJoining: {costColumn, catchUpColumn, beforeColumn, opsColumn},
}

// report prints the tables and writes them to two files, for people and for programs.
func report(e environment, r *runner, broken error) error {
	if len(r.results) == 0 {
		return nil
	}
	e.Finished = time.Now()
	text := markdown(e, r)
	if broken != nil {
		text += fmt.Sprintf("\n**The run broke off here:** %v\n", broken)
	}
	fmt.Print(text)
	if err := os.MkdirAll(r.options.out, 0o755); err != nil {
		return err
	}
	name := filepath.Join(r.options.out, e.Started.Format("2006-01-02-150405"))
	if err := os.WriteFile(name+".md", []byte(text), 0o644); err != nil {
		return err
	}
	type contender struct {
		Name    string `json:"name"`
		Version string `json:"version"`
		Promise string `json:"promise"`
	}
	all := struct {
		Environment environment `json:"environment"`
		Keys        int         `json:"keys"`
		ValueBytes  int         `json:"value_bytes"`
		Seconds     float64     `json:"seconds"`
		Systems     []contender `json:"systems"`
		Results     []*result   `json:"results"`
	}{e, r.options.keys, r.options.valueBytes, r.options.round.Seconds(), nil, r.results}
	for _, s := range r.systems {
		all.Systems = append(all.Systems, contender{s.name, s.servers.version, s.promise})
	}
	encoded, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(name+".json", append(encoded, '\n'), 0o644); err != nil {
		return err
	}
	progress("written to %s.md and .json", name)
	return nil
}

func markdown(e environment, r *runner) string {
	o := r.options
	var b strings.Builder
	fmt.Fprintf(&b, "# Gamut beside its peers, %s\n\n", e.Started.Format("2 January 2006"))
	fmt.Fprintf(&b, "%s. Keys of %d bytes, %d of them; values of %d bytes. Turns of %v, interleaved; each figure is the median of %d rounds (failover: of %d trials). Load average before the start: %s.\n\n",
		e, keyBytes, o.keys, o.valueBytes, o.round, o.rounds, o.trials, e.Load)
	if o.rounds < 3 || o.round < 3*time.Second {
		b.WriteString("**A short run: it shows that all works, its figures mean little.**\n\n")
	}
	b.WriteString("| system | version | an acknowledged write is |\n|---|---|---|\n")
	for _, s := range r.systems {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", s.title, s.servers.version, s.promise)
	}
	fmt.Fprintf(&b, "\nCPU of the servers is of all their processes together. Ratios are Gamut's figure divided by that of the system in the row, with clients at the same place. ± is how far the rounds lie from their median, in the first column.\n")
	for _, w := range workloads {
		if slices.Contains(o.workloads, w.name) {
			r.table(&b, w)
		}
	}
	return b.String()
}

// table writes the results of one workload.
func (r *runner) table(b *strings.Builder, w workload) {
	fmt.Fprintf(b, "\n## %s (`%s`)\n\n", w.title, w.name)
	shown, ratios := columns[w.shape], r.hasBaseline(w)
	header, line := "| system | clients at |", "|---|---|"
	for i, c := range shown {
		header, line = header+" "+c.title+" |", line+"---:|"
		if i == 0 {
			header, line = header+" ± |", line+"---:|"
		}
	}
	for _, c := range shown {
		if ratios && c.ratio != "" {
			header, line = header+" ratio "+c.ratio+" |", line+"---:|"
		}
	}
	fmt.Fprintf(b, "%s\n%s\n", header, line)
	var notes []string
	for _, s := range r.systems {
		for _, t := range []target{spread, leader} {
			if known := r.find(s.name, w.name, t); known != nil && s.takesPart(w) {
				r.row(b, s, known, shown, ratios)
				if text := known.Median.FirstError; text != "" {
					notes = append(notes, fmt.Sprintf("%s (%s): %.0f failed and %.0f refused per second, the first with: %s", s.title, t, known.Median.FailedPerSecond, known.Median.RefusedPerSecond, text))
				}
			}
		}
	}
	for _, note := range notes {
		fmt.Fprintf(b, "\n%s\n", note)
	}
}

func (r *runner) row(b *strings.Builder, s *system, known *result, shown []column, ratios bool) {
	place := "-"
	if s.servers.cluster() {
		place = string(known.To)
	}
	fmt.Fprintf(b, "| %s | %s |", s.title, place)
	for i, c := range shown {
		fmt.Fprintf(b, " %s |", number(*c.figure(&known.Median)))
		if i == 0 {
			fmt.Fprintf(b, " %.0f %% |", known.deviation(c))
		}
	}
	base := r.find(baseline, known.Workload, known.To)
	if base == nil { // its clients went elsewhere only
		base = cmp.Or(r.find(baseline, known.Workload, leader), r.find(baseline, known.Workload, spread))
	}
	for _, c := range shown {
		if !ratios || c.ratio == "" {
			continue
		}
		own := *c.figure(&known.Median)
		if base == nil || own == 0 || s.name == baseline {
			b.WriteString(" |")
			continue
		}
		fmt.Fprintf(b, " %.2f |", *c.figure(&base.Median)/own)
	}
	b.WriteString("\n")
}

// deviation is the largest distance of a round from the median, in percent of it.
func (r *result) deviation(c column) float64 {
	m := *c.figure(&r.Median)
	if m == 0 {
		return 0
	}
	var most float64
	for i := range r.Rounds {
		most = max(most, *c.figure(&r.Rounds[i])/m-1, 1-*c.figure(&r.Rounds[i])/m)
	}
	return 100 * most
}

func (r *runner) find(system, workload string, t target) *result {
	for _, known := range r.results {
		if known.System == system && known.Workload == workload && known.To == t {
			return known
		}
	}
	return nil
}

func (r *runner) hasBaseline(w workload) bool {
	return r.find(baseline, w.name, spread) != nil || r.find(baseline, w.name, leader) != nil
}

// number has three digits that matter.
func number(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	case v < 10_000:
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.1fk", v/1000)
}

// short is a line for the person who waits.
func (s *sample) short() string {
	switch {
	case s.IdlePercent > 0:
		return number(s.IdlePercent) + " % of a core"
	case s.GapMillis > 0:
		return number(s.GapMillis) + " ms without writes"
	case s.CatchUpMB > 0:
		return fmt.Sprintf("%s/s before, %s/s meanwhile (%.0f %% fewer), caught up at %s MB/s", number(s.BeforePerSecond), number(s.OpsPerSecond), s.CostPercent, number(s.CatchUpMB))
	case s.OfferedPerSecond > 0:
		return fmt.Sprintf("%s/s of %s/s offered, %s/s refused, %s/s held back, %s/s failed, p99 %s ms (since sent %s ms, sent late %s ms), server %s us %s",
			number(s.OpsPerSecond), number(s.OfferedPerSecond), number(s.RefusedPerSecond), number(s.HeldPerSecond), number(s.FailedPerSecond),
			number(s.P99Millis), number(s.SentP99Millis), number(s.LateP99Millis), number(s.ServerMicros), s.FirstError)
	}
	return fmt.Sprintf("%s/s, p50 %s ms, p99 %s ms, server %s us, client %s us %s",
		number(s.OpsPerSecond), number(s.P50Millis), number(s.P99Millis), number(s.ServerMicros), number(s.ClientMicros), s.FirstError)
}
