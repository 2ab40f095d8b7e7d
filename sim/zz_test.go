package sim

import (
	"fmt"
	"testing"

	"github.com/gamutdb/gamut/twophase"
)

func TestZZ(t *testing.T) {
	for _, m := range twophase.Mutations() {
		kinds := map[Kind]int{}
		first := ""
		for seed := uint64(1); seed <= 120; seed++ {
			if r := Run(anyTwophase(seed, m)); r.Failure != "" {
				kinds[r.Kind]++
				if first == "" || kinds[r.Kind] == 1 {
					first += fmt.Sprintf("\n     seed %d: %.160s", seed, r.Failure)
				}
			}
		}
		fmt.Println(m, kinds, first)
	}
}
