package main

import (
	"context"
	"fmt"
	"os"
	"runtime/pprof"
	"sync"
	"time"
)

// profile collects CPU profiles of the nodes and of this program in the background, for as long as a turn measures; the
// function that it returns waits for them. A profile that fails is only mentioned: it is no result.
func profile(ctx context.Context, s *system, prefix string, length time.Duration) (wait func()) {
	var all sync.WaitGroup
	for i, address := range s.servers.profiles {
		all.Go(func() {
			body, err := get(ctx, fmt.Sprintf("%s?seconds=%d", address, max(1, int(length.Seconds()))))
			if err == nil {
				err = os.WriteFile(fmt.Sprintf("%s-node%d.pprof", prefix, i+1), body, 0o644)
			}
			if err != nil {
				progress("  no profile of node %d: %v", i+1, err)
			}
		})
	}
	own, err := os.Create(prefix + "-bench.pprof")
	if err == nil {
		err = pprof.StartCPUProfile(own)
	}
	if err != nil {
		progress("  no profile of bench: %v", err)
		return all.Wait
	}
	return func() {
		pprof.StopCPUProfile()
		_ = own.Close() // as above: no result
		all.Wait()
	}
}
