// Package kv is the vocabulary of Gamut: what a client may ask of a keyspace, what it is answered, in which words.
//
// A door turns bytes into a Command and a Result back into bytes; a protocol orders Commands without looking into them;
// the state machine (package machine) says what each one does. All three share these types, so kv imports nothing of ours
// and holds no behaviour beyond encoding and checking.
//
// Others rely on this: encodings are versioned and canonical, decoders never read past their input, and a Code keeps its
// number for ever because it crosses the wire and rests in session tables.
//
// Start with Command and Op (op.go), then Result and Code (result.go), then Database (database.go).
package kv
