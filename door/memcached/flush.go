package memcached

import (
	"sync"
	"time"

	"github.com/gamutdb/gamut/kv"
)

// delayedFlush is a flush_all that is due later. A newer flush_all takes its place.
type delayedFlush struct {
	mu    sync.Mutex
	timer *time.Timer
}

func (d *delayedFlush) set(after time.Duration, f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cancel()
	d.timer = time.AfterFunc(after, f)
}

func (d *delayedFlush) stop() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cancel()
}

func (d *delayedFlush) cancel() bool {
	stopped := d.timer != nil && d.timer.Stop()
	d.timer = nil
	return stopped
}

// flushAll takes flush_all [delay] [noreply].
func (p *pipeline) flushAll(words int) {
	if words > 3 {
		p.say(badCommand)
		return
	}
	quiet := p.noreply(words)
	delay := int64(0)
	if words > 2 || words == 2 && !quiet {
		var ok bool
		if delay, ok = parseInt(p.tokens[1]); !ok {
			p.sayUnlessQuiet(badExptime, quiet)
			return
		}
	}
	p.tally.count(cmdFlush)
	if delay > relativeMax {
		delay -= time.Now().Unix()
	}
	s := p.server
	if delay > 0 {
		s.flush.set(time.Duration(min(delay, relativeMax*12))*time.Second, s.flushNow)
		p.sayUnlessQuiet("OK", quiet)
		return
	}
	s.flush.stop()
	r := request{kind: answerFlushed, quiet: quiet, from: len(p.batch.Calls())}
	s.addClears(&p.batch)
	r.to = len(p.batch.Calls())
	p.requests = append(p.requests, r)
}

// addClears adds a call for every shard of every keyspace that this door serves.
func (s *Server) addClears(b *kv.Batch) {
	seen := map[string]bool{}
	for _, binding := range s.bindings {
		space := s.db.Keyspace(binding.keyspace)
		if space == nil || seen[binding.keyspace] {
			continue
		}
		seen[binding.keyspace] = true
		for shard := range space.Shards {
			c := b.Add()
			c.Keyspace, c.Shard, c.Command.Level = space, shard, s.options.writeLevel()
			c.Command.Ops = append(c.Command.Ops, kv.Op{Kind: kv.OpClear})
		}
	}
}

// flushNow executes a delayed flush_all. Nobody waits for its outcome, so what failed is logged.
func (s *Server) flushNow() {
	var b kv.Batch
	b.Reset(time.Now().Add(s.options.Deadline))
	s.addClears(&b)
	if len(b.Calls()) == 0 {
		return
	}
	s.db.Submit(&b)
	b.Wait()
	for _, c := range b.Calls() {
		if err := c.Result.Err(); err != nil {
			s.options.Logger.Error("a delayed flush_all did not clear a shard", "keyspace", c.Keyspace.Name, "shard", c.Shard, "error", err)
		}
	}
}
