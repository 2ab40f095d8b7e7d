package keyspace

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/referee"
)

// brackets are what Explain puts checkers into; %q of splits are others.
var brackets = regexp.MustCompile(`\[([a-z][a-z, -]*)\]$`)

// TestExplainNamesItsCheckers: each line of an explanation that names checkers names such as there are, and each checker that a
// consistency has to pass is named by a line.
func TestExplainNamesItsCheckers(t *testing.T) {
	for _, c := range kv.Consistencies {
		lines := planned(t, c).Explain()
		var named []string
		for _, line := range lines {
			found := brackets.FindStringSubmatch(line)
			if found == nil {
				continue
			}
			for _, name := range strings.Split(found[1], ", ") {
				named = append(named, name)
				if _, ok := referee.CheckerNamed(name); !ok {
					t.Errorf("%s: there is no checker %q of %q", c, name, line)
				}
			}
		}
		for _, name := range referee.Promised[string(c)] {
			if !slices.Contains(named, name) {
				t.Errorf("%s has to pass checker %q, and no line says so:\n%s", c, name, strings.Join(lines, "\n"))
			}
		}
		if !strings.Contains(strings.Join(lines, "\n"), "--consistency "+string(c)) {
			t.Errorf("%s: no line says how to run the checkers", c)
		}
	}
}
