// Package memcached is the door through which memcached clients reach a node, by either of their protocols: text, meta.
//
// A connection reads what has arrived, parses all complete commands of it, submits them as one kv.Batch, waits, and answers
// in order with one write. That is a round (see pipeline): nothing is queued between rounds, so a client that does not read
// is not read from, and a client that sends faster than the database answers waits in its own socket.
//
// Others rely on this: a read that failed never looks like a miss, an outcome that is not known is said to be so, and what
// the parser makes of a stream does not depend on how the stream was cut into reads.
//
// Replies are those of memcached 1.6, with the differences that a database makes. Nothing is evicted, so cache_memlimit is
// refused. A value that is too large is refused and the old one stays. A counter that loses a digit is not padded with
// spaces, since other doors read the same record. Control characters in a key, numbers of flags over 32 bits and the flags
// h and l (they would turn each read into a write) are errors. The cas unique is the record's version. A delayed flush_all
// is remembered only by the node that took it.
//
// Start with Server.Serve (server.go), then conn.go, pipeline.go, and text.go or meta.go for the commands.
package memcached
