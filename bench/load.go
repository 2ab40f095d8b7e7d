package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	loadClients  = 50
	loadPipeline = 16
	loadRetry    = 20 * time.Millisecond
	loadPatience = 20 * time.Second // with a system that refuses all the time
)

// load writes every key once, and again where it was refused.
func load(ctx context.Context, s *system, d *data) error {
	clients, pipeline := loadClients, loadPipeline
	if !s.pipelines {
		clients, pipeline = clients*pipeline, 1
	}
	if err := s.dialer.prepare(s.servers.endpoints, loadClients); err != nil {
		return err
	}
	defer s.dialer.close()
	errs := make([]error, clients)
	var group sync.WaitGroup
	for i := range clients {
		group.Go(func() {
			errs[i] = loadPart(ctx, s, d, i, d.keys*i/clients, d.keys*(i+1)/clients, pipeline)
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return fmt.Errorf("load the keys into %s: %w", s.name, err)
		}
	}
	return nil
}

// loadPart writes the keys from begin to end.
func loadPart(ctx context.Context, s *system, d *data, client, begin, end, pipeline int) error {
	session, err := s.dialer.session(client, 30*time.Second)
	if err != nil {
		return err
	}
	defer session.close()
	b := newBatch(d, uint64(client), true, pipeline)
	progressed := time.Now()
	for begin < end && ctx.Err() == nil {
		b.keys = b.keys[:0]
		for n := begin; n < min(begin+pipeline, end); n++ {
			b.keys = append(b.keys, n)
		}
		t, err := session.do(b)
		switch {
		case err != nil:
			return err
		case t.failed > 0:
			return fmt.Errorf("key %d or one of the next: %s", begin, t.firstError)
		case t.refused > 0 && time.Since(progressed) > loadPatience:
			return fmt.Errorf("key %d or one of the next was refused for %v: %s", begin, loadPatience, t.firstError)
		case t.refused > 0:
			pause(ctx, loadRetry)
		default:
			begin += len(b.keys)
			progressed = time.Now()
		}
	}
	return ctx.Err()
}
