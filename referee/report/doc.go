// Package report draws a judged run as one HTML file.
//
// A Run is plain data: what was promised, what clients saw, what went wrong on purpose, and what the checkers said. Write
// turns it into a page that needs nothing but itself: the verdict in words first, then the few operations that prove it,
// then the whole run on one time axis, then the seed and the command that replay it.
//
// The invariant others rely on: data reaches the page only as JSON, in which no "<" is left, so no key or value can end a
// script or become one. The page's policy forbids every request and every script but its own. What is drawn may be a sample,
// and then the page says so; latencies, availability and verdicts are always those of the whole run.
//
// Start with Run (run.go), then Write (write.go); proof.go finds the arrows of a counterexample, page holds what the browser runs.
package report
