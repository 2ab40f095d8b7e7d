package http

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gamutdb/gamut/kv"
)

func TestDoorsAreCountedByOutcome(t *testing.T) {
	m := NewMetrics(&fake{})
	d := m.Door("redis")
	d.Observe(kv.OK, 3, 0)
	d.Observe(kv.OK, 2, 100*time.Microsecond)
	d.Observe(kv.NotFound, 1, 100*time.Microsecond+1)
	d.Observe(kv.Unknown, 1, time.Hour)
	page := httptest.NewRecorder()
	m.Handler().ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		`gamut_requests_total{code="ok",door="redis"} 5`,
		`gamut_requests_total{code="not found",door="redis"} 1`,
		`gamut_requests_total{code="unknown outcome",door="redis"} 1`,
		`gamut_request_seconds_bucket{door="redis",le="0.0001"} 5`,
		`gamut_request_seconds_bucket{door="redis",le="0.0002"} 6`,
		`gamut_request_seconds_bucket{door="redis",le="6.5536"} 6`,
		`gamut_request_seconds_bucket{door="redis",le="+Inf"} 7`,
		`gamut_request_seconds_count{door="redis"} 7`,
	} {
		if !strings.Contains(page.Body.String(), want+"\n") {
			t.Errorf("the page lacks %s", want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { d.Observe(kv.OK, 1, time.Millisecond) }); n != 0 {
		t.Errorf("%v allocations to count a request", n)
	}
}
