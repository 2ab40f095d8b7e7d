// Package freeport gives tests ports that nobody else on the machine takes.
//
// Whoever asks the system for a free port and closes it has no claim: the next who asks may get the same one, in the same process
// or in another, before the first has listened on it. Here ports come in tens, one ten for a node, below the range from which
// systems give ports to clients, and a ten belongs to the process that listens on its last port, which is the claim. The system
// drops it when the process ends, however it ends.
//
// Start reading at Block.
package freeport

import (
	"fmt"
	"net"
	"testing"
)

// Ports are given out from first to last, Width for each node, of which the last is the claim.
const (
	first = 11000
	last  = 32000
	Width = 10
)

// Block claims ports of the loopback address for so many nodes until the test ends, Width for each in a row, and gives the first.
func Block(t testing.TB, nodes int) int {
	t.Helper()
	base, release, err := Claim(nodes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return base
}

// Address claims one port until the test ends, for a server that the test starts itself.
func Address(t testing.TB) string {
	t.Helper()
	return fmt.Sprint("127.0.0.1:", Block(t, 1))
}

// Claim is Block for those that have no test in their hands.
func Claim(nodes int) (base int, release func(), err error) {
	var claims []net.Listener
	drop := func() {
		for _, l := range claims {
			l.Close()
		}
		claims = nil
	}
	for port := first; port+Width <= last; port += Width {
		l := claim(port)
		if l == nil {
			drop()
			continue
		}
		if claims = append(claims, l); len(claims) == nodes {
			return port - (nodes-1)*Width, drop, nil
		}
	}
	drop()
	return 0, nil, fmt.Errorf("no free ports for %d nodes in a row between %d and %d: end what listens there", nodes, first, last)
}

// claim takes the ports of one node, when all are free: servers that are no tests may listen there too.
func claim(base int) net.Listener {
	mine, err := listen(base + Width - 1)
	if err != nil {
		return nil
	}
	for port := base; port < base+Width-1; port++ {
		l, err := listen(port)
		if err != nil {
			mine.Close()
			return nil
		}
		l.Close()
	}
	return mine
}

func listen(port int) (net.Listener, error) {
	return net.Listen("tcp", fmt.Sprint("127.0.0.1:", port))
}
