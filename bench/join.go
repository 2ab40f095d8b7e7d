package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// grownShards is how many shards the keyspace has that a fourth node takes its share of: three of twelve replicas.
	grownShards = 4
	joiner      = 4
	// joinLimit is how long the fourth node may take until it holds its share.
	joinLimit = 30 * time.Minute
)

// planGamutJoin lays out three nodes with a linearizable keyspace of several shards, and a fourth node that will join them.
func planGamutJoin(s *system, o *options, dir string) error {
	binary, err := filepath.Abs(o.gamut)
	if err != nil {
		return err
	}
	s.title, s.promise = "Gamut, 3 nodes and a fourth", "synced by a majority of three nodes; linearizable"
	s.only = []string{"join"}
	s.dialer = &lineDialer{codec: resp{}, greeting: "SELECT grown\r\n", welcomes: 1}
	doors, err := planGamutNodes(s, o, filepath.Join(dir, "join"), binary, o.basePort+160, "default")
	if err != nil {
		return err
	}
	folder := filepath.Join(dir, "join", "gamut", strconv.Itoa(joiner))
	fourth, err := newProcess("gamut joining", folder, []string{binary, "start", "--join", fmt.Sprintf("127.0.0.1:%d", o.basePort+161),
		"--dir", filepath.Join(folder, "data"), "--base-port", strconv.Itoa(o.basePort + 190)})
	if err != nil {
		return err
	}
	s.grows = &growth{door: doors[0], joins: fourth}
	s.servers.ready = func(ctx context.Context) error {
		if err := gamutReady(ctx, doors); err != nil {
			return err
		}
		return createKeyspace(ctx, doors[0], "grown", grownShards)
	}
	return nil
}

// growth is a cluster that a node will join.
type growth struct {
	door  string // of a node that is there
	joins *process
}

// runJoin measures writes in a closed loop, before and while a node joins and takes its share of the replicas over.
func runJoin(ctx context.Context, s *system, w workload, d *data, o *options) (sample, error) {
	if err := s.dialer.prepare(s.servers.endpoints, w.clients); err != nil {
		return sample{}, err
	}
	defer s.dialer.close()
	var done atomic.Int64
	var group sync.WaitGroup
	stop := make(chan struct{})
	failures := make([]error, w.clients)
	for i := range w.clients {
		session, err := s.dialer.session(i, 0)
		if err != nil {
			return sample{}, err
		}
		defer session.close()
		group.Go(func() { failures[i] = writeOn(session, newBatch(d, uint64(i), true, w.pipeline), &done, stop) })
	}
	rate := func(begun time.Time, before int64) float64 {
		return float64(done.Load()-before) / time.Since(begun).Seconds()
	}
	pause(ctx, o.warmUp())
	begun, before := time.Now(), done.Load()
	pause(ctx, o.round)
	alone := rate(begun, before)

	if err := s.grows.joins.start(); err != nil {
		return sample{}, err
	}
	s.servers.nodes = append(s.servers.nodes, s.grows.joins)
	if err := s.await(ctx, func(p *plannedMoves) bool { return len(p.Underway) > 0 }); err != nil {
		return sample{}, err
	}
	begun, before = time.Now(), done.Load()
	if err := s.await(ctx, func(p *plannedMoves) bool { return len(p.Underway)+len(p.Moves) == 0 }); err != nil {
		return sample{}, err
	}
	during, took := rate(begun, before), time.Since(begun)
	close(stop)
	group.Wait()
	held, err := s.grows.share(ctx)
	bytes := held * float64(d.keys) * float64(keyBytes+d.valueBytes)
	return sample{OpsPerSecond: during, BeforePerSecond: alone, CostPercent: 100 * (1 - during/alone), CatchUpMB: bytes / 1e6 / took.Seconds()},
		errors.Join(append(failures, err, ctx.Err())...)
}

// writeOn writes until told to stop; a reply that refuses counts for nothing.
func writeOn(s session, b *batch, done *atomic.Int64, stop <-chan struct{}) error {
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		b.draw()
		t, err := s.do(b)
		if err != nil {
			return err
		}
		done.Add(int64(t.done))
	}
}

// plannedMoves is what the cluster says of the replicas that move and will.
type plannedMoves struct {
	Moves    []json.RawMessage `json:"moves"`
	Underway []json.RawMessage `json:"underway"`
}

// await waits until the cluster's plan is as wanted, twice in a row: between two moves it may look done.
func (s *system) await(ctx context.Context, wanted func(*plannedMoves) bool) error {
	seen := 0
	for end := time.Now().Add(joinLimit); time.Now().Before(end) && ctx.Err() == nil; pause(ctx, 100*time.Millisecond) {
		var p plannedMoves
		body, err := get(ctx, s.grows.door+"/v1/balance")
		if err == nil {
			err = json.Unmarshal(body, &p)
		}
		if ended := s.servers.exited(); err != nil || ended != nil {
			return errors.Join(err, ended)
		}
		if seen++; !wanted(&p) {
			seen = 0
		}
		if seen == 2 {
			return nil
		}
	}
	return errors.Join(fmt.Errorf("the node that joins does not hold its share after %v", joinLimit), ctx.Err())
}

// share is the part of the keyspace of which the new node has replicas.
func (g *growth) share(ctx context.Context) (float64, error) {
	body, err := get(ctx, g.door+"/v1/keyspaces/grown")
	if err != nil {
		return 0, err
	}
	var keyspace struct {
		Groups []struct {
			Replicas map[string]int `json:"replicas"` // and their nodes
		} `json:"groups"`
	}
	if err := json.Unmarshal(body, &keyspace); err != nil {
		return 0, err
	}
	held := 0
	for _, shard := range keyspace.Groups {
		for _, node := range shard.Replicas {
			if node == joiner {
				held++
			}
		}
	}
	return float64(held) / float64(max(1, len(keyspace.Groups))), nil
}
