package kv

import (
	"cmp"
	"slices"
)

// PathTimes are round trips that a node has measured as a coordinator of a quorum keyspace, to the replicas on one node, itself
// included: a sample of the latest, in microseconds and in order. Writes are until the answer that a record is on disk.
type PathTimes struct {
	Keyspace string  `json:"keyspace"`
	Node     uint32  `json:"node"`
	Writes   []int64 `json:"writes,omitempty"`
	Reads    []int64 `json:"reads,omitempty"`
}

// pathMax bounds the times of each kind that a status has of each node.
const pathMax = 256

// MergePaths puts together what the groups of a node have measured, by keyspace and node.
func MergePaths(groups []GroupStatus) (list []PathTimes) {
	for i := range groups {
		if q := groups[i].Quorum; q != nil {
			for _, p := range q.Paths {
				p.Keyspace = groups[i].Keyspace
				list = append(list, p)
			}
		}
	}
	slices.SortStableFunc(list, func(a, b PathTimes) int {
		return cmp.Or(cmp.Compare(a.Keyspace, b.Keyspace), cmp.Compare(a.Node, b.Node))
	})
	merged := list[:0]
	for _, p := range list {
		if last := len(merged) - 1; last >= 0 && merged[last].Keyspace == p.Keyspace && merged[last].Node == p.Node {
			merged[last].Writes = append(merged[last].Writes, p.Writes...)
			merged[last].Reads = append(merged[last].Reads, p.Reads...)
			continue
		}
		merged = append(merged, p)
	}
	for i := range merged {
		merged[i].Writes, merged[i].Reads = thin(merged[i].Writes), thin(merged[i].Reads)
	}
	return merged
}

// thin sorts, and leaves so many that stand for all, the least and the most among them.
func thin(list []int64) []int64 {
	slices.Sort(list)
	if len(list) <= pathMax {
		return list
	}
	few := make([]int64, pathMax)
	for i := range few {
		few[i] = list[i*(len(list)-1)/(pathMax-1)]
	}
	return few
}
