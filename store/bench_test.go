package store

import (
	"bytes"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/gamutdb/gamut/core"
)

// BenchmarkAppend measures the critical path of every write: 64 records of 300 bytes, made durable on the real file system.
// Compare it with BenchmarkWriteAndSync, the least that the same bytes cost. TMPDIR chooses the file system.
func BenchmarkAppend(b *testing.B) {
	items := make([]Item, 64)
	for i := range items {
		items[i] = Item{Group: core.GroupID(i % 4), Record: core.Record{Kind: 1, Pos: 1, Body: bytes.Repeat([]byte{byte(i)}, 300)}}
	}
	for _, segment := range []int64{64 << 20, 1 << 20} {
		b.Run(fmt.Sprintf("segment=%dMiB", segment>>20), func(b *testing.B) {
			d, _, err := Open(b.TempDir(), Identity{}, Options{SegmentBytes: segment})
			if err != nil {
				b.Fatal(err)
			}
			defer d.Close()
			if err := d.Append(Batch{Items: items, Roll: true}); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.SetBytes(64 * 300)
			for b.Loop() {
				if err := d.Append(Batch{Items: items, Roll: d.NeedsRoll()}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkWriteAndSync is the floor: one write into a file that has its size already, one fdatasync.
func BenchmarkWriteAndSync(b *testing.B) {
	for _, grown := range []bool{false, true} {
		b.Run(fmt.Sprintf("overwrite=%v", grown), func(b *testing.B) {
			o := Options{}.withDefaults()
			f, err := o.FS.Create(b.TempDir()+"/f", "")
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			if grown {
				f.Write(make([]byte, 64<<20))
				f.Sync()
			}
			p, at := make([]byte, 64*300), int64(0)
			for b.Loop() {
				if grown && at+int64(len(p)) > 64<<20 {
					at = 0
				}
				f.WriteAt(p, at)
				at += int64(len(p))
				if err := f.SyncData(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkApply and BenchmarkGet measure the state.
func BenchmarkApply(b *testing.B) {
	g := benchGroup(b)
	changes := make([]core.Change, 65)
	for i := range changes {
		changes[i] = core.Change{Kind: core.Put, Value: bytes.Repeat([]byte{1}, 300)}
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for i := range changes {
			n++
			changes[i].Key = fmt.Appendf(changes[i].Key[:0], "d%08d", n%100_000)
		}
		if err := g.Apply(changes); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	g := benchGroup(b)
	for i := range 100 {
		g.Apply([]core.Change{{Kind: core.Put, Key: fmt.Appendf(nil, "d%08d", i), Value: bytes.Repeat([]byte{1}, 300)}})
	}
	b.ReportAllocs()
	var buf, key []byte
	n := 0
	for b.Loop() {
		n++
		key = fmt.Appendf(key[:0], "d%08d", n%100)
		v, ok, err := g.GetInto(buf[:0], key)
		if !ok || err != nil {
			b.Fatal(ok, err)
		}
		buf = v
	}
}

func benchGroup(b *testing.B) Group {
	d, _, err := Open(b.TempDir(), Identity{}, Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { d.Close() })
	return d.Group(7)
}

// TestMemory prints what a node with 100,000 values of 300 bytes holds in memory. It asserts the part that we choose.
func TestMemoryOfANodeWithAHundredThousandValues(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 30 MB")
	}
	d, _, err := Open(t.TempDir(), Identity{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	value, start := bytes.Repeat([]byte{1}, 300), time.Now()
	for i := 0; i < 100_000; i += 50 {
		items := make([]Item, 50)
		changes := make([]core.Change, 50)
		for j := range items {
			key := fmt.Appendf(nil, "d%08d", i+j)
			changes[j] = core.Change{Kind: core.Put, Key: key, Value: value}
			items[j] = Item{Group: 1, Record: core.Record{Pos: uint64(i + j + 1), Body: value}}
		}
		if err := d.Append(Batch{Items: items, Roll: d.NeedsRoll()}); err != nil {
			t.Fatal(err)
		}
		apply(t, d.Group(1), changes...)
	}
	status, _ := os.ReadFile("/proc/self/status")
	for line := range bytes.Lines(status) {
		if bytes.HasPrefix(line, []byte("VmRSS")) || bytes.HasPrefix(line, []byte("VmHWM")) {
			t.Logf("after %v: %s", time.Since(start).Round(time.Millisecond), bytes.TrimSpace(line))
		}
	}
	if size := d.state.db.Metrics().MemTable.Size; size > 2*d.opts.MemTableBytes {
		t.Fatalf("memtables hold %d bytes, more than two of %d", size, d.opts.MemTableBytes)
	}
}
