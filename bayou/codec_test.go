package bayou

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/wire"
	"github.com/gamutdb/gamut/kv"
)

var sampleVector = Vector{{1, 65536}, {7, 1 << 60}}

func sampleWrite() *Write {
	w := &Write{Dot: Dot{1 << 40, 7}, Ops: []Op{{Kind: Set, Key: []byte("k"), Value: []byte("v"), Flags: 3, ExpireAt: 99, Sums: []Sum{{1, 5, -9}}},
		{Kind: Delete, Key: []byte("d")}, {Kind: Add, Key: []byte("n"), Delta: -5, Run: 77}, {Kind: Lost, Since: 12}, {Kind: Join, Member: 4}, {Kind: Retire, Member: 2, Since: 8},
		{Kind: Include, Key: []byte("s"), Value: []byte("m")}, {Kind: Exclude, Key: []byte("s")}, {Kind: Sibling, Key: []byte("k"), Value: []byte("v"), Flags: 9}},
		Seen: sampleVector}
	w.seal()
	return w
}

// sampleRecord has all that a record can have at once.
func sampleRecord() *record {
	return &record{base: Dot{5, 1}, expireAt: 9, flags: 3, value: []byte("v"), runs: []run{{2, 5, 6, -7, 0}},
		parts: []part{{Dot{7, 2}, false, 4, []byte("sibling")}, {Dot{8, 1}, true, 0, nil}, {Dot{9, 1}, true, 0, []byte("m")}, {Dot{8, 2}, true, 0, []byte("n")}}}
}

func TestWritesAndRecordsSurviveTheirEncoding(t *testing.T) {
	w := sampleWrite()
	back, err := decodeWrite(w.raw)
	if diff := cmp.Diff(w, back, cmp.AllowUnexported(Write{}), cmpopts.EquateEmpty()); err != nil || diff != "" {
		t.Errorf("%v: %s", err, diff)
	}
	rec := sampleRecord()
	got, err := decodeRecord(rec.appendTo(nil))
	if diff := cmp.Diff(*rec, got, cmp.AllowUnexported(record{}, run{}, part{}), cmpopts.EquateEmpty()); err != nil || diff != "" {
		t.Errorf("%v: %s", err, diff)
	}
	if size := len(rec.appendTo(nil)); size > rec.sizeMax() {
		t.Errorf("%d bytes, more than the bound of %d", size, rec.sizeMax())
	}
	rec.parts[0], rec.parts[1] = rec.parts[1], rec.parts[0]
	if _, err := decodeRecord(rec.appendTo(nil)); err == nil {
		t.Error("parts are taken in any order")
	}
}

func TestATokenOfAnotherKeyspaceOrADamagedOneIsRefused(t *testing.T) {
	token := Token{Binding: 77, Read: sampleVector, Written: Vector{{7, 5}}}
	b := token.AppendTo(nil)
	if err := CheckToken(77, b); err != nil {
		t.Error(err)
	}
	if kv.Failed(CheckToken(78, b)).Code != kv.BadToken {
		t.Error("a token of another keyspace passes")
	}
	for i := range b {
		for bit := range 8 {
			bad := bytes.Clone(b)
			bad[i] ^= 1 << bit
			if err := CheckToken(77, bad); err == nil || kv.Failed(err).Code != kv.BadToken {
				t.Fatalf("bit %d of byte %d was flipped: %v", bit, i, err)
			}
		}
	}
}

func TestTokensMergeByMaximum(t *testing.T) {
	a := Token{Binding: 7, Read: Vector{{1, 5}, {2, 9}}, Written: Vector{{1, 5}}}
	b := Token{Binding: 7, Read: Vector{{1, 6}, {3, 1}}}
	merged, err := DecodeToken(MergeTokens(a.AppendTo(nil), b.AppendTo(nil)))
	if err != nil || !merged.Read.Equal(Vector{{1, 6}, {2, 9}, {3, 1}}) || !merged.Written.Equal(Vector{{1, 5}}) {
		t.Errorf("%v, %v", merged, err)
	}
}

func FuzzToken(f *testing.F) {
	token := Token{Binding: 77, Read: sampleVector, Written: Vector{{7, 5}}}
	f.Add(token.AppendTo(nil), token.AppendTo(nil))
	f.Add([]byte("short"), []byte{})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if got, err := DecodeToken(a); err == nil && !bytes.Equal(got.AppendTo(nil), a) {
			t.Errorf("%x is not what %v encodes to", a, got)
		}
		MergeTokens(a, b)
	})
}

func FuzzMessage(f *testing.F) {
	m := meta{binding: 7, vector: sampleVector, gaps: []gap{{1, 2, 3}}, members: []membership{{1, Dot{}}, {7, Dot{9, 1}}}, formers: []former{{2, 8, []Dot{{10, 7}}}}}
	rec := record{base: Dot{5, 1}, value: []byte("v"), runs: []run{{2, 5, 6, 7, 1}}}
	for _, message := range []interface{ AppendTo([]byte) []byte }{
		Pull{Vector: sampleVector, Life: 9, Clocks: Clocks{5, 6, 7}, Suspect: true, Page: []byte("dx"), At: sampleVector},
		Writes{Base: sampleVector, Vector: sampleVector, Life: 1, Clocks: Clocks{5, 6, 7}, Answer: 2, More: true, List: []*Write{sampleWrite()}},
		Page{Answer: 1, Meta: m.appendTo(nil), From: []byte("d"), Next: []byte("dz"), Pairs: []Pair{{[]byte("dk"), rec.appendTo(nil)}}},
	} {
		f.Add(message.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := DecodeMessage(b); err == nil {
			if _, err := DecodeMessage(m.AppendTo(nil)); err != nil {
				t.Errorf("%v does not decode again: %v", m, err)
			}
		}
	})
}

func FuzzRecord(f *testing.F) {
	f.Add(sampleRecord().appendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if rec, err := decodeRecord(b); err == nil {
			for _, kind := range []kv.OpKind{kv.OpGet, kv.OpMembers, kv.OpMember, kv.OpSiblings} {
				rec.read(&kv.Op{Kind: kind, Value: []byte("m")}, 1)
			}
			if _, err := decodeRecord(rec.appendTo(nil)); err != nil {
				t.Error(err)
			}
		}
	})
}

func FuzzLog(f *testing.F) {
	f.Add(wire.AppendBytes(nil, sampleWrite().raw))
	c := Config{Members: []core.ReplicaID{1, 2}, Epoch: 3, Leaving: []core.ReplicaID{2}}
	m := mark{self: 1, suspect: true, voids: []void{{1, 2}}, config: c.AppendTo(nil), sealed: true}
	f.Add(m.appendTo(nil))
	f.Add(c.AppendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		decodeRecordWrites(b)
		_, _ = decodeMark(b)
		_, _ = DecodeConfig(b)
	})
}
