// Package keyspace says what a keyspace is made of.
//
// A Descriptor is what the catalog holds of a keyspace: its promise, its options, and where the replicas of each shard
// live. Plan makes one, Explain tells its user in plain sentences what it gives and what it costs, and NewReplica is the
// one place in the house where a promise turns into a protocol.
//
// Others rely on this: a descriptor never changes once it was written, group and keyspace ids are given once and never
// again, and ShardOf is a function of the key and the number of shards alone, the same on every node for ever.
//
// Start with Descriptor and Plan (descriptor.go), then catalog.go for the records around them.
package keyspace
