// Package redis is the door for Redis clients: it turns RESP2 and RESP3 requests into kv operations.
//
// One goroutine serves one connection. It parses every complete command of what it has read, adds them to one kv.Batch,
// submits the batch once, waits, and writes all replies in their order with one write. So a pipeline of a hundred commands
// costs one round of consensus, not a hundred, while the database keeps the batch's order within a shard.
// A command is planned (arguments to kv operations, plan functions) apart from its answer (results to bytes, render
// functions), which is what lets EXEC send a whole transaction as one kv.Command and answer it with the same renderers.
// The few commands that need an answer before they can go on (WATCH, SCAN, KEYS) first flush what is owed: barriers.
//
// Others rely on this: nothing that a client sends makes the door hold more memory than Options allows, and a reply says
// of every command whether it was executed, was certainly not executed, or may have been.
//
// Start with conn.go (the loop), then parser.go and table.go; a command's own rules stand in the file of its family.
package redis
