// Package node is the shell around a host: the goroutines, sockets, clocks and files that a pure machine lacks.
//
// One goroutine, the loop, owns the host. Connections, peers, timers and the log's writer put what happened into its inbox;
// it takes all that has arrived in one pass, lets the host follow, hands the open batch to the writer and the messages to
// the peers' senders. So commands, messages and log records of one moment share one wake-up, one sync and one write to
// each peer.
//
// Others rely on this: every call that is submitted is answered exactly once, at its deadline at the latest; what leaves the
// node leaves after the read permits that the same pass took back; a disk that is not the one the cluster knows never
// speaks; and a node that could not write its log ends instead of going on.
//
// Start with Start (node.go), then loop.go and submit.go; frame.go, handshake.go, sender.go and receiver.go are the wire,
// catalog.go keeps the replicas in line with the catalog; join.go, peers.go, move.go and steward.go let nodes and replicas come
// and go; split.go and hot.go divide shards; lease.go and view.go say who is a member of an atomic shard, and for how long; values.go and
// fetch.go carry values to their stores and back; admission.go refuses what there is no room for.
package node
