package lab

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const pagePath = "../docs/LAB.md"

// TestPage holds the page against the table that it is made of.
func TestPage(t *testing.T) {
	want := Page()
	if *rewriteFlag {
		if err := os.WriteFile(pagePath, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(pagePath)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/LAB.md is not what the table says; run go test ./lab -run Page -rewrite\n%s", diff)
	}
}

// TestTableIsWhole lets no statement be undocumented, unreachable or without effect.
func TestTableIsWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range table {
		r := f.row
		if r.doc == "" || (r.run == nil) == (r.set == nil) || len(f.words) == 0 {
			t.Errorf("%q: it needs a line of doc, and either a run or a set", r.form)
		}
		if seen[r.form] {
			t.Errorf("%q stands twice in the table", r.form)
		}
		seen[r.form] = true
	}
}
