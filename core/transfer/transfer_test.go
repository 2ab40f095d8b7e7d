package transfer

import (
	"bytes"
	"fmt"
	"maps"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/coretest"
	"github.com/gamutdb/gamut/core/wire"
)

// full is a state of some parts.
func full() *coretest.State {
	s := coretest.NewState()
	for i := range 20 {
		s.Pairs[fmt.Sprint("k", 10+i)] = bytes.Repeat([]byte{byte(i)}, partBytes/6)
	}
	s.Pairs[string(core.AppliedKey)] = []byte("position")
	return s
}

// receiver takes parts as a replica does.
type receiver struct {
	state *coretest.State
	Staging[string]
}

func (r *receiver) take(of string, p Part) (whole bool) {
	var w wire.Writer
	p.AppendTo(&w)
	read := wire.Reader{B: w.B}
	again := ReadPart(&read)
	if read.Bad || len(read.B) > 0 {
		panic("a part cannot be read")
	}
	var out core.Effects
	whole = r.Take(&out, 7, of, &again)
	r.state.Apply(out.State)
	if out.Again != whole {
		panic("another Step is asked for when the last part is there, and not before")
	}
	return whole
}

func (r *receiver) install() {
	var out core.Effects
	r.Install(&out)
	r.state.Apply(out.State)
}

// TestStateArrivesWhole: parts come twice, and others are asked for that were never sent; in the end the states are equal, and the
// receiver's changed at once.
func TestStateArrivesWhole(t *testing.T) {
	from, to := full(), &receiver{state: coretest.NewState()}
	to.state.Pairs["old"] = []byte("state")
	s := Send(from)
	defer s.Close()
	if b, ok := s.Applied(); !ok || string(b) != "position" {
		t.Errorf("applied is %q, %t", b, ok)
	}
	delete(from.Pairs, "k10") // what is sent is the state as it was
	parts := 1
	for !to.take("a", s.Part) {
		if to.take("a", s.Part) && parts > 1 {
			t.Fatal("a part that comes twice ends the state")
		}
		if made, lost := s.Next(to.Wanted + 1); made || lost {
			t.Fatalf("part %d is made before part %d", to.Wanted+1, to.Wanted)
		}
		if string(to.state.Pairs["old"]) != "state" || to.Ready() {
			t.Fatal("a part has changed the state")
		}
		if made, _ := s.Next(to.Wanted); !made {
			t.Fatalf("part %d is not made", to.Wanted)
		}
		parts++
	}
	to.install()
	from.Pairs["k10"] = full().Pairs["k10"]
	if !maps.EqualFunc(from.Pairs, to.state.Pairs, bytes.Equal) || !to.Installed() || to.From != 7 || to.Of != "a" || parts < 3 {
		t.Errorf("after %d parts of %q by %d there are %d pairs instead of %d, or others", parts, to.Of, to.From, len(to.state.Pairs), len(from.Pairs))
	}
}

// TestPartsOfTwoStatesAreNotMixed: the first part of another state begins anew, and a part of the one before is not taken.
func TestPartsOfTwoStatesAreNotMixed(t *testing.T) {
	to := &receiver{state: coretest.NewState()}
	first, second := Send(full()), Send(full())
	defer first.Close()
	defer second.Close()
	to.take("a", first.Part)
	first.Next(1)
	to.take("b", second.Part)
	if to.take("a", first.Part); to.Wanted != 1 || to.Of != "b" {
		t.Errorf("part %d of %q is wanted", to.Wanted, to.Of)
	}
	if _, lost := first.Next(0); !lost {
		t.Error("who asks for an earlier part has lost what it had")
	}
}
