package sim

import (
	"slices"
	"testing"

	"github.com/gamutdb/gamut/kv"
)

// TestEveryFaultHasItsClass holds the words that people use against the faults that there are.
func TestEveryFaultHasItsClass(t *testing.T) {
	var timed []string
	for _, c := range Classes {
		timed = append(timed, c.timed...)
	}
	for _, k := range new(Faults).kinds() {
		if !k.chore && !slices.Contains(timed, k.name) {
			t.Errorf("%s is in no class", k.name)
		}
	}
	for seed := range uint64(200) {
		o := Options{Seed: seed, Protocol: Protocol{}}
		if err := o.Only([]string{}); err != nil {
			t.Fatal(err)
		}
		f := o.withDefaults(stream(seed, "options", 0)).Faults
		for _, k := range f.kinds() {
			if !k.chore && *k.every > 0 {
				t.Fatalf("seed %d: %s strikes although no class was asked for", seed, k.name)
			}
		}
		if f.Drop+f.Duplicate+f.Reorder+f.Straggle > 0 || f.Coup > 0 || f.RateMax > 0 {
			t.Fatalf("seed %d: faults of chance although no class was asked for: %s", seed, f)
		}
	}
	if err := new(Options).Only([]string{"partition", "gremlins"}); err == nil {
		t.Error("gremlins are accepted")
	}
	if _, err := Draw("nonsense", false, 1); err == nil {
		t.Error("a protocol of nonsense was drawn")
	}
	if _, err := Draw(kv.Linearizable, false, 1); err != nil {
		t.Error(err)
	}
}
