package store

import (
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
)

func TestALogInUseIsGivenSpareFilesUntilThereAreEnough(t *testing.T) {
	fs := vfs.NewCrashableMem()
	d, _ := open(t, fs)
	if d.NeedsStock() {
		t.Fatal("a log that holds nothing needs spare files")
	}
	appendItems(t, d, true, item(1, 1, strings.Repeat("x", 9000)))
	made := 0
	for ; d.NeedsStock(); made++ {
		if err := d.Stock(); err != nil {
			t.Fatal(err)
		}
	}
	if made != sparesMax || len(d.log.spares) != sparesMax {
		t.Fatalf("%d made, spares %v, want %d", made, d.log.spares, sparesMax)
	}
	// The next segment is one of them, whole and full of zeros behind what was written.
	appendItems(t, d, true, item(1, 2, "next"))
	if size := len(read(t, fs, d.log.path(2))); size != 16<<10 {
		t.Fatalf("the segment has %d bytes, so it was not a spare file", size)
	}
	if d.NeedsStock() {
		t.Error("a spare file in use must not be replaced: old segments are used again")
	}
	// The other one outlasts a crash, and so does what the log holds.
	d, r := open(t, crash(fs, 0, 0))
	if got := bodies(r.Groups[1]); !cmp.Equal(got, []string{strings.Repeat("x", 9000), "next"}) || len(r.Reports) != 0 {
		t.Fatalf("recovered %d records, reports %q", len(got), r.Reports)
	}
	if len(d.log.spares) != 1 {
		t.Errorf("spares after the crash: %v, want 1", d.log.spares)
	}
}

func TestAFileThatWasNotFilledInTimeServesAsWell(t *testing.T) {
	fs := vfs.NewCrashableMem()
	d, _ := open(t, fs)
	appendItems(t, d, true, item(1, 1, "first"))
	f, err := fs.Create(fs.PathJoin(d.log.dir, "000001"+blankSuffix), vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(zeros[:100]); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d, _ = open(t, fs)
	if len(d.log.spares) != 1 {
		t.Fatalf("spares %v", d.log.spares)
	}
	appendItems(t, d, true, item(1, 2, strings.Repeat("y", 5000)))
	_, r := open(t, crash(fs, 0, 0))
	if got := bodies(r.Groups[1]); !cmp.Equal(got, []string{"first", strings.Repeat("y", 5000)}) || len(r.Reports) != 0 {
		t.Fatalf("recovered %d records, reports %q", len(got), r.Reports)
	}
}

// rollingFS makes a spare file between the moment at which a roll takes one and that at which it has its new name.
type rollingFS struct {
	vfs.FS
	between func()
}

func (f *rollingFS) ReuseForWrite(before, after string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if f.between != nil {
		f.between()
	}
	return f.FS.ReuseForWrite(before, after, c)
}

func TestASpareFileIsNotMadeAnewWhileItBecomesASegment(t *testing.T) {
	mem := vfs.NewCrashableMem()
	fs := &rollingFS{FS: mem}
	d, _ := open(t, fs)
	appendItems(t, d, true, item(1, 1, strings.Repeat("x", 9000)))
	if err := d.Stock(); err != nil {
		t.Fatal(err)
	}
	taken := d.log.spares[0]
	fs.between = func() {
		if err := d.Stock(); err != nil {
			t.Error(err)
		}
	}
	appendItems(t, d, true, item(1, 2, "next"))
	if len(d.log.spares) != 1 || d.log.spares[0] == taken {
		t.Errorf("the spare files are %q while %s becomes a segment", d.log.spares, taken)
	}
	// After another start as well the names begin behind those that are there.
	d, r := open(t, crash(mem, 0, 0))
	if got := bodies(r.Groups[1]); len(got) != 2 {
		t.Errorf("recovered %d records, reports %q", len(got), r.Reports)
	}
	if err := d.Stock(); err != nil || len(d.log.spares) != 2 || d.log.spares[0] == d.log.spares[1] {
		t.Errorf("spare files %q, %v", d.log.spares, err)
	}
}
