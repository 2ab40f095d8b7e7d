package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/gamutdb/gamut/cmd/gamut/internal/show"
	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/door/http/remote"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/quorum"
)

// estimateDraws is how many writes and reads are drawn for each pair of levels: ten of them are beyond the 99.9 % that is shown.
const estimateDraws = 10_000

// estimate is what reads at a level may miss of writes at another one.
type estimate struct {
	Keyspace string `json:"keyspace"`
	// WriteLevel and ReadLevel are the pair that it is for.
	WriteLevel string `json:"estimateWrite"`
	ReadLevel  string `json:"estimateRead"`
	// Missing is the probability that a read misses a write that was acknowledged as long ago as each of kv.AgeBuckets, or longer.
	Missing []float64 `json:"missing"`
	// Within99 and Within999 are ages, in nanoseconds, that what is missed does not pass with 99 % and 99.9 %.
	Within99  time.Duration `json:"within99"`
	Within999 time.Duration `json:"within999"`
	Draws     int           `json:"draws"`
}

// estimates are those of all pairs of levels that need not overlap.
func estimates(info *kv.KeyspaceInfo, members []remote.Member) (list []estimate) {
	seen := seenIn(info.Name, members)
	levels := []kv.Level{kv.LevelOne, kv.LevelTwo, kv.LevelQuorum}
	asked := []int{1, 2, info.Replicas/2 + 1}
	for w, write := range levels {
		for r, read := range levels {
			if asked[w]+asked[r] > info.Replicas || w == 2 && asked[2] <= 2 || r == 2 && asked[2] <= 2 {
				continue // they overlap, or quorum is another word for two
			}
			// The same numbers give the same estimate.
			s, ok := quorum.Estimate(seen, asked[r], asked[w], estimateDraws, rand.New(rand.NewPCG(1, 1)))
			if !ok {
				continue
			}
			e := estimate{Keyspace: info.Name, WriteLevel: write.String(), ReadLevel: read.String(), Draws: estimateDraws,
				Within99: time.Duration(s.Within(0.99)), Within999: time.Duration(s.Within(0.999))}
			for _, age := range kv.AgeBuckets {
				e.Missing = append(e.Missing, s.Missing(core.Time(age)))
			}
			list = append(list, e)
		}
	}
	return list
}

// seenIn is what the coordinators of a keyspace have seen.
func seenIn(keyspace string, members []remote.Member) (list []quorum.Seen) {
	for _, m := range members {
		for _, t := range m.Status.Times {
			if t.Keyspace != keyspace {
				continue
			}
			s := quorum.Seen{From: core.NodeID(m.ID), Writes: timesOf(t.Writes, len(t.Nodes)), Reads: timesOf(t.Reads, len(t.Nodes))}
			for _, node := range t.Nodes {
				s.Nodes = append(s.Nodes, core.NodeID(node))
			}
			list = append(list, s)
		}
	}
	return list
}

// timesOf are the times, told in microseconds, that as many nodes took.
func timesOf(rows [][]int64, nodes int) (list [][]core.Time) {
	for _, row := range rows {
		if len(row) != nodes {
			continue // of a program that tells them otherwise
		}
		times := make([]core.Time, len(row))
		for i, t := range row {
			if times[i] = quorum.Unheard; t >= 0 {
				times[i] = core.Time(t) * 1e3
			}
		}
		list = append(list, times)
	}
	return list
}

// estimatesOf are those of a keyspace that was named, if it is of quorum. What they are is said beside the output.
func (g *global) estimatesOf(ctx context.Context, c *cobra.Command, name string, members []remote.Member) ([]estimate, error) {
	info, err := g.cluster().Keyspace(ctx, name)
	if err != nil || info.Consistency != kv.Quorum {
		return nil, err
	}
	list := estimates(&info, members)
	if len(list) == 0 {
		fmt.Fprintf(c.ErrOrStderr(), "no estimate for other levels: with %d replicas and what was measured of writes and reads so far there is none\n", info.Replicas)
		return nil, nil
	}
	fmt.Fprintln(c.ErrOrStderr(), "estimates are drawn from measured writes and reads, for a read through another node than the write; replicas that are down, hints, moves of replicas\n"+
		"and what delays a write and the next read alike are not in them")
	return list, nil
}

// showEstimates ends the output: as values they go on in the printer's list, as cells they are a table of their own.
func (g *global) showEstimates(c *cobra.Command, p *show.Printer, list []estimate) (err error) {
	if len(list) == 0 {
		return p.Close()
	}
	if !p.JSON() {
		if err := p.Close(); err != nil {
			return err
		}
		if p, err = g.printer(c, "KEYSPACE", "ESTIMATE", "WRITE", "READ", "MISSED AT ONCE", "AFTER 1ms", "99% WITHIN", "99.9% WITHIN"); err != nil {
			return err
		}
	}
	for i := range list {
		e := &list[i]
		missed := func(bucket int) string { return strconv.FormatFloat(100*e.Missing[bucket], 'f', 2, 64) + "%" }
		if err := p.Row(e, e.Keyspace, "estimate", e.WriteLevel, e.ReadLevel, missed(0), missed(1), e.Within99.String(), e.Within999.String()); err != nil {
			return err
		}
	}
	return p.Close()
}
