package memcached

import (
	"time"

	"github.com/gamutdb/gamut/kv"
)

// observe tells Options.Observe of a batch that began then, in as few words as possible: most batches have one outcome.
func (s *Server) observe(calls []*kv.Call, began time.Time) {
	if s.options.Observe == nil {
		return
	}
	took := time.Since(began)
	for from := 0; from < len(calls); {
		code, to := calls[from].Result.Code, from+1
		for to < len(calls) && calls[to].Result.Code == code {
			to++
		}
		s.options.Observe(code, to-from, took)
		from = to
	}
}
