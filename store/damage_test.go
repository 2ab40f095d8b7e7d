package store

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/go-cmp/cmp"

	"github.com/gamutdb/gamut/core"
)

const firstSegment = "data/node3/log/000001.log"

func read(t *testing.T, fs vfs.FS, path string) []byte {
	t.Helper()
	data, err := readFile(fs, path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func write(t *testing.T, fs vfs.FS, path string, data []byte) {
	t.Helper()
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(slices.Clone(data)); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	f.Close()
}

// tenBatches is a log of ten batches, each with one record of group i; the last one was acknowledged like the others.
func tenBatches(t *testing.T, size int) (*vfs.MemFS, *Disk) {
	fs := vfs.NewCrashableMem()
	d, _ := open(t, fs)
	for i := 1; i <= 10; i++ {
		appendItems(t, d, i == 1, item(core.GroupID(i), 1, fmt.Sprintf("batch %d ", i)+strings.Repeat("x", size)))
	}
	return fs, d
}

func TestDamageBeforeTheTailIsFound(t *testing.T) {
	for _, size := range []int{10, 1000, 50_000} {
		for batch := 1; batch <= 9; batch++ {
			t.Run(fmt.Sprintf("batch %d of %d bytes", batch, size), func(t *testing.T) {
				fs, d := tenBatches(t, size)
				_ = d
				fs = crash(fs, 0, 0)
				data := read(t, fs, firstSegment)
				at := bytes.Index(data, fmt.Appendf(nil, "batch %d ", batch))
				data[at+2] ^= 0x10
				write(t, fs, firstSegment, data)
				_, r := open(t, fs)
				if len(r.Reports) != 1 || !strings.Contains(r.Reports[0], "000001.log") && batch > 1 {
					t.Fatalf("reports: %q", r.Reports)
				}
				if batch == 1 { // nothing before it says that the log begins here
					if !r.AllSuspect {
						t.Fatalf("the first batch is lost and nobody is suspect: %+v", r)
					}
				} else if r.AllSuspect || !cmp.Equal(r.Suspect, map[core.GroupID]bool{core.GroupID(batch): true}) {
					t.Fatalf("suspect are %v, all %v", r.Suspect, r.AllSuspect)
				}
				if len(r.Groups) != 9 || r.Groups[core.GroupID(batch)] != nil {
					t.Fatalf("what is readable is not all returned, or what is not was: %d groups", len(r.Groups))
				}
			})
		}
	}
}

func TestLostRangesMakeAllSuspect(t *testing.T) {
	spoil := map[string]func(data []byte, i int) []byte{
		"two batches zeroed": func(data []byte, i int) []byte {
			clear(data[bytes.Index(data, []byte("batch 4")) : bytes.Index(data, []byte("batch 5"))+10])
			return data
		},
		"a hole cut out": func(data []byte, i int) []byte {
			return slices.Delete(data, bytes.Index(data, []byte("batch 4"))-40, bytes.Index(data, []byte("batch 6"))-40)
		},
	}
	for name, f := range spoil {
		t.Run(name, func(t *testing.T) {
			fs, _ := tenBatches(t, 1000)
			fs = crash(fs, 0, 0)
			write(t, fs, firstSegment, f(read(t, fs, firstSegment), 0))
			if _, r := open(t, fs); !r.AllSuspect || len(r.Reports) == 0 {
				t.Fatalf("recovered %v, all suspect %v", r.Reports, r.AllSuspect)
			}
		})
	}
}

func TestMissingAndForeignSegmentsAreFound(t *testing.T) {
	build := func(t *testing.T) *vfs.MemFS {
		fs := vfs.NewCrashableMem()
		d, _ := open(t, fs)
		for i := range 12 {
			appendItems(t, d, i%4 == 0, item(1, uint64(i+1), "x"))
		}
		if err := d.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		return fs
	}
	for _, name := range []string{"000001.log", "000002.log", "000003.log"} {
		for _, kind := range []string{"removed", "emptied", "replaced by another"} {
			t.Run(name+" "+kind, func(t *testing.T) {
				fs := build(t)
				path := "data/node3/log/" + name
				switch kind {
				case "removed":
					if err := fs.Remove(path); err != nil {
						t.Fatal(err)
					}
				case "emptied":
					write(t, fs, path, nil)
				default:
					other := "data/node3/log/000002.log"
					if name == "000002.log" {
						other = firstSegment
					}
					write(t, fs, path, read(t, fs, other))
				}
				if _, r := open(t, fs); !r.AllSuspect || len(r.Reports) == 0 {
					t.Fatalf("reports %q, all suspect %v", r.Reports, r.AllSuspect)
				}
			})
		}
	}
}

func TestASegmentOfAnotherStoreIsNotRead(t *testing.T) {
	fs := vfs.NewCrashableMem()
	other := testIdentity
	other.Store = [16]byte{8}
	for dir, id := range map[string]Identity{"data/node3": testIdentity, "data/other": other} {
		d, _, err := Open(dir, id, small(fs))
		if err != nil {
			t.Fatal(err)
		}
		appendItems(t, d, true, item(1, 1, "of "+dir))
		appendItems(t, d, false, item(1, 2, "of "+dir))
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	write(t, fs, firstSegment, read(t, fs, "data/other/log/000001.log"))
	if _, r := open(t, fs); !r.AllSuspect || len(r.Groups) != 0 {
		t.Fatalf("recovered %+v from another store's log", r)
	}
}

func TestDamageToTheLastBatchBeforeACloseIsFound(t *testing.T) {
	fs, d := tenBatches(t, 100)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	data := read(t, fs, firstSegment)
	data[bytes.Index(data, []byte("batch 10"))] ^= 1
	write(t, fs, firstSegment, data)
	if _, r := open(t, fs); r.AllSuspect || !cmp.Equal(r.Suspect, map[core.GroupID]bool{10: true}) {
		t.Fatalf("suspect are %v, all %v", r.Suspect, r.AllSuspect)
	}
}

func TestATornLastWriteIsCut(t *testing.T) {
	fs, d := tenBatches(t, 9000)
	before := read(t, crash(fs, 0, 0), firstSegment)
	appendItems(t, d, false, item(11, 1, strings.Repeat("torn", 12_000)))
	after := read(t, crash(fs, 0, 0), firstSegment)
	before = append(before, make([]byte, len(after)-len(before))...)
	rng := rand.New(rand.NewPCG(1, 1))
	for range 100 {
		torn, whole := slices.Clone(before), true
		for at := 0; at < len(torn); at += 512 { // any set of sectors may have reached the disk
			end := min(at+512, len(torn))
			if rng.IntN(8) > 0 {
				copy(torn[at:end], after[at:end])
			} else if !bytes.Equal(before[at:end], after[at:end]) {
				whole = false
			}
		}
		fs := crash(fs, 0, 0)
		write(t, fs, firstSegment, torn)
		d, r := open(t, fs)
		if len(r.Reports) != 0 || r.AllSuspect || len(r.Suspect) != 0 || len(r.Groups[10]) != 1 || (len(r.Groups[11]) == 1) != whole {
			t.Fatalf("whole %v: recovered %d groups, reports %q", whole, len(r.Groups), r.Reports)
		}
		// The cut must stay cut, and not be taken for damage once there is a later segment.
		appendItems(t, d, true, item(12, 1, "after"))
		if _, r := open(t, crash(fs, 0, 0)); len(r.Reports) != 0 || len(r.Groups[12]) != 1 {
			t.Fatalf("after the cut: %q", r.Reports)
		}
	}
}

func TestTheRestOfARecycledSegmentIsNotRead(t *testing.T) { // trap T1.16
	fs := vfs.NewCrashableMem()
	d, _ := open(t, fs)
	g := d.Group(1)
	pos := uint64(0)
	for i := range 40 {
		pos++
		appendItems(t, d, i%10 == 0, item(1, pos, fmt.Sprintf("%02d", i)+strings.Repeat("old", 300)))
		apply(t, g, applied(pos))
	}
	if err := d.Flush(); err != nil {
		t.Fatal(err)
	}
	if len(d.log.spares) == 0 || d.Metrics().Segments != 1 {
		t.Fatalf("spares %v, segments %d", d.log.spares, d.Metrics().Segments)
	}
	appendItems(t, d, true, item(1, pos+1, "new"))
	if size := len(read(t, fs, d.log.path(5))); size < 9000 {
		t.Fatalf("the segment was not recycled: %d bytes", size)
	}
	_, r := open(t, crash(fs, 0, 0))
	var got []string // the fourth segment stays, since it was the one in use; the new one lies in a file of an older one
	for _, body := range bodies(r.Groups[1]) {
		got = append(got, body[:min(len(body), 3)])
	}
	want := []string{"30o", "31o", "32o", "33o", "34o", "35o", "36o", "37o", "38o", "39o", "new"}
	if !cmp.Equal(got, want) || len(r.Reports) != 0 {
		t.Fatalf("recovered %q, reports %q", got, r.Reports)
	}
}

func TestASegmentStaysWhileOneGroupLags(t *testing.T) { // trap T5.11
	fs := vfs.NewCrashableMem()
	d, _ := open(t, fs)
	flush := func() int {
		if err := d.Flush(); err != nil {
			t.Fatal(err)
		}
		return d.Metrics().Segments
	}
	appendItems(t, d, true, item(1, 1, "a"), item(2, 1, "lagging"))
	appendItems(t, d, true, item(1, 2, "b"))
	appendItems(t, d, true, item(1, 3, "c"))
	apply(t, d.Group(1), applied(3))
	if n := flush(); n != 3 {
		t.Fatalf("%d segments left, though group 2 needs the first", n)
	}
	if _, r := open(t, crash(fs, 0, 0)); !cmp.Equal(bodies(r.Groups[2]), []string{"lagging"}) || len(r.Reports) != 0 {
		t.Fatalf("recovered %+v", r.Groups)
	}
	apply(t, d.Group(2), applied(1))
	if n := d.Metrics().Segments; n != 3 {
		t.Fatalf("%d segments left before the flush", n)
	}
	if n := flush(); n != 1 {
		t.Fatalf("%d segments left after the flush", n)
	}
	if _, r := open(t, crash(fs, 0, 0)); len(r.Reports) != 0 {
		t.Fatalf("deleted segments look like lost ones: %q", r.Reports)
	}
	appendItems(t, d, true, item(3, 9, "gone"))
	appendItems(t, d, true)
	if err := d.Drop(3); err != nil {
		t.Fatal(err)
	}
	if n := flush(); n != 1 {
		t.Fatalf("%d segments left for a dropped group", n)
	}
}

func TestRecordsWithoutPosLiveUntilTheNextRoll(t *testing.T) {
	fs := vfs.NewCrashableMem()
	d, _ := open(t, fs)
	appendItems(t, d, true, item(1, 0, "promised 1"))
	appendItems(t, d, false, item(1, 0, "promised 2"), item(1, 1, "block"))
	appendItems(t, d, true, item(1, 0, "promised 2 again"))
	appendItems(t, d, false, item(1, 0, "promised 3"))
	_, r := open(t, crash(fs, 0, 0))
	if got := bodies(r.Groups[1]); !cmp.Equal(got, []string{"block", "promised 2 again", "promised 3"}) {
		t.Fatalf("recovered %q", got)
	}
}

func TestASyncErrorIsFinal(t *testing.T) { // trap T1.17
	for _, cause := range []error{syscall.EIO, syscall.ENOSPC} {
		mem := vfs.NewCrashableMem()
		fail := false
		fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if fail && (op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSync) && strings.HasSuffix(op.Path, ".log") {
				return cause
			}
			return nil
		}))
		d, _ := open(t, fs)
		appendItems(t, d, true, item(1, 1, "acknowledged"))
		fail = true
		first := d.Append(Batch{Items: []Item{item(1, 2, "unknown")}})
		fail = false
		second := d.Append(Batch{Items: []Item{item(1, 3, "never")}})
		if first == nil || second == nil || first.Error() != second.Error() || d.Close() == nil {
			t.Fatalf("first %v, second %v", first, second)
		}
		if full := strings.Contains(first.Error(), "the disk is full; make room"); full != (cause == syscall.ENOSPC) {
			t.Fatalf("the error reads %v", first)
		}
		_, r := open(t, crash(mem, 0, 0))
		if got := bodies(r.Groups[1]); !cmp.Equal(got, []string{"acknowledged"}) {
			t.Fatalf("recovered %q", got)
		}
	}
}

