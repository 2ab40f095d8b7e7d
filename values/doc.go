// Package values keeps the long values of replicas in a store that may lose them.
//
// A replica's state holds keys, versions and all that decides; in the place of a long value it holds a kv.Reference, its
// length and SHA-256. The value itself lies in a Store: memcached, Redis, or this process's memory. The protocols see
// references only, in their own copies and in each other's messages, so what a Store does cannot change what they decide;
// whoever answers a client fetches the values, checks each against its reference, and asks the other replicas for what is
// missing or wrong.
//
// Others rely on this: Group.Apply never waits for the Store, and never fails because of it. A value lies in the anteroom,
// a part of the node's own disk, from before the state refers to it until the Store has given it back; so what the Store does not
// take, for want of room or because it is away, stays inside. Read gives the value that the reference names, or none.
//
// Nothing here has a goroutine or a clock of its own: who runs a Keeper calls Next with Upload, Stored with Settle, Due with Remove, and Check.
//
// Start with Group.Apply (group.go), then Keeper.Read and Keeper.Upload (keeper.go); note.go has what a crash must not forget, store.go
// the Store and the one in memory.
package values
