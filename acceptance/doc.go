// Package acceptance tests the real binary: nodes as processes, real clients, kill -9.
//
// What the other packages show of their parts, this one shows of the whole, as its users meet it: it builds cmd/gamut once,
// runs clusters of it on loopback ports with data in temporary folders, hurts them, and reads back what was acknowledged.
// Nothing of a cluster is looked at from inside; what a test knows it has from a door, the command line, a log line or the
// files of a stopped node.
//
// Others rely on this: every process that a test starts ends with it, also when it fails, and then the last lines of each
// node's log are printed. Nothing waits for a time to pass: tests poll for what they need, up to a deadline.
//
// GAMUT_RACE=1 builds the binary with the race detector; GAMUT_SOAK=10m makes the kill loop that long, and lets all members be
// replaced four times. What needs root or a server of Debian's is skipped where there is none, but never under CI=true.
//
// Start with cluster (cluster_test.go), then words_test.go, which is the story of the README on real input.
package acceptance
