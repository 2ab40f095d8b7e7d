package bayou

import (
	"bytes"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/wire"
	"github.com/gamutdb/gamut/kv"
)

var sampleVector = Vector{{1, 65536}, {7, 1 << 60}}

func sampleWrite() *Write {
	w := &Write{Dot: Dot{1 << 40, 7}, Ops: []Op{{Kind: Set, Key: []byte("k"), Value: []byte("v"), Flags: 3, ExpireAt: 99, Sums: []Sum{{1, 5, -9}}},
		{Kind: Delete, Key: []byte("d")}, {Kind: Add, Key: []byte("n"), Delta: -5, Run: 77}, {Kind: Lost, Since: 12}, {Kind: Join, Member: 4}, {Kind: Retire, Member: 2, Since: 8}}}
	w.seal()
	return w
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
		Pull{Vector: sampleVector, Life: 9, Suspect: true, Page: []byte("dx"), At: sampleVector},
		Writes{Base: sampleVector, Vector: sampleVector, Life: 1, Answer: 2, More: true, List: []*Write{sampleWrite()}},
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
	rec := record{base: Dot{5, 1}, expireAt: 9, flags: 3, value: []byte("v"), runs: []run{{2, 5, 6, -7, 0}}}
	f.Add(rec.appendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if rec, err := decodeRecord(b); err == nil {
			rec.show(1)
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
