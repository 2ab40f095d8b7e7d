package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// phase tells clients whether what they see now counts.
type phase int32

const (
	warming phase = iota
	measuring
	stopping
)

// drain is how long clients may take for their last replies.
const drain = 10 * time.Second

// closedClient is one client of a closed loop; only its own goroutine uses it until the end.
type closedClient struct {
	batch     *batch
	session   session
	histogram *hdrhistogram.Histogram
	tally     tally
}

// runClosed measures one turn in a closed loop.
func runClosed(ctx context.Context, s *system, w workload, endpoints []string, d *data, o *options) (sample, error) {
	clients, pipeline := w.clients, w.pipeline
	if !s.pipelines {
		clients, pipeline = clients*pipeline, 1
	}
	if err := s.dialer.prepare(endpoints, w.clients); err != nil {
		return sample{}, err
	}
	defer s.dialer.close()
	all := make([]*closedClient, clients)
	for i := range all {
		session, err := s.dialer.session(i, 0)
		if err != nil {
			return sample{}, err
		}
		defer session.close()
		all[i] = &closedClient{batch: newBatch(d, uint64(i), w.write, pipeline), session: session, histogram: newHistogram()}
		if w.pair {
			pairing, ok := session.(pairSession)
			if !ok {
				return sample{}, fmt.Errorf("%s has no client that writes pairs", s.name)
			}
			all[i].session, all[i].batch = pairs{pairing}, newBatch(d, uint64(i), w.write, 2)
		}
	}

	var now atomic.Int32
	var group sync.WaitGroup
	for _, c := range all {
		group.Go(func() { c.loop(&now) })
	}
	pause(ctx, o.warmUp())
	begin, err := readClocks(s.servers)
	if err != nil {
		return sample{}, err
	}
	now.Store(int32(measuring))
	pause(ctx, o.round)
	now.Store(int32(stopping))
	end, err := readClocks(s.servers)
	if err != nil {
		return sample{}, err
	}
	if !waitGroup(&group, drain) {
		return sample{}, fmt.Errorf("replies are still missing after %v", drain)
	}
	return sumClosed(all, begin, end), ctx.Err()
}

// loop asks until told to stop, or until the session breaks; what was under way then counts as failed.
func (c *closedClient) loop(now *atomic.Int32) {
	for {
		c.batch.drawPair()
		begun := time.Now()
		t, err := c.session.do(c.batch)
		took := time.Since(begun)
		switch phase(now.Load()) {
		case stopping:
			return
		case measuring:
			if t.done > 0 {
				record(c.histogram, took, t.done)
			}
			c.tally.add(t)
		}
		if err != nil {
			c.tally.failed += len(c.batch.keys)
			c.tally.count(failed, fmt.Sprintf("session ended: %v", err))
			return
		}
	}
}

func sumClosed(all []*closedClient, begin, end clocks) sample {
	var result sample
	var t tally
	sum := newHistogram()
	for _, c := range all {
		t.add(c.tally)
		sum.Merge(c.histogram)
	}
	fillRates(&t, begin, end, &result)
	fillLatency(sum, &result)
	return result
}

// pause waits, or less if the run is interrupted.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// waitGroup waits for the group, but not longer than the limit.
func waitGroup(group *sync.WaitGroup, limit time.Duration) bool {
	all := make(chan struct{})
	go func() {
		group.Wait()
		close(all)
	}()
	select {
	case <-all:
		return true
	case <-time.After(limit):
		return false
	}
}
