package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	probeEvery = 5 * time.Millisecond // a new write to each node, whatever became of those before
	probeLimit = time.Second          // after which a client gives a write up
	probeMost  = 128                  // writes under way to one node
	gapLimit   = 60 * time.Second     // after which the cluster is taken to be dead
)

// runFailover kills the leader of a cluster under writes and measures the longest time between two acknowledged writes.
// Writes go to all nodes all the time, each on a session of its own, so that the time seen is that of the cluster and not
// of a client that waits for a reply which will not come. Then the node is started again.
func runFailover(ctx context.Context, s *system, d *data) (sample, error) {
	n, err := s.servers.leader(ctx)
	if err != nil {
		return sample{}, fmt.Errorf("leader of %s: %w", s.name, err)
	}
	if err := s.dialer.prepare(s.servers.endpoints, len(s.servers.endpoints)); err != nil {
		return sample{}, err
	}
	probes := &probes{dialer: s.dialer, data: d, stop: make(chan struct{})}
	var group sync.WaitGroup
	for i := range s.servers.endpoints {
		group.Go(func() { probes.probe(i) })
	}
	pause(ctx, time.Second)
	killed := time.Now()
	s.servers.nodes[n].kill()
	recovered := probes.waitFor(ctx, killed.Add(probeLimit/4))
	pause(ctx, 2*time.Second)
	close(probes.stop)
	group.Wait()
	s.dialer.close()
	if !recovered {
		return sample{}, errors.Join(fmt.Errorf("no write of %s was acknowledged within %v after its leader was killed: %s", s.name, gapLimit, probes.lastError), ctx.Err())
	}
	if err := s.servers.nodes[n].start(); err != nil {
		return sample{}, err
	}
	if err := waitUntil(ctx, 60*time.Second, s.servers.nodes, s.servers.ready); err != nil {
		return sample{}, fmt.Errorf("%s after its killed node was started again: %w", s.name, err)
	}
	return sample{GapMillis: float64(longestGap(probes.acknowledged, killed)) / float64(time.Millisecond)}, ctx.Err()
}

// longestGap is the longest time without an acknowledgement that ended after the given moment.
func longestGap(acknowledged []time.Time, after time.Time) time.Duration {
	slices.SortFunc(acknowledged, time.Time.Compare)
	var longest time.Duration
	for i := 1; i < len(acknowledged); i++ {
		if acknowledged[i].After(after) {
			longest = max(longest, acknowledged[i].Sub(acknowledged[i-1]))
		}
	}
	return longest
}

// probes are the writes of a trial.
type probes struct {
	dialer dialer
	data   *data
	stop   chan struct{}

	mutex        sync.Mutex
	acknowledged []time.Time
	lastError    string
}

// probe writes to one node until told to stop, then waits for what is under way.
func (p *probes) probe(endpoint int) {
	var under sync.WaitGroup
	idle := make(chan session, probeMost)
	slots := make(chan struct{}, probeMost)
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	defer func() {
		under.Wait()
		close(idle)
		for s := range idle {
			s.close()
		}
	}()
	for {
		select {
		case <-p.stop:
			return
		case <-tick.C:
		}
		select {
		case slots <- struct{}{}:
			under.Go(func() {
				p.write(endpoint, idle)
				<-slots
			})
		default:
		}
	}
}

// write does one write on an idle session or a new one, which is kept only if it went well.
func (p *probes) write(endpoint int, idle chan session) {
	var s session
	select {
	case s = <-idle:
	default:
		var err error
		if s, err = p.dialer.session(endpoint, probeLimit); err != nil {
			p.note(err.Error())
			return
		}
	}
	b := newBatch(p.data, uint64(time.Now().UnixNano()), true, 1)
	b.draw()
	t, err := s.do(b)
	if err == nil && t.done == 1 {
		p.mutex.Lock()
		p.acknowledged = append(p.acknowledged, time.Now())
		p.mutex.Unlock()
		idle <- s
		return
	}
	s.close()
	if err != nil {
		p.note(err.Error())
	} else {
		p.note(t.firstError)
	}
}

func (p *probes) note(text string) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.lastError = text
}

// waitFor waits until a write was acknowledged after the given moment.
func (p *probes) waitFor(ctx context.Context, moment time.Time) bool {
	for end := moment.Add(gapLimit); time.Now().Before(end) && ctx.Err() == nil; pause(ctx, 10*time.Millisecond) {
		p.mutex.Lock()
		n := len(p.acknowledged)
		recovered := n > 0 && p.acknowledged[n-1].After(moment)
		p.mutex.Unlock()
		if recovered {
			return true
		}
	}
	return false
}
