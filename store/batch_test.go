package store

import (
	"bytes"
	"hash/crc32"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gamutdb/gamut/core"
)

func sampleBatch() *loggedBatch {
	return &loggedBatch{tag: 5, seq: 300, upper: math.MaxUint64, roll: true, previous: []core.GroupID{1, math.MaxUint64},
		previousUnlisted: true, items: []Item{item(1, 0, ""), item(math.MaxUint64, math.MaxUint64, "body")}}
}

func TestBatchEncoding(t *testing.T) {
	want := sampleBatch()
	data := appendBatch(nil, want)
	got, err := decodeBatch(data)
	if err != nil || !bytes.Equal(appendBatch(nil, &got), data) || !cmp.Equal(got.items, want.items) || !slices.Equal(got.previous, want.previous) {
		t.Fatalf("%+v, %v", got, err)
	}
	for i := range data {
		data[i] ^= 4
		if _, err := decodeBatch(data); err == nil {
			t.Fatalf("a flip in byte %d is not seen", i)
		}
		data[i] ^= 4
	}
}

// FuzzDecodeBatch mends the checksum, so that what is behind it is reached.
func FuzzDecodeBatch(f *testing.F) {
	f.Add(appendBatch(nil, sampleBatch()))
	f.Add(appendBatch(nil, &loggedBatch{}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := decodeBatch(data); err != nil && len(data) >= 4 {
			data = slices.Clone(data[:len(data)-4])
			sum := crc32.Checksum(data, castagnoli)
			data = append(data, byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24))
		}
		b, err := decodeBatch(data)
		if err != nil {
			return
		}
		again, err := decodeBatch(appendBatch(nil, &b))
		if err != nil || !cmp.Equal(b, again, cmp.AllowUnexported(loggedBatch{})) {
			t.Fatalf("%+v is read again as %+v, %v", b, again, err)
		}
	})
}

// FuzzDamagedSegment spoils a segment at three places. It must never panic, never invent a record, and tell of every
// record that is missing from before the last one.
func FuzzDamagedSegment(f *testing.F) {
	const batches = 20
	var sound []byte
	for i := uint64(1); i <= batches; i++ {
		b := &loggedBatch{tag: 5, seq: i, roll: i == 1, items: []Item{item(core.GroupID(i), i, string(bytes.Repeat([]byte{byte(i)}, int(i*i*30))))}}
		if i > 1 {
			b.previous = []core.GroupID{core.GroupID(i - 1)}
		}
		sound = appendChunks(sound, appendBatch(nil, b), int64(len(sound)), 1)
	}
	f.Add(uint32(100), uint32(5000), uint32(40000), uint16(1), byte(1))
	f.Add(uint32(0), uint32(32760), uint32(len(sound)-1), uint16(5000), byte(0))
	f.Fuzz(func(t *testing.T, a, b, c uint32, length uint16, mask byte) {
		data := slices.Clone(sound)
		for _, at := range []uint32{a, b, c} {
			for i := int(at) % len(data); i < min(int(at)%len(data)+int(length), len(data)); i++ {
				if data[i] ^= mask; mask == 0 {
					data[i] = 0
				}
			}
		}
		r := &recovery{Recovered: newRecovered(), durable: func(core.GroupID) uint64 { return 0 }, expected: 1}
		r.segment(&segment{number: 1, maxPos: map[core.GroupID]uint64{}}, "log", 5, data)
		for i := core.GroupID(1); i <= batches; i++ {
			records := r.Groups[i]
			if len(records) == 0 {
				if i < core.GroupID(r.expected-1) && !r.AllSuspect && !r.Suspect[i] {
					t.Fatalf("the record of group %d is lost silently", i)
				}
				continue
			}
			if len(records) != 1 || records[0].Pos != uint64(i) || !bytes.Equal(records[0].Body, bytes.Repeat([]byte{byte(i)}, int(i*i*30))) {
				t.Fatalf("group %d has an invented record %+v", i, records)
			}
		}
	})
}
