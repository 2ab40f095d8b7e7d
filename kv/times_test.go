package kv

import (
	"reflect"
	"testing"
)

func TestMergeTimes(t *testing.T) {
	group := func(name string, nodes []uint32, writes, reads [][]int64) GroupStatus {
		return GroupStatus{Keyspace: name, Quorum: &QuorumStatus{Times: SeenTimes{Nodes: nodes, Writes: writes, Reads: reads}}}
	}
	three, others := []uint32{1, 2, 3}, []uint32{1, 3, 4}
	got := MergeTimes([]GroupStatus{
		group("b", three, [][]int64{{9, 8, 7}}, nil), {Keyspace: "led"},
		group("a", three, [][]int64{{5, 3, 4}}, [][]int64{{-1, 1, -1}}),
		group("a", others, [][]int64{{1, 1, 1}}, nil),
		group("a", three, [][]int64{{4, 4, 4}}, nil),
		group("idle", three, nil, nil),
	})
	want := []SeenTimes{{"a", three, [][]int64{{5, 3, 4}, {4, 4, 4}}, [][]int64{{-1, 1, -1}}}, {"a", others, [][]int64{{1, 1, 1}}, nil},
		{"b", three, [][]int64{{9, 8, 7}}, nil}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, not %v", got, want)
	}
	var many [][]int64
	for i := range int64(10 * rowsMax) {
		many = append(many, []int64{i})
	}
	if few := thin(many); len(few) != rowsMax || few[0][0] != 0 || few[rowsMax-1][0] != 10*rowsMax-10 {
		t.Errorf("%d are left, from %d to %d", len(few), few[0], few[len(few)-1])
	}
}
