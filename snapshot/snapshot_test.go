package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gamutdb/gamut/kv"
)

var testHead = Head{Keyspace: kv.CreateKeyspace{Name: "a", Consistency: kv.Linearizable, Shards: 2}, Taken: time.Unix(1_700_000_000, 0).UTC(),
	Shards: []Shard{{7, 100}, {8, 200}}}

func testRecords() (list []Record) {
	for i := range 50 {
		list = append(list, Record{Key: fmt.Appendf(nil, "key %02d", i), Value: bytes.Repeat([]byte{byte(i)}, i*i), Flags: uint32(i) << 20, ExpireAt: int64(i) * 1e12})
	}
	return append(list, Record{Key: []byte("large"), Value: make([]byte, frameFill)}, Record{Key: []byte("last"), Value: []byte{}})
}

func written(t testing.TB, list []Record) []byte {
	var b bytes.Buffer
	w, err := NewWriter(&b, testHead)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		if err := w.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := w.Close(); err != nil || n != uint64(len(list)) {
		t.Fatalf("closed with %d records: %v", n, err)
	}
	return b.Bytes()
}

func TestWhatWasWrittenIsRead(t *testing.T) {
	for _, list := range [][]Record{nil, testRecords()} {
		r, err := NewReader(bytes.NewReader(written(t, list)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(testHead, r.Head); diff != "" {
			t.Error(diff)
		}
		var got []Record
		for {
			record, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, record)
		}
		if diff := cmp.Diff(list, got); diff != "" {
			t.Error(diff)
		}
	}
}

// TestACutFileIsRefused cuts a file everywhere.
func TestACutFileIsRefused(t *testing.T) {
	whole := written(t, testRecords()[:6])
	for n := range whole {
		_, _, err := Verify(bytes.NewReader(whole[:n]))
		want := "the snapshot is cut"
		if n < len(magicPrefix) {
			want = "no snapshot"
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("cut at %d of %d: %v", n, len(whole), err)
		}
	}
}

// TestADamagedFileIsRefused alters every byte of a file, one at a time.
func TestADamagedFileIsRefused(t *testing.T) {
	whole := written(t, testRecords()[:6])
	for i := range whole {
		for _, flip := range []byte{1, 0x80} {
			altered := bytes.Clone(whole)
			altered[i] ^= flip
			if _, _, err := Verify(bytes.NewReader(altered)); err == nil {
				t.Fatalf("byte %d altered, and nobody says so", i)
			}
		}
	}
	for name, altered := range map[string][]byte{
		"something follows": append(bytes.Clone(whole), 0),
		"reads":             append([]byte("gamut snapshot 2\n"), whole[len(magic):]...),
		"no snapshot":       []byte("SQLite format 3\x00, as it happens"),
	} {
		if _, _, err := Verify(bytes.NewReader(altered)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFramesThatArePutTogetherAreRefused leaves a whole frame out, which only the end can tell.
func TestFramesThatArePutTogetherAreRefused(t *testing.T) {
	with, without := written(t, testRecords()[:1]), written(t, nil)
	size := len(with) - len(without) // the frame of one record, with the end's digits alike
	at := bytes.Index(with, []byte("key 00")) - 1 - headerSize
	if _, _, err := Verify(bytes.NewReader(append(bytes.Clone(with[:at]), with[at+size:]...))); err == nil || !strings.Contains(err.Error(), "counts 1 records") {
		t.Errorf("a frame is missing: %v", err)
	}
}

func FuzzReader(f *testing.F) {
	f.Add(written(f, testRecords()[:3]))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		head, records, err := Verify(bytes.NewReader(b))
		if err == nil && records > uint64(len(b)) {
			t.Errorf("%d records of %v in %d bytes", records, head, len(b))
		}
	})
}
