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
