package sim

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gamutdb/gamut/bayou"
	"github.com/gamutdb/gamut/paxos"
	"github.com/gamutdb/gamut/referee"
)

// TestReadmeNamesTestsThatThereAre: each row of the README's table of promises names a checker and a test of this
// package in which that must fail, and all of them exist.
func TestReadmeNamesTestsThatThereAre(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(readme), "| promise | what it says |")
	if !ok {
		t.Fatal("the README has no table of promises")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	rows := strings.Split(table, "\n")[2:]
	if len(rows) < 7 {
		t.Fatalf("only %d promises", len(rows))
	}
	tests := testNames(t)
	word := regexp.MustCompile("`([^`]*)`")
	for _, row := range rows {
		cells := strings.Split(row, "|")
		checkers, failing := 0, 0
		for _, m := range word.FindAllStringSubmatch(cells[3], -1) {
			name := m[1]
			_, checker := referee.CheckerNamed(name)
			switch {
			case checker, ownChecks[name]:
				checkers++
			case tests[name]:
				failing++
			case !planted(name):
				t.Errorf("%q is neither a checker, nor a test, nor a bug that is planted: %s", name, row)
			}
		}
		if checkers == 0 || failing == 0 {
			t.Errorf("%d checkers and %d tests: %s", checkers, failing, row)
		}
	}
}

// ownChecks are those that only the simulator can make, since it knows the time everywhere.
var ownChecks = map[string]bool{"age": true}

// planted reports whether a protocol has a bug of that name for tests to find.
func planted(name string) bool {
	return slices.ContainsFunc(paxos.Mutations(), func(m paxos.Mutation) bool { return m.String() == name }) ||
		slices.ContainsFunc(bayou.Mutations(), func(m bayou.Mutation) bool { return m.String() == name })
}

// testNames are the tests of this package.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(string(b), -1) {
			names[m[1]] = true
		}
	}
	return names
}
