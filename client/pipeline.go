package client

import (
	"context"
	"errors"
	"sync"
)

// Pipeline collects operations and sends them together: those on one key in their order, all others side by side, so many at
// a time as Options.Parallel says. It is no transaction: each operation has its own outcome.
type Pipeline struct {
	keyspace *Keyspace
	steps    []*Step
}

// Step is one operation of a Pipeline. Its results are there when Pipeline.Do has returned.
type Step struct {
	Key string
	// Record is what Get found, Version what Put and CAS made, Count what Incr came to.
	Record  Record
	Version uint64
	Count   int64
	Err     error

	run func(ctx context.Context, s *Step)
}

// Pipeline makes an empty one.
func (k *Keyspace) Pipeline() *Pipeline { return &Pipeline{keyspace: k} }

func (p *Pipeline) add(key string, run func(ctx context.Context, s *Step)) *Step {
	s := &Step{Key: key, run: run}
	p.steps = append(p.steps, s)
	return s
}

// Get adds a read.
func (p *Pipeline) Get(key string, options ...Option) *Step {
	return p.add(key, func(ctx context.Context, s *Step) { s.Record, s.Err = p.keyspace.Get(ctx, key, options...) })
}

// Put adds a write. The value must not change until Do returns.
func (p *Pipeline) Put(key string, value []byte, options ...Option) *Step {
	return p.add(key, func(ctx context.Context, s *Step) {
		s.Version, s.Err = p.keyspace.Put(ctx, key, value, options...)
	})
}

// Delete adds a deletion.
func (p *Pipeline) Delete(key string, options ...Option) *Step {
	return p.add(key, func(ctx context.Context, s *Step) { s.Err = p.keyspace.Delete(ctx, key, options...) })
}

// Incr adds an addition.
func (p *Pipeline) Incr(key string, by int64, options ...Option) *Step {
	return p.add(key, func(ctx context.Context, s *Step) { s.Count, s.Err = p.keyspace.Incr(ctx, key, by, options...) })
}

// Do sends what was added since the last time and returns the errors of all that failed, joined. Behind an operation that
// failed those on the same key are not sent: they end as that one did.
func (p *Pipeline) Do(ctx context.Context) error {
	steps := p.steps
	p.steps = nil
	ctx, cancel := p.keyspace.client.within(ctx)
	defer cancel()
	runs, order := map[string][]*Step{}, []string(nil)
	for _, s := range steps {
		if runs[s.Key] == nil {
			order = append(order, s.Key)
		}
		runs[s.Key] = append(runs[s.Key], s)
	}
	keys := make(chan string)
	var workers sync.WaitGroup
	for range min(p.keyspace.client.options.Parallel, len(order)) {
		workers.Go(func() {
			for key := range keys {
				runInOrder(ctx, runs[key])
			}
		})
	}
	for _, key := range order {
		keys <- key
	}
	close(keys)
	workers.Wait()
	var failed []error
	for _, s := range steps {
		failed = append(failed, s.Err)
	}
	return errors.Join(failed...)
}

// runInOrder sends operations on one key. A missing key and a condition that does not hold are answers like others.
func runInOrder(ctx context.Context, steps []*Step) {
	for i, s := range steps {
		s.run(ctx, s)
		if s.Err != nil && !errors.Is(s.Err, ErrNotFound) && !errors.Is(s.Err, ErrCondition) {
			for _, behind := range steps[i+1:] {
				behind.Err = &NotSentError{s.Err}
			}
			return
		}
	}
}

// NotSentError says that an operation of a Pipeline was not sent, since one before it on the same key had failed.
type NotSentError struct{ Before error }

// Error says what was not sent and why.
func (e *NotSentError) Error() string {
	return "not sent, since the one before it on this key failed: " + e.Before.Error()
}
