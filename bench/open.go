package main

import (
	"context"
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
}

// sink collects what one stream sees.
type sink struct {
	phase           *atomic.Int32
	mutex           sync.Mutex // the reader of the stream against the end of the turn
	tally           tally
	sinceDue, since *hdrhistogram.Histogram
}

func (s *sink) arrived(due, sent time.Time, o outcome, text string) {
	if phase(s.phase.Load()) != measuring {
		return
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.tally.count(o, text)
	if o == done {
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
	var now atomic.Int32
	loop := &openLoop{rate: rate, data: d, random: rand.New(rand.NewPCG(3, 4))}
	for i := range w.clients {
		sink := &sink{phase: &now, sinceDue: newHistogram(), since: newHistogram()}
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
	now.Store(int32(measuring))
	offered, held, late := loop.send(ctx, o.round)
	now.Store(int32(stopping))
	end, err := readClocks(s.servers)
	if err != nil {
		return sample{}, err
	}
	result := loop.sum(begin, end)
	seconds := end.at.Sub(begin.at).Seconds()
	result.OfferedPerSecond, result.HeldPerSecond = float64(offered)/seconds, float64(held)/seconds
	result.LateP99Millis = percentile(late, 99)
	return result, ctx.Err()
}

// send asks the streams in turn, each write when it is due or as soon after it as this goroutine can.
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
