package keyspace

import "github.com/gamutdb/gamut/core"

// Level is the newest feature level that this program knows. Records, commands and messages that programs of an earlier level do not
// know come with a level of their own, and are used only once the catalog has reached it: so nodes of two releases never make
// different things of one log entry (trap T1.15). The catalog reaches a level when every node has said that it knows it, and never
// goes back; a program that does not know the level of the catalog does not run.
const Level = 2

// LevelMerges is that from which on shards are merged.
const LevelMerges = 2

// LevelKey is where the catalog holds its level, once that is more than 1.
const LevelKey = "level"

// LevelForgetMany is from where on one command lets a group forget many transactions.
const LevelForgetMany = 2

// EncodeLevel is the value at LevelKey.
func EncodeLevel(level int) []byte { return mustJSON(level) }

// NextLevel is the highest level that all of these nodes know, and no lower than the catalog's. A node that has never served has not
// said what it knows; one of a release without levels knows the first.
func (c *Catalog) NextLevel(nodes []core.NodeID) int {
	next := -1
	for _, id := range nodes {
		n, known := c.Nodes[id]
		if n.State == NodeRemoved {
			continue
		}
		if !known || n.Store == (StoreID{}) {
			return c.Level
		}
		if level := max(n.Level, 1); next < 0 || level < next {
			next = level
		}
	}
	return max(next, c.Level)
}
