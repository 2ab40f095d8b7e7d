// Package referee judges what clients saw of a cluster.
//
// A Run is what is known of one run: a History of operations with the times of call and return and what was answered, and
// what replicas held at the end. Each promise has a Checker of its name, which returns a Verdict: the promise holds, it is
// broken (with the few operations that prove it, and why each comes before the next), or it could not be decided, which
// never counts as holding.
//
// Most checkers share one idea. Answers carry versions or stamps and no value is written twice, so it is known who read
// whose write and how the writes of each key follow each other (ledger.go, order.go). A promise is then a graph of what
// must come before what, and it is broken if and only if the graph has a cycle (graph.go, edges.go), which takes no search.
// Linearizability alone is searched for, key by key, since it has to be judged where answers carry no version too.
//
// The invariant others rely on: an operation whose outcome is unknown stays open. It may have happened at any time after
// its call, or never; no checker accuses a store for either. What answers do not tell makes a verdict undecided. Each
// checker has runs in which it must reject (scripts_test.go).
//
// Start with Run (run.go) and Op (history.go), then Checkers (checkers.go), then CheckSequential (sequential.go).
package referee
