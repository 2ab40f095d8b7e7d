package node

import "testing"

// TestWorkThatWaitsHoldsUpNoOther lets the work for one subject hang: others go on, none runs twice, and no more than may.
func TestWorkThatWaitsHoldsUpNoOther(t *testing.T) {
	s := newSingles[string](2)
	hang, ended := make(chan struct{}), make(chan struct{})
	if !s.start("a", func() { <-hang }) {
		t.Fatal("the first one is refused")
	}
	if s.start("a", func() { t.Error("it runs twice") }) {
		t.Error("the same again is begun")
	}
	if !s.start("b", func() { close(ended); <-hang }) {
		t.Error("another one is refused")
	}
	<-ended // although the first one hangs
	if s.start("c", func() { t.Error("too many run") }) {
		t.Error("a third one is begun")
	}
	close(hang)
	s.wait()
	if !s.start("a", func() {}) {
		t.Error("what has ended cannot be begun again")
	}
	s.wait()
}
