package quorum

import (
	"bytes"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

func sampleItems() items {
	r := Record{Stamp: Stamp{77, 3}, ExpireAt: 5, Flags: 9, Value: []byte("value")}
	return appendPut(appendPut(nil, []byte("k"), &r), []byte("gone"), &Record{Stamp: Stamp{78, 1}, Deleted: true})
}

func sampleMessages() []core.Message {
	record := appendRecord(nil, &Record{Stamp: Stamp{5, 2}, Value: []byte("v")})
	return []core.Message{
		Write{3, 7, FromHint, 99, sampleItems()}, Written{7, []Refusal{{1, BelowLine}, {2, Doubtful}}}, Read{3, 8, []ReadKey{{[]byte("dk"), 1 << 60}}},
		Values{8, true, []Value{{Same: true, Record: []byte{}}, {Record: record}}}, Scan{3, 9, []byte("da"), []byte("dz"), 10},
		Page{9, false, sampleItems(), []byte("dm")}, Probe{3, 1, 2, 3}, Leaves{3, 1, 2, 3, false, true, make([]sum, buckets)},
		Range{1, 2, 3, make([]byte, buckets/8), []byte("d"), []byte{}, []Entry{{[]byte("dk"), Stamp{5, 2}, 6}}},
		Difference{1, 2, 3, []byte("dq"), sampleItems(), [][]byte{[]byte("dk")}}, Line{3, 1, 2, 3}, LineSet{4},
		Newer{(&Config{Epoch: 3, Members: []core.ReplicaID{1, 2}, Next: []core.ReplicaID{2, 4}, Both: true}).AppendTo(nil)}, Report{3},
	}
}

func TestMessagesKeepThroughTheirEncoding(t *testing.T) {
	for _, m := range sampleMessages() {
		encoded := m.AppendTo(nil)
		got, err := DecodeMessage(encoded)
		if err != nil || cmp.Diff(m, got) != "" {
			t.Errorf("%T: %v %s", m, err, cmp.Diff(m, got))
		}
		for n := range encoded {
			if n > 100 {
				break
			}
			if cut, err := DecodeMessage(encoded[:n]); err == nil {
				t.Errorf("%T cut to %d bytes is taken for %v", m, n, cut)
			}
		}
	}
}

func FuzzMessage(f *testing.F) {
	for _, m := range sampleMessages() {
		f.Add(m.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := DecodeMessage(b)
		if err != nil {
			return
		}
		// What was taken must be logged and compared without a panic.
		if w, ok := m.(Write); ok {
			w.Items.each(func(_ int, _, record []byte) { _ = compare(record, record); _ = dead(record, 1<<60) })
		}
		if again, err := DecodeMessage(m.AppendTo(nil)); err != nil || cmp.Diff(m, again) != "" {
			t.Fatal(err, cmp.Diff(m, again))
		}
	})
}

// TestOneOfTwoRecordsStands: the order of records is total, whatever they are (rule Q2).
func TestOneOfTwoRecordsStands(t *testing.T) {
	base := Record{Stamp: Stamp{10, 1}, Value: []byte("m")}
	later, tomb, ends, larger, flagged := base, base, base, base, base
	later.Stamp.Origin = 2
	tomb.Deleted, tomb.Value = true, nil
	ends.ExpireAt = 50
	larger.Value = []byte("n")
	flagged.Flags = 1
	rising := []Record{ends, base, flagged, larger, tomb, later}
	for i := range rising {
		for j := range rising {
			a, b := appendRecord(nil, &rising[i]), appendRecord(nil, &rising[j])
			if got := compare(a, b); (got > 0) != (i > j) || (got == 0) != (i == j) {
				t.Errorf("%v against %v: %d", rising[i], rising[j], got)
			}
		}
	}
	if a := appendRecord(nil, &base); compare(a, nil) <= 0 || compare(nil, a) >= 0 || compare(nil, nil) != 0 {
		t.Error("a missing record is not older than any")
	}
}

func TestDeadIsAFunctionOfTheRecordAndTheLine(t *testing.T) {
	for _, c := range []struct {
		r    Record
		line uint64
		want bool
	}{
		{Record{Stamp: Stamp{10 << 16, 1}, Deleted: true}, 11 << 16, true},
		{Record{Stamp: Stamp{10 << 16, 1}, Deleted: true}, 10 << 16, false},
		{Record{Stamp: Stamp{10 << 16, 1}}, 99 << 16, false},
		{Record{Stamp: Stamp{10 << 16, 1}, ExpireAt: 20}, 20 << 16, false},
		{Record{Stamp: Stamp{10 << 16, 1}, ExpireAt: 20}, 21 << 16, true},
	} {
		if got := dead(appendRecord(nil, &c.r), kv.HLC(c.line)); got != c.want {
			t.Errorf("%+v below %d: %v", c.r, c.line, got)
		}
	}
}

// TestTreeIsTheSumOfWhatItHolds: however a state came about, the same records have the same sums.
func TestTreeIsTheSumOfWhatItHolds(t *testing.T) {
	record := func(n int) []byte {
		return appendRecord(nil, &Record{Stamp: Stamp{kv.HLC(n), 1}, Value: bytes.Repeat([]byte("x"), n)})
	}
	key := func(n int) []byte { return []byte{DataKind, byte(n), byte(n >> 8)} }
	a, b := tree{built: true}, tree{built: true}
	change := func(t *tree, n int, old, now []byte) {
		t.change(xxhash.Sum64(key(n)), gistOf(key(n), old), gistOf(key(n), now))
	}
	for n := range 2000 {
		change(&a, n, nil, record(n%50+1))
	}
	for n := 1999; n >= 0; n-- {
		change(&b, n, nil, record(99))
		change(&b, n, record(99), record(n%50+1))
	}
	if a.root() != b.root() || a.tally != b.tally {
		t.Fatalf("%x and %x, %+v and %+v", a.root(), b.root(), a.tally, b.tally)
	}
	change(&b, 7, record(8), record(9))
	if a.root() == b.root() {
		t.Fatal("a changed record does not show")
	}
	if differing := a.differing(b.leaves[:]); !in(differing, key(7)) || in(differing, key(8)) && bucketOf(xxhash.Sum64(key(8))) != bucketOf(xxhash.Sum64(key(7))) {
		t.Error("the bucket of the changed record is not named, or another one is")
	}
}
