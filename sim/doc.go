// Package sim runs whole clusters in virtual time from one seed.
//
// The host and the protocols are the ones that serve users; only what surrounds them is made up: clocks, network, disks
// and clients. One goroutine takes events from a heap ordered by time, every message is encoded and decoded on its way,
// and each concern (network, disks, faults, clients, each node) draws from its own random stream of the seed.
// A run has two phases: safety, in which a random subset of faults strikes with random intensity, and liveness, in which
// everything is healed and the cluster must answer every request, take new writes and bring all replicas to one state.
//
// The invariant others rely on: a run is a function of its Options. The same seed gives the same Result, byte for byte, so
// a failure is replayed by its seed, and a failing run is told a second time with its trace.
//
// A Cluster is such a world that its caller drives instead: package lab plays scripts in it.
//
// Start with Run (world.go), then node.go, disk.go and network.go; faults.go and strikes.go say what may go wrong,
// check.go what must hold at every instant. Package referee judges what the clients saw.
package sim