// TestOurChunksArePebbles holds our writer against Pebble's reader, and our reader against Pebble's writer.
func TestOurChunksArePebbles(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	var records [][]byte
	for range 300 {
		records = append(records, bytes.Repeat([]byte{byte(rng.Uint32())}, rng.IntN(1<<rng.IntN(18))))
	}
	for room := range 40 { // the end of a record comes near the end of a block in every way
		records = append(records, make([]byte, blockSize-recyclableChunkHead-room), []byte("next"))
	}
	var ours, theirs bytes.Buffer
	for _, r := range records {
		ours.Write(appendChunks(nil, r, int64(ours.Len()), 9))
	}
	w := record.NewLogWriter(&theirs, 9, record.LogWriterConfig{WriteWALSyncOffsets: func() bool { return false }})
	for _, r := range records {
		if _, err := w.WriteRecord(slices.Clone(r)); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	if !bytes.HasPrefix(theirs.Bytes(), ours.Bytes()) {
		t.Fatal("our bytes differ from LogWriter's")
	}
	reader := record.NewReader(&ours, 9)
	mine := segmentReader{data: theirs.Bytes(), number: 9}
	for i, want := range records {
		r, err := reader.Next()
		if err != nil {
			t.Fatal(i, err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("record %d: Reader read %d bytes, %v", i, len(got), err)
		}
		rec, _, _, ok := mine.next()
		if !ok || !bytes.Equal(rec, want) {
			t.Fatalf("record %d: we read %d bytes of %d", i, len(rec), len(want))
		}
	}
	if _, _, _, ok := mine.next(); ok {
		t.Fatal("there is a record behind the last")
	}
}
