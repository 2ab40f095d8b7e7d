package node

import "github.com/gamutdb/gamut/core"

const (
	// retryFirst is the pause before something is tried again that could not be done, retryMost what it grows to, twofold each time.
	retryFirst = core.Time(250e6)
	retryMost  = core.Time(16e9)
)

// retries are things that could not be done yet, each with the time at which it is tried again. The zero value is empty.
type retries[T comparable] struct{ of map[T]retry }

type retry struct{ at, pause core.Time }

// due lists what is to be tried now. Each has failed afterwards, or is done.
func (r *retries[T]) due(now core.Time) (list []T) {
	// order does not matter: none waits for another.
	for what, one := range r.of {
		if one.at <= now {
			list = append(list, what)
		}
	}
	return list
}

// add takes something that is to be tried at once; false: it was here already, and has to wait no more.
func (r *retries[T]) add(what T) bool {
	if r.of == nil {
		r.of = map[T]retry{}
	}
	_, there := r.of[what]
	r.of[what] = retry{}
	return !there
}

// failed has something tried again after a pause that grows.
func (r *retries[T]) failed(what T, now core.Time) {
	pause := min(max(2*r.of[what].pause, retryFirst), retryMost)
	r.of[what] = retry{now + pause, pause}
}

func (r *retries[T]) done(what T) { delete(r.of, what) }
