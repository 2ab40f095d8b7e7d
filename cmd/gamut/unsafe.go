package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gamutdb/gamut/cmd/gamut/internal/settings"
	"github.com/gamutdb/gamut/door/http/remote"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
)

func nodeUnsafeRecover(g *global) *cobra.Command {
	var lost string
	var yes bool
	cmd := &cobra.Command{
		Use:   "unsafe-recover --lost NODE,NODE",
		Short: "Go on without nodes that are lost for good and were a majority; what they alone held is lost",
		Long: "Go on without nodes that are lost for good and were a majority of some shards, or of the catalog: each such shard goes on with\n" +
			"what is left of it. What the lost nodes alone held is lost, and may include writes that were acknowledged. Without --yes it\n" +
			"shows what would happen. The lost nodes must never run again: among themselves they would be a majority, and another cluster.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			r := recovery{g: g}
			for _, text := range settings.List(lost) {
				id, err := nodeNumber(text)
				if err != nil {
					return err
				}
				r.lost = append(r.lost, id)
			}
			if len(r.lost) == 0 {
				return usage(errors.New("name the nodes that are lost for good, as in --lost 2,3"))
			}
			return r.run(c, yes)
		},
	}
	cmd.Flags().StringVar(&lost, "lost", "", "numbers of the nodes that are lost for good, separated by commas")
	cmd.Flags().BoolVar(&yes, "yes", false, "do it; without this flag the command only shows what it would do")
	return cmd
}

// recovery is a cluster that goes on without some of its nodes.
type recovery struct {
	g    *global
	lost []uint32
	// addresses are the HTTP doors of the nodes that are left.
	addresses map[uint32]string
	groups    []lostGroup
}

// lostGroup is a shard that has lost replicas.
type lostGroup struct {
	Keyspace string   `json:"keyspace"`
	Shard    int      `json:"shard"`
	Group    uint64   `json:"group"`
	Left     []uint32 `json:"left"`
	Lost     []uint32 `json:"lost"`
	Then     string   `json:"then"`
	force    bool
}

func (r *recovery) run(c *cobra.Command, yes bool) error {
	if err := r.look(c); err != nil {
		return err
	}
	if err := r.show(c); err != nil {
		return err
	}
	if !yes {
		fmt.Fprintln(c.ErrOrStderr(), "nothing was changed; if these nodes will never run again, repeat the command with --yes")
		return nil
	}
	for _, group := range r.groups {
		if !group.force {
			continue
		}
		if err := r.recover(c, group); err != nil {
			return fmt.Errorf("keyspace %s shard %d: %w", group.Keyspace, group.Shard, err)
		}
	}
	for _, id := range r.lost {
		if err := r.lose(c, id); err != nil {
			return err
		}
	}
	fmt.Fprintln(c.ErrOrStderr(), "the nodes are members no more; when others join, what is left is copied to them: gamut balance waits for that, gamut verify compares")
	return nil
}

// recover asks those who are left of a group, one after the other, to lead it.
func (r *recovery) recover(c *cobra.Command, group lostGroup) (err error) {
	for _, node := range group.Left {
		ctx, cancel := bounded(c)
		err = remote.New([]string{r.addresses[node]}, requestTimeout).UnsafeRecover(ctx, group.Group, join(group.Left))
		cancel()
		if err == nil {
			return nil
		}
	}
	return err
}

func (r *recovery) lose(c *cobra.Command, id uint32) error {
	ctx, cancel := bounded(c)
	defer cancel()
	var e *kv.Error
	if err := r.g.cluster().LoseNode(ctx, id); err != nil && !(errors.As(err, &e) && e.Code == kv.NotFound) {
		return fmt.Errorf("node %d: %w", id, err)
	}
	return nil
}

