// Package lab plays scripts against a cluster: client commands, faults, and what is to be seen then.
//
// One language serves demos, golden tests and bug reports: its statements are those of courses on Bayou, Paxos, two-phase
// commit and quorum stores, in their own spelling and in ours. A script runs in a World: the simulator, in virtual time,
// or a live cluster of real processes. What a script prints can stand below it, behind ----, and is compared.
//
// The invariant others rely on: a script never asks a World for more than this interface, so that a script means the same
// in both, and a World never ignores what it is asked: what it cannot do is an error.
//
// Start with World (world.go), then table.go for the statements of the language, script.go and form.go (how they are read),
// play.go (how they are played); fuzz.go searches seeds.
package lab
