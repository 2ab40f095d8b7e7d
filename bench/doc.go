// Command bench measures Gamut beside etcd, Redis and memcached, in one run on one machine.
//
// Machines are noisy and differ, so that a figure says little and a ratio taken in the same minutes says much. All systems
// are started first and filled with the same keys. Then each workload runs in rounds, and in a round each system has its
// turn (A B C, A B C, ...); what is reported is the median of the rounds, and how far they lay apart.
//
// What the figures rely on: every system gets the same values, keys, number of clients and seconds from the same load
// generator; a reply is counted only if it says that the operation was done, and a read only if it brought the whole value.
// Latencies of the open loops count from the moment at which the operation was due, not from when it could be sent.
//
// Start reading at run.go: it is the plan of a run. workload.go lists what is measured, system.go who takes part and what
// each of them promises for the write that it acknowledges.
package main
