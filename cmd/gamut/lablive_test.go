package main

import (
	"testing"

	"github.com/gamutdb/gamut/core"
)

func TestTheReasonWhyANodeStopped(t *testing.T) {
	const log = `time=1 level=INFO msg="node started" node=3
time=2 level=ERROR msg="the node stops" node=3 error="an \"old\" one"
time=3 level=ERROR msg="the node stops" node=13 error=word
time=4 level=ERROR msg="the node stops" node=3 error="another disk"
time=5 level=INFO msg="node closed" node=2
`
	for node, want := range map[uint32]string{3: "another disk", 13: "word", 1: ""} {
		if got := stopped(log, core.NodeID(node)); got != want {
			t.Errorf("node %d: %q, not %q", node, got, want)
		}
	}
}
