// Package keyspace says what a keyspace is made of.
//
// A Descriptor is what the catalog holds of a keyspace: its promise, its options, and where the replicas of each shard
// live. Plan makes one, Move changes where replicas live, Explain tells its user in plain sentences what it gives and what it
// costs, and the switch in protocol.go is the one place in the house where a promise turns into a protocol.
//
// Others rely on this: of a descriptor that was written only the members of its shards change, and their epochs with them, and an
// ordered one gets more shards by splits; group, keyspace, node and replica ids are given once and never again; and where a key lies
// among the shards is a function of the key and the descriptor alone, the same on every node that has that descriptor.
//
// Start with Descriptor (descriptor.go) and Plan (plan.go), then protocol.go; catalog.go holds the records around them, view.go
// those of groups whose members the catalog decides; move.go and balance.go say which replicas go where.
package keyspace
