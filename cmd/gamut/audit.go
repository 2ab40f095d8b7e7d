package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gamutdb/gamut/audit"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
)

// auditTimeout bounds walks over everything that a cluster holds.
const auditTimeout = time.Hour

func auditCommand(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "audit",
		Short: "Walk the hash chains of all replicas and name the first block that differs",
		Long: "Walk the hash chains of all replicas: every block must be what its hash says, every link must lead to the block\n" +
			"before, and committed blocks at one index must be the same everywhere. All keyspaces, unless --keyspace is given.",
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), auditTimeout)
			defer cancel()
			tasks, err := g.tasks(ctx, c)
			if err != nil {
				return err
			}
			p, err := g.printer(c, "KEYSPACE", "SHARD", "GROUP", "COMPARED", "HELD", "RESULT")
			if err != nil {
				return err
			}
			var result verdict
			for _, task := range tasks {
				if why := unchained(task.Consistency); why != "" {
					if err := p.Row(task.Group, task.Keyspace, fmt.Sprint(task.Shard), fmt.Sprint(task.Group.Group), "nothing", "", why); err != nil {
						return err
					}
					continue
				}
				r := audit.Chain(ctx, task.Group, task.Replicas)
				text := result.judge(task, len(r.Ranges), r.Unchecked, r.Finding)
				if err := p.Row(r, r.Keyspace, fmt.Sprint(r.Shard), fmt.Sprint(r.Group.Group), span(r.From, r.To), ranges(r.Ranges), text); err != nil {
					return err
				}
			}
			if err := p.Close(); err != nil {
				return err
			}
			return result.err("audit")
		},
	}
}

// unchained says why the replicas of such a keyspace have no chain to walk; empty: they have one.
func unchained(c kv.Consistency) string {
	switch {
	case keyspace.Atomic(c):
		return "no chain: the members of a view agree write by write; verify compares what they hold"
	case !keyspace.Led(c):
		return "no chain: replicas without a leader have no log in common; verify compares what they hold"
	}
	return ""
}

func span(from, to uint64) string {
	if to == 0 {
		return "nothing"
	}
	return fmt.Sprintf("%d to %d", from, to)
}

func ranges(all []audit.Range) string {
	var out []string
	for _, r := range all {
		out = append(out, fmt.Sprintf("node %d: %s", r.Node, span(r.From, r.To)))
	}
	return strings.Join(out, ", ")
}

// tasks are the groups to look at: all, or those of --keyspace if it was given.
func (g *global) tasks(ctx context.Context, c *cobra.Command) ([]audit.Task, error) {
	return g.tasksOf(ctx, !c.Flags().Changed("keyspace"))
}

// tasksOf are the groups of all keyspaces, or of the chosen one, which may be the default.
func (g *global) tasksOf(ctx context.Context, all bool) ([]audit.Task, error) {
	cluster := g.cluster()
	keyspaces, err := cluster.Keyspaces(ctx)
	if err != nil {
		return nil, err
	}
	members, err := cluster.Members(ctx)
	if err != nil {
		return nil, err
	}
	var nodes []audit.Asked
	for _, m := range members {
		asked := audit.Asked{Node: m.ID, Status: m.Status}
		if m.Err == nil {
			asked.Reader = m.Node
		} else {
			asked.Why = m.Err.Error()
		}
		nodes = append(nodes, asked)
	}
	tasks := audit.Plan(keyspaces, nodes, func(name string) bool { return all || name == g.keyspace })
	if len(tasks) == 0 {
		return nil, noKeyspace(g.keyspace)
	}
	return tasks, nil
}

// verdict gathers what several groups gave.
type verdict struct {
	broken    []string
	unchecked []string
	// alone are groups of several replicas of which fewer than two could be compared.
	alone int
}

// judge takes one group's outcome and puts it in words.
func (v *verdict) judge(task audit.Task, compared int, unchecked []audit.Unchecked, finding *audit.Finding) string {
	var notes []string
	for _, u := range unchecked {
		notes = append(notes, u.String())
		v.unchecked = append(v.unchecked, fmt.Sprintf("keyspace %s, shard %d, %s", task.Keyspace, task.Shard, u))
	}
	text := "equal"
	switch {
	case finding != nil:
		text = "BROKEN: " + finding.String()
		v.broken = append(v.broken, fmt.Sprintf("group %d (keyspace %s, shard %d): %s", task.Group.Group, task.Keyspace, task.Shard, finding))
	case compared < 2 && len(task.Replicas) > 1:
		v.alone++
		text = "NOT COMPARED"
	case compared < 2:
		text = "the only replica"
	}
	if len(notes) > 0 {
		text += "; not checked: " + strings.Join(notes, ", ")
	}
	return text
}

func (v *verdict) err(what string) error {
	switch {
	case len(v.broken) > 0:
		return coded{exitBroken, fmt.Errorf("%s: %s", what, strings.Join(v.broken, "\n"))}
	case v.alone > 0:
		return coded{exitTooFew, fmt.Errorf("%s: %d groups could not be compared: %s", what, v.alone, strings.Join(v.unchecked, "; "))}
	}
	return nil
}
