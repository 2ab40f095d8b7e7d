// Package referee judges what clients saw of a cluster.
//
// A history is a list of operations with the times of call and return and what was answered. Each promise has a checker
// that takes a history and returns a Verdict: it holds, it is broken (with the few operations that prove it), or it could
// not be decided, which never counts as holding.
//
// The invariant others rely on: an operation whose outcome is unknown stays open. It may have happened at any time after
// its call, or never; no checker accuses a store for either. Each checker has tests in which it must reject.
//
// Start with History (history.go), then CheckAll (verdict.go).
package referee
