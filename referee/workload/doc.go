// Package workload draws what clients of a test ask a keyspace for.
//
// A Workload is told which client is free and answers what it should do next, as an operation for the history and the
// command for the cluster; what became of it is given back, so that later operations can build on it. It knows neither
// network nor clock: the simulator and a live cluster run the same ones.
//
// The invariant others rely on: it is pure. The same seed and the same answers give the same operations, and no value is
// written twice, so that a read names the write that it saw.
//
// Start with Workload (workload.go), then Table (table.go).
package workload
