package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gamutdb/gamut/kv"
)

func nodeCommand(g *global) *cobra.Command {
	cmd := &cobra.Command{Use: "node", Short: "List, drain, remove and replace nodes (gamut start --join adds one)"}
	cmd.AddCommand(nodeList(g), nodeDrain(g), nodeRemove(g), nodeReplace(g), nodeUnsafeRecover(g))
	cmd.RunE = func(c *cobra.Command, _ []string) error { return usage(c.Help()) }
	return cmd
}

func nodeList(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the nodes of the cluster",
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := bounded(c)
			defer cancel()
			st, err := g.cluster().Status(ctx)
			if err != nil {
				return err
			}
			held, err := g.held(ctx)
			if err != nil {
				return err
			}
			p, err := g.printer(c, "NODE", "HTTP", "PEERS", "UP", "STATE", "ZONE", "REPLICAS")
			if err != nil {
				return err
			}
			for _, n := range st.Nodes {
				state := n.State
				if state == "" {
					state = "member"
				}
				if err := p.Row(n, fmt.Sprint(n.Node), n.Addresses["http"], n.Addresses["peer"], strconv.FormatBool(n.Up), state, n.Zone, strconv.Itoa(held[n.Node])); err != nil {
					return err
				}
			}
			return p.Close()
		},
	}
}

// held counts the replicas of each node, those of the catalog excepted.
func (g *global) held(ctx context.Context) (map[uint32]int, error) {
	list, err := g.cluster().Keyspaces(ctx)
	held := map[uint32]int{}
	for _, k := range list {
		if k.Name == "system" {
			continue
		}
		for _, group := range k.Groups {
			for _, node := range group.Replicas {
				held[node]++
			}
		}
	}
	return held, err
}

func nodeDrain(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "drain NODE",
		Short: "Move everything away from a node, and wait until it is empty",
		Long: "Move everything away from a node, and wait until it is empty. The node may be down. The cluster goes on by itself if the\n" +
			"command is interrupted; the same command waits again.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := nodeNumber(args[0])
			if err != nil {
				return err
			}
			if err := g.drain(c, id, g.cluster().DrainNode); err != nil {
				return err
			}
			return g.only(c, []string{"DRAINED"}, map[string]uint32{"drained": id}, args[0])
		},
	}
}

func nodeRemove(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "remove NODE",
		Short: "End the membership of a node that was drained; its number is never given again",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := nodeNumber(args[0])
			if err != nil {
				return err
			}
			ctx, cancel := bounded(c)
			defer cancel()
			if err := g.cluster().RemoveNode(ctx, id); err != nil {
				return err
			}
			return g.only(c, []string{"REMOVED"}, map[string]uint32{"removed": id}, args[0])
		},
	}
}

func nodeReplace(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "replace NODE",
		Short: "Give up a stopped node whose disk is lost: drain it, then remove it",
		Long: "Give up a node whose disk is lost: what it held is made anew on other nodes from their replicas, then it is removed.\n" +
			"The node must not run. What a causal or eventual keyspace had on that disk only is gone, and sessions that saw it are told. A\n" +
			"blank disk must not speak under an old number, so the machine joins again as a new node: gamut start --join ... --dir D,\n" +
			"before this command if there is no other node to hold what it held.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := nodeNumber(args[0])
			if err != nil {
				return err
			}
			if err := g.drain(c, id, g.cluster().ReplaceNode); err != nil {
				return err
			}
			ctx, cancel := bounded(c)
			defer cancel()
			if err := g.cluster().RemoveNode(ctx, id); err != nil {
				return err
			}
			return g.only(c, []string{"REPLACED"}, map[string]uint32{"replaced": id}, args[0])
		},
	}
}

func nodeNumber(text string) (uint32, error) {
	id, err := strconv.ParseUint(text, 10, 32)
	if err != nil || id == 0 {
		return 0, usage(fmt.Errorf("%q is not the number of a node; gamut node list shows them", text))
	}
	return uint32(id), nil
}

// lookAgain is between two looks at how far the cluster is.
const lookAgain = 500 * time.Millisecond

