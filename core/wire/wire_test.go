package wire

import (
	"bytes"
	"testing"
)

func TestWhatIsWrittenReadsBack(t *testing.T) {
	w := Writer{}
	w.Uint(300)
	w.Fixed(1 << 63)
	w.Bool(true)
	w.Bytes([]byte("key"))
	w.Bytes(nil)
	w.Bool(false)
	r := Reader{B: w.B}
	if v := r.Uint(); v != 300 {
		t.Errorf("Uint: %d", v)
	}
	if v := r.Fixed(); v != 1<<63 {
		t.Errorf("Fixed: %d", v)
	}
	if !r.Bool() {
		t.Error("Bool: false")
	}
	if v := r.Bytes(); string(v) != "key" {
		t.Errorf("Bytes: %q", v)
	}
	if v := r.Bytes(); len(v) != 0 {
		t.Errorf("empty Bytes: %q", v)
	}
	if r.Bool() || r.Bad || len(r.B) != 0 {
		t.Errorf("at the end: bad %v, %d bytes left", r.Bad, len(r.B))
	}
}

func TestEachCutIsBad(t *testing.T) {
	w := Writer{}
	w.Uint(1 << 40)
	w.Fixed(7)
	w.Bytes([]byte("value"))
	for cut := range w.B {
		r := Reader{B: w.B[:cut]}
		r.Uint()
		r.Fixed()
		r.Bytes()
		if !r.Bad {
			t.Errorf("cut to %d bytes: read as if whole", cut)
		}
		if r.Fixed() != 0 || r.Byte() != 0 || r.Uint() != 0 || r.Int() != 0 || !r.Bad {
			t.Errorf("cut to %d bytes: reads on after it is bad", cut)
		}
	}
}

func TestCountBelievesNoLie(t *testing.T) {
	w := Writer{}
	w.Uint(1 << 50)
	r := Reader{B: append(w.B, 1, 2, 3)}
	if n := r.Count(1); n != 0 || !r.Bad {
		t.Errorf("2^50 parts in three bytes: count %d, bad %v", n, r.Bad)
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3}, []byte{4, 200, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Fuzz(func(t *testing.T, order, input []byte) {
		r, left := Reader{B: input}, len(input)
		for _, o := range order {
			read(t, &r, o, input)
			if len(r.B) > left {
				t.Fatal("bytes came back")
			}
			left = len(r.B)
		}
	})
}

func read(t *testing.T, r *Reader, field byte, input []byte) {
	switch field % 6 {
	case 0:
		r.Uint()
	case 1:
		r.Int()
	case 2:
		r.Fixed()
	case 3:
		r.Byte()
	case 4:
		if v := r.Bytes(); !bytes.Contains(input, v) {
			t.Fatalf("%x is not in the input", v)
		}
	case 5:
		if n := r.Count(2); n > len(r.B)/2 {
			t.Fatalf("count %d with %d bytes left", n, len(r.B))
		}
	}
}