// look finds out what is lost and what is left.
func (r *recovery) look(c *cobra.Command) error {
	ctx, cancel := bounded(c)
	defer cancel()
	st, err := r.g.cluster().Status(ctx)
	if err != nil {
		return err
	}
	for _, id := range r.lost {
		if !slices.ContainsFunc(st.Nodes, func(n kv.NodeStatus) bool { return n.Node == id }) {
			return usage(fmt.Errorf("there is no node %d; gamut node list shows the nodes", id))
		}
	}
	r.addresses = map[uint32]string{}
	for _, n := range st.Nodes {
		switch isLost := slices.Contains(r.lost, n.Node); {
		case isLost && (n.Up || n.Node == st.Node):
			return usage(fmt.Errorf("node %d is up; it is not lost", n.Node))
		case !isLost && !n.Up && n.Node != st.Node:
			return usage(fmt.Errorf("node %d is down and not named; start it, or name it among the lost", n.Node))
		case !isLost:
			r.addresses[n.Node] = n.Addresses["http"]
		}
	}
	return r.lookAtKeyspaces(ctx)
}

func (r *recovery) lookAtKeyspaces(ctx context.Context) error {
	keyspaces, err := r.g.cluster().Keyspaces(ctx)
	if err != nil {
		return err
	}
	for _, k := range keyspaces {
		for _, group := range k.Groups {
			if l := r.judge(k, group); len(l.Lost) > 0 {
				r.groups = append(r.groups, l)
			}
		}
	}
	// The catalog first: without it nothing can be changed.
	slices.SortStableFunc(r.groups, func(a, b lostGroup) int {
		return strings.Compare(strings.TrimPrefix(a.Keyspace, "system"), strings.TrimPrefix(b.Keyspace, "system"))
	})
	return nil
}

// judge says what becomes of a shard.
func (r *recovery) judge(k kv.KeyspaceInfo, group kv.GroupInfo) lostGroup {
	l := lostGroup{Keyspace: k.Name, Shard: group.Shard, Group: group.Group}
	for _, node := range group.Replicas {
		if slices.Contains(r.lost, node) {
			l.Lost = append(l.Lost, node)
		} else {
			l.Left = append(l.Left, node)
		}
	}
	slices.Sort(l.Left)
	slices.Sort(l.Lost)
	led := k.Consistency == kv.Linearizable || k.Consistency == kv.Sequential
	switch {
	case len(l.Left) == 0:
		l.Then = "ALL ITS DATA IS LOST; drop the keyspace, or restore a backup"
	case led && 2*len(l.Left) <= len(group.Replicas):
		l.Then, l.force = "goes on with what is left; WRITES THAT ONLY THE LOST NODES HELD ARE LOST", true
	case led:
		l.Then, l.force = "goes on; nothing is lost if a majority of its voters is left", true
	case k.Consistency == kv.Atomic:
		l.Then = "goes on if a member of its last view is left, and loses nothing then; else it is blocked"
	case k.Consistency == kv.Quorum && 2*len(l.Left) <= len(group.Replicas):
		l.Then = "goes on at level one, and at all levels when nodes have joined; WRITES THAT ONLY THE LOST NODES HELD ARE LOST"
	case k.Consistency == kv.Quorum:
		l.Then = "goes on at the levels for which enough are left; writes of level one that only the lost nodes held are lost"
	default:
		l.Then = "goes on; writes that only the lost nodes held are lost"
	}
	if l.force && keyspace.IsCompanion(k.Name) {
		l.Then += "; if its last decision is among them, THE KEYSPACE WHOSE COMMIT ORDER IT DECIDES COMMITS NOTHING ANY MORE, and an alarm says so"
	}
	return l
}

func (r *recovery) show(c *cobra.Command) error {
	p, err := r.g.printer(c, "KEYSPACE", "SHARD", "LEFT", "LOST", "THEN")
	if err != nil {
		return err
	}
	for _, group := range r.groups {
		if err := p.Row(group, group.Keyspace, strconv.Itoa(group.Shard), join(group.Left), join(group.Lost), group.Then); err != nil {
			return err
		}
	}
	return p.Close()
}

func join(nodes []uint32) string {
	text := make([]string, len(nodes))
	for i, n := range nodes {
		text[i] = strconv.FormatUint(uint64(n), 10)
	}
	return strings.Join(text, ",")
}
