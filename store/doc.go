// Package store is one node's disk: the shared log and the groups' state.
//
// What a replica must not forget is appended to one log for the whole node and synced once per batch, however many groups
// wrote. What is read is a fold over that log, kept in Pebble with its own write-ahead log off: after a crash the state
// falls back to some earlier moment and the protocols fold the log's records again.
//
// Others rely on this: Append returns when its batch is durable, or the log never takes another one; the changes of one
// Apply survive together or not at all, in order; a segment of the log is deleted only when every group in it has made
// durable, in its state, what the segment holds; and damage is either found and told (Recovered.Suspect) or lies in what
// the fault model names. A read that cannot be served never looks like a missing key.
//
// A state that turns out damaged is never mended: the disk is marked (the file DAMAGED), the node must end, and the next
// opening moves the state aside, begins an empty one and says AllSuspect, as after a loss in the log. The mark stays until
// Refilled, so that a crash in between leads back to the same path (heal.go).
//
// The fault model. A crash loses any part of what was not synced. A disk may also lose, zero or flip what was synced: that
// is found by checksums and by the consecutive numbers of the batches, because at most one batch is ever in flight, so a
// later batch proves that an earlier one was durable. A whole table of the state in the place of another of the very same
// size is not found. Four things cannot be told from a torn, unacknowledged write, and are
// taken for one: damage to the very last batch of the log (a clean Close writes an empty batch behind it); damage that
// reaches from some batch to the end of the log and begins after the last Flush; a disk that acknowledges a sync and drops
// it, within the same bounds; and pages of a failed sync that the operating system shows to the next process as if written.
//
// Start with Store (store.go), then Disk (disk.go), log.go and heal.go; Memory (memory.go) is the same for the simulator.
package store
