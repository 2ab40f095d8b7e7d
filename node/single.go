package node

import "sync"

// singles are pieces of work that run side by side: of those for one subject one at a time, and so many in all.
type singles[T comparable] struct {
	most  int
	group sync.WaitGroup

	mu    sync.Mutex
	under map[T]bool
}

func newSingles[T comparable](most int) *singles[T] {
	return &singles[T]{most: most, under: map[T]bool{}}
}

// start begins a piece of work, unless there is one for its subject, or no room: whoever still wants it asks again.
func (s *singles[T]) start(of T, work func()) (began bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.under[of] || len(s.under) == s.most {
		return false
	}
	s.under[of] = true
	s.group.Go(func() {
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.under, of)
		}()
		work()
	})
	return true
}

// wait returns when all that was begun has ended.
func (s *singles[T]) wait() { s.group.Wait() }
