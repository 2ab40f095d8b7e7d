package store

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

var testIdentity = Identity{Cluster: [16]byte{1}, Node: 3, Store: [16]byte{7, 1, 2, 3, 4, 5, 6, 7}}

func small(fs vfs.FS) Options {
	return Options{FS: fs, SegmentBytes: 16 << 10, MemTableBytes: 256 << 10, CacheBytes: 1 << 20}
}

func open(t *testing.T, fs vfs.FS) (*Disk, Recovered) {
	t.Helper()
	d, r, err := Open("data/node3", testIdentity, small(fs))
	if err != nil {
		t.Fatal(err)
	}
	return d, r
}

func item(g core.GroupID, pos uint64, body string) Item {
	return Item{Group: g, Record: core.Record{Kind: 1, Pos: pos, Body: []byte(body)}}
}

func appendItems(t *testing.T, d *Disk, roll bool, items ...Item) {
	t.Helper()
	if err := d.Append(Batch{HLCUpper: kv.HLC(d.log.seq + 1), Items: items, Roll: roll}); err != nil {
		t.Fatal(err)
	}
}

func applied(pos uint64) core.Change {
	return core.Change{Kind: core.Put, Key: core.AppliedKey, Value: binary.BigEndian.AppendUint64(nil, pos)}
}

func put(key, value string) core.Change {
	return core.Change{Kind: core.Put, Key: []byte(key), Value: []byte(value)}
}

func apply(t *testing.T, g Group, changes ...core.Change) {
	t.Helper()
	if err := g.Apply(changes); err != nil {
		t.Fatal(err)
	}
}

func contents(t *testing.T, v core.View) map[string]string {
	t.Helper()
	m := map[string]string{}
	v.Scan(nil, nil, func(k, v []byte) bool { m[string(k)] = string(v); return true })
	return m
}

func bodies(records []core.Record) (list []string) {
	for _, r := range records {
		list = append(list, string(r.Body))
	}
	return list
}

func crash(fs *vfs.MemFS, percent int, seed uint64) *vfs.MemFS {
	return fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(seed, 0))})
}

func TestWhatWasAppendedIsRecovered(t *testing.T) {
	for _, percent := range []int{0, 30, 100} {
		t.Run(fmt.Sprintf("%d%% of the unsynced data survive", percent), func(t *testing.T) {
			fs := vfs.NewCrashableMem()
			d, r := open(t, fs)
			if len(r.Groups) != 0 || len(r.Reports) != 0 || !d.NeedsRoll() {
				t.Fatalf("a new disk recovered %+v, needs roll %v", r, d.NeedsRoll())
			}
			appendItems(t, d, true, item(1, 0, "head"))
			appendItems(t, d, false, item(1, 1, "a"), item(2, 1, "b"))
			appendItems(t, d, false, item(1, 2, "c"))
			apply(t, d.Group(1), put("dx", "1"), applied(1))
			for range 2 { // what is recovered once is recovered again
				var r Recovered
				fs = crash(fs, percent, 1)
				d, r = open(t, fs)
				if got := bodies(r.Groups[1]); !cmp.Equal(got, []string{"head", "a", "c"}) {
					t.Fatalf("group 1 recovered %q", got)
				}
				if got := bodies(r.Groups[2]); !cmp.Equal(got, []string{"b"}) {
					t.Fatalf("group 2 recovered %q", got)
				}
				if r.HLCUpper != 3 || len(r.Reports) != 0 || r.AllSuspect || len(r.Suspect) != 0 {
					t.Fatalf("recovered %+v", r)
				}
				if got := d.Group(1).Applied(); got != 0 && percent < 100 {
					t.Fatalf("applied is %d although nothing was flushed", got)
				}
			}
		})
	}
}

func TestCloseMakesTheStateDurable(t *testing.T) { // trap T5.9
	fs := vfs.NewCrashableMem()
	d, _ := open(t, fs)
	appendItems(t, d, true, item(1, 1, "a"))
	g := d.Group(1)
	apply(t, g, put("dk", "v"), applied(1))
	if g.Applied() != 1 || g.DurableApplied() != 0 {
		t.Fatalf("before the flush applied is %d, durably %d", g.Applied(), g.DurableApplied())
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d, r := open(t, crash(fs, 0, 0))
	if got := contents(t, d.Group(1)); got["dk"] != "v" || d.Group(1).DurableApplied() != 1 {
		t.Fatalf("after close and power loss the state is %q", got)
	}
	if !cmp.Equal(bodies(r.Groups[1]), []string{"a"}) || len(r.Reports) != 0 {
		t.Fatalf("recovered %+v; the state covers the record, but a peer may lack it", r)
	}
	if d.Identity().Boot != 2 {
		t.Fatalf("boot is %d after two openings", d.Identity().Boot)
	}
}

// TestOfCoveredRecordsTheLatestComeBack: a node that was stopped cleanly must be able to hand on its latest records, within a
// bound, and all that its state does not cover.
func TestOfCoveredRecordsTheLatestComeBack(t *testing.T) {
	mib := strings.Repeat("x", 1<<20)
	last := uint64(2*coveredMax>>20 + 5)
	fs := vfs.NewCrashableMem()
	d, _, err := Open("data/node3", testIdentity, Options{FS: fs}) // segments of the default size: none is deleted
	if err != nil {
		t.Fatal(err)
	}
	for pos := uint64(1); pos <= last; pos++ {
		items := []Item{item(1, pos, mib), item(2, pos, mib)}
		if pos == 1 {
			items = append(items, item(1, 0, "hard"))
		}
		appendItems(t, d, pos == 1, items...)
	}
	apply(t, d.Group(1), applied(last-1))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	_, r := open(t, crash(fs, 0, 0))
	if n := uint64(len(r.Groups[2])); n != last {
		t.Fatalf("%d of %d records that no state covers", n, last)
	}
	records := r.Groups[1]
	if records[0].Pos != 0 {
		t.Fatalf("the record that lives until the next Roll is gone: the first has pos %d", records[0].Pos)
	}
	records = records[1:]
	if n := len(records); n < coveredMax>>20 || n > 2*coveredMax>>20+1 {
		t.Fatalf("%d records of a MiB, %d bytes of those covered are wanted", n, coveredMax)
	}
	for i, rec := range records {
		if want := last - uint64(len(records)-1-i); rec.Pos != want {
			t.Fatalf("record %d has pos %d, want %d: the latest must be gapless", i, rec.Pos, want)
		}
	}
}

func TestRealFileSystem(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	d, _, err := Open(dir, Identity{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	appendItems(t, d, true, item(1, 1, strings.Repeat("x", 100_000)))
	apply(t, d.Group(1), put("dk", "v"))
	if _, _, err := Open(dir, Identity{}, Options{}); err == nil || !strings.Contains(err.Error(), "another process uses it") {
		t.Fatalf("a second opening gave %v", err)
	}
	if free, err := d.Free(); err != nil || free == 0 {
		t.Fatalf("free is %d, %v", free, err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d, r, err := Open(dir, Identity{}, Options{})
	if err != nil || len(r.Reports) != 0 || len(r.Groups[1]) != 1 || len(r.Groups[1][0].Body) != 100_000 {
		t.Fatalf("opened again: %v, %v", r.Reports, err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}
