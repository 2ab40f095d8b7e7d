package kv

import (
	"cmp"
	"slices"
)

// SeenTimes is what a node has seen as a coordinator of a quorum keyspace of its latest writes and reads, in groups with replicas on the
// same nodes: how many microseconds each of the nodes took, this one among them. A row is one batch of writes, until the answer
// that it is on disk, or one round of reads; its times are in the order of Nodes, which are ascending. -1: not asked.
type SeenTimes struct {
	Keyspace string    `json:"keyspace"`
	Nodes    []uint32  `json:"nodes"`
	Writes   [][]int64 `json:"writes,omitempty"`
	Reads    [][]int64 `json:"reads,omitempty"`
}

// rowsMax bounds the rows of each kind that a status has.
const rowsMax = 256

// MergeTimes puts together what the groups of a node have seen, by keyspace and nodes.
func MergeTimes(groups []GroupStatus) (list []SeenTimes) {
	for i := range groups {
		if q := groups[i].Quorum; q != nil && len(q.Times.Writes)+len(q.Times.Reads) > 0 {
			t := q.Times
			t.Keyspace = groups[i].Keyspace
			list = append(list, t)
		}
	}
	order := func(a, b SeenTimes) int {
		return cmp.Or(cmp.Compare(a.Keyspace, b.Keyspace), slices.Compare(a.Nodes, b.Nodes))
	}
	slices.SortStableFunc(list, order)
	merged := list[:0]
	for _, t := range list {
		if last := len(merged) - 1; last >= 0 && order(merged[last], t) == 0 {
			merged[last].Writes = append(merged[last].Writes, t.Writes...)
			merged[last].Reads = append(merged[last].Reads, t.Reads...)
			continue
		}
		merged = append(merged, t)
	}
	for i := range merged {
		merged[i].Writes, merged[i].Reads = thin(merged[i].Writes), thin(merged[i].Reads)
	}
	return merged
}

// thin leaves so many rows, of all groups alike.
func thin(list [][]int64) [][]int64 {
	if len(list) <= rowsMax {
		return list
	}
	few := make([][]int64, rowsMax)
	for i := range few {
		few[i] = list[i*len(list)/rowsMax]
	}
	return few
}