// drain lets a node leave, by letGo, and tells how far it is until it is empty.
func (g *global) drain(c *cobra.Command, id uint32, letGo func(context.Context, uint32) error) error {
	if err := letGo(c.Context(), id); err != nil {
		return err
	}
	told := ""
	return g.watch(c, func(ctx context.Context) (done bool, err error) {
		held, err := g.held(ctx)
		if err != nil {
			return false, err
		}
		plan, err := g.cluster().Balance(ctx)
		if err != nil {
			return false, err
		}
		drained, err := g.drained(ctx, id)
		if err != nil {
			return false, err
		}
		if now := progress(fmt.Sprintf("node %d holds %d replicas", id, held[id]), &plan); !drained && now != told {
			fmt.Fprintln(c.ErrOrStderr(), now)
			told = now
		}
		return drained, nil
	})
}

// drained says that the node that is asked knows the node to be drained, or to be gone already.
func (g *global) drained(ctx context.Context, id uint32) (bool, error) {
	st, err := g.cluster().Status(ctx)
	if err != nil {
		return false, err
	}
	for _, n := range st.Nodes {
		if n.Node == id {
			return n.State == "drained", nil
		}
	}
	return true, nil
}

func progress(what string, plan *kv.BalancePlan) string {
	text := fmt.Sprintf("%s; %d shards are moving, %d wait", what, len(plan.Underway), len(plan.Moves))
	if len(plan.Stuck) > 0 {
		text += "; stuck: " + strings.Join(plan.Stuck, "; ")
	}
	return text
}

// watch looks again and again until look says that it is done. What a node cannot answer at this moment is asked again.
func (g *global) watch(c *cobra.Command, look func(context.Context) (bool, error)) error {
	for {
		ctx, cancel := bounded(c)
		done, err := look(ctx)
		cancel()
		var e *kv.Error
		if done || err != nil && !errors.As(err, &e) {
			return err
		}
		select {
		case <-c.Context().Done():
			return c.Context().Err()
		case <-time.After(lookAgain):
		}
	}
}

func balanceCommand(g *global) *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use:   "balance",
		Short: "Wait until replicas are spread evenly; --dry-run shows what would move or be split, and why",
		RunE: func(c *cobra.Command, _ []string) error {
			if dry {
				return g.showPlan(c)
			}
			told := ""
			return g.watch(c, func(ctx context.Context) (bool, error) {
				plan, err := g.cluster().Balance(ctx)
				if err != nil {
					return false, err
				}
				if now := progress("balancing", &plan); now != told {
					fmt.Fprintln(c.ErrOrStderr(), now)
					told = now
				}
				return len(plan.Moves)+len(plan.Underway) == 0, nil
			})
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "show what is moving and being split, and what would be next, and do nothing")
	return cmd
}

func (g *global) showPlan(c *cobra.Command) error {
	ctx, cancel := bounded(c)
	defer cancel()
	plan, err := g.cluster().Balance(ctx)
	if err != nil {
		return err
	}
	p, err := g.printer(c, "KEYSPACE", "SHARD", "FROM", "TO", "THEN ON", "WHY")
	if err != nil {
		return err
	}
	for _, m := range append(plan.Underway, plan.Moves...) {
		number := func(n uint32) string {
			if n == 0 {
				return ""
			}
			return fmt.Sprint(n)
		}
		if err := p.Row(m, m.Keyspace, strconv.Itoa(m.Shard), number(m.From), number(m.To), strings.Trim(fmt.Sprint(m.Nodes), "[]"), m.Why); err != nil {
			return err
		}
	}
	splits, err := g.plannedSplits(ctx)
	if err != nil {
		return err
	}
	for _, s := range splits {
		if err := p.Row(s, s.Keyspace, strconv.Itoa(s.Shard), "", "", splitText(&s), s.Why); err != nil {
			return err
		}
	}
	for _, s := range plan.Stuck {
		fmt.Fprintln(c.ErrOrStderr(), "stuck:", s)
	}
	return p.Close()
}
