package referee

import (
	"fmt"
	"strings"
	"time"
)

// Decision is what a checker found.
type Decision string

// Decisions. Undecided means that the checker gave up; it is not a pass.
const (
	Holds     Decision = "holds"
	Broken    Decision = "broken"
	Undecided Decision = "undecided"
)

// Verdict is a checker's answer.
type Verdict struct {
	Check    string   `json:"check"`
	Decision Decision `json:"decision"`
	Key      string   `json:"key,omitempty"`
	// Why says in words what is wrong; Proof are the operations that show it.
	Why   string `json:"why,omitempty"`
	Proof []Op   `json:"proof,omitempty"`
}

// OK reports whether the promise was found to hold. An undecided verdict is not OK.
func (v Verdict) OK() bool { return v.Decision == Holds }

// String is the verdict with its proof.
func (v Verdict) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", v.Check, v.Decision)
	if v.Key != "" {
		fmt.Fprintf(&b, " at key %q", v.Key)
	}
	if v.Why != "" {
		b.WriteString(": " + v.Why)
	}
	for _, o := range v.Proof {
		b.WriteString("\n  " + o.String())
	}
	return b.String()
}

func broken(check, key string, proof []Op, why string, args ...any) Verdict {
	return Verdict{Check: check, Decision: Broken, Key: key, Why: fmt.Sprintf(why, args...), Proof: proof}
}

// Final is what each key held at the end, after the last operation; a key that is not in it was missing.
type Final map[string]string

// timeMax bounds the search of one key. It is far above what any history of a simulation takes.
const timeMax = 60 * time.Second

// CheckAll applies every checker of a linearizable keyspace.
func CheckAll(h History, final Final) []Verdict {
	return []Verdict{CheckVersions(h), CheckDurable(h, final), CheckLinearizable(h, timeMax)}
}
