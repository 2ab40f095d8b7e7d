package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// manyPerSecond is the rate from which writes leave in bursts, as the load generator would otherwise be busy waking up.
const (
	manyPerSecond = 20_000
	burstPause    = 4 * time.Millisecond
)

// openLoop is one turn at a given rate.
type openLoop struct {
	rate    float64
	streams []stream
	sinks   []*sink
	data    *data
	random  *rand.Rand
	// begin is when the measurement began. Only phase tells other goroutines that it has.
	begin time.Time
	phase atomic.Int32
}

// sink collects what one stream sees. Replies count by the time at which they come, latencies by that at which the
// writes were due: those that are late at the end are the ones that a percentile must not miss.
type sink struct {
	loop            *openLoop
	mutex           sync.Mutex // replies against each other and the end of the turn
	tally           tally
	sinceDue, since *hdrhistogram.Histogram
}

func (s *sink) arrived(due, sent time.Time, o outcome, text string) {
	at := phase(s.loop.phase.Load())
	if at == warming {
		return
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if at == measuring {
		s.tally.count(o, text)
	}
	if o == done && !due.Before(s.loop.begin) {
		now := time.Now()
		record(s.sinceDue, now.Sub(due), 1)
		record(s.since, now.Sub(sent), 1)
	}
}

// runOpen measures one turn in an open loop.
func runOpen(ctx context.Context, s *system, w workload, rate float64, endpoints []string, d *data, o *options) (sample, error) {
	if err := s.dialer.prepare(endpoints, w.clients); err != nil {
		return sample{}, err
	}
	defer s.dialer.close()
	loop := &openLoop{rate: rate, data: d, random: rand.New(rand.NewPCG(3, 4))}
	for i := range w.clients {
		sink := &sink{loop: loop, sinceDue: newHistogram(), since: newHistogram()}
		stream, err := s.dialer.stream(i, max(1, o.window/w.clients), d, sink.arrived)
		if err != nil {
			return sample{}, err
		}
		defer stream.close()
		loop.streams, loop.sinks = append(loop.streams, stream), append(loop.sinks, sink)
	}

	loop.send(ctx, o.warmUp())
	begin, err := readClocks(s.servers)
	if err != nil {
		return sample{}, err
	}
	loop.begin = begin.at
	loop.phase.Store(int32(measuring))
	offered, held, late := loop.send(ctx, o.round)
	loop.phase.Store(int32(stopping))
	end, err := readClocks(s.servers)
	if err != nil {
		return sample{}, err
	}
	unanswered := loop.drain(ctx)
	result := loop.sum(begin, end)
	seconds := end.at.Sub(begin.at).Seconds()
	result.OfferedPerSecond, result.HeldPerSecond = float64(offered)/seconds, float64(held)/seconds
	if unanswered > 0 {
		result.FirstError = fmt.Sprintf("%d writes had no reply %v after the turn. %s", unanswered, drain, result.FirstError)
	}
	result.LateP99Millis = percentile(late, 99)
	return result, ctx.Err()
}

// send asks the streams in turn, each write when it is due or as soon after it as this goroutine can. Those for which it
// was too late at the end count as held back.
func (l *openLoop) send(ctx context.Context, length time.Duration) (offered, held int, late *hdrhistogram.Histogram) {
	interval := float64(time.Second) / l.rate
	least := time.Duration(0)
	if l.rate > manyPerSecond {
		least = burstPause
	}
	begin := time.Now()
	late = newHistogram()
	for ctx.Err() == nil {
		now := time.Now()
		due := begin.Add(time.Duration(float64(offered) * interval))
		if due.Sub(begin) >= length {
			break
		}
		if now.Sub(begin) >= length {
			all := int(length.Seconds() * l.rate)
			held += all - offered
			offered = all
			break
		}
		if wait := due.Sub(now); wait > 0 {
			sleep(max(wait, least))
			continue
		}
		record(late, now.Sub(due), 1)
		if !l.streams[offered%len(l.streams)].send(due, l.random.IntN(l.data.keys)) {
			held++
		}
		offered++
	}
	return offered, held, late
}

// drain waits for the last replies and returns how many did not come.
func (l *openLoop) drain(ctx context.Context) int {
	for end := time.Now().Add(drain); ; pause(ctx, 10*time.Millisecond) {
		missing := 0
		for _, s := range l.streams {
			missing += s.underWay()
		}
		if missing == 0 || time.Now().After(end) || ctx.Err() != nil {
			return missing
		}
	}
}

func (l *openLoop) sum(begin, end clocks) sample {
	var result sample
	var t tally
	sinceDue, since := newHistogram(), newHistogram()
	for _, s := range l.sinks {
		s.mutex.Lock()
		t.add(s.tally)
		sinceDue.Merge(s.sinceDue)
		since.Merge(s.since)
		s.mutex.Unlock()
	}
	fillRates(&t, begin, end, &result)
	fillLatency(sinceDue, &result)
	result.SentP99Millis = percentile(since, 99)
	return result
}
