package kv

import (
	"bytes"
	"strings"
	"testing"
)

func TestReferences(t *testing.T) {
	long := []byte(strings.Repeat("x", InsideMax+1))
	kept := Kept(long, InsideMax)
	ref, ok := ParseReference(kept)
	switch {
	case !ok || ref != Refer(long) || len(kept) != ReferenceSize:
		t.Errorf("the reference to a value reads back as %v, %v", ref, ok)
	case !ref.Names(long) || ref.Names(long[1:]) || ref.Names(append([]byte("y"), long[1:]...)):
		t.Error("a reference names what it is not to, or not what it is to")
	case ValueSize(kept) != len(long) || ValueSize(long) != len(long):
		t.Errorf("the value has %d and %d bytes", ValueSize(kept), ValueSize(long))
	case !SameValue(kept, long) || !SameValue(long, long) || SameValue(kept, long[1:]) || SameValue(kept, kept):
		t.Error("values are compared wrongly")
	case !bytes.Equal(Kept(kept, InsideMax), kept) || !bytes.Equal(Kept(long[1:], InsideMax), long[1:]):
		t.Error("a reference, or a short value, is not kept as it is")
	}
	for _, other := range [][]byte{nil, long, kept[1:], append(kept[:len(kept):len(kept)], 0), append([]byte{0}, kept[1:]...)} {
		if _, is := ParseReference(other); is {
			t.Errorf("%.20q is taken for a reference", other)
		}
	}
	c := Command{Ops: []Op{{Kind: OpSet, Key: []byte("k"), Value: kept}}}
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "reference") {
		t.Errorf("a client may write a reference: %v", err)
	}
}

func FuzzParseReference(f *testing.F) {
	f.Add(Refer([]byte("value")).AppendTo(nil))
	f.Add([]byte("value"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, ok := ParseReference(b); ok && !bytes.Equal(r.AppendTo(nil), b) {
			t.Errorf("%x is not what it was made of", b)
		}
	})
}
