package kv

import (
	"reflect"
	"testing"
)

func TestMergePaths(t *testing.T) {
	group := func(name string, paths ...PathTimes) GroupStatus {
		return GroupStatus{Keyspace: name, Quorum: &QuorumStatus{Paths: paths}}
	}
	got := MergePaths([]GroupStatus{
		group("b", PathTimes{Node: 1, Writes: []int64{9}}), {Keyspace: "led"},
		group("a", PathTimes{Node: 2, Writes: []int64{5, 3}, Reads: []int64{1}}, PathTimes{Node: 1, Writes: []int64{4}}),
		group("a", PathTimes{Node: 2, Writes: []int64{4}}),
	})
	want := []PathTimes{{"a", 1, []int64{4}, nil}, {"a", 2, []int64{3, 4, 5}, []int64{1}}, {"b", 1, []int64{9}, nil}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, not %v", got, want)
	}
	var many []int64
	for i := range int64(10 * pathMax) {
		many = append(many, i)
	}
	if few := thin(many); len(few) != pathMax || few[0] != 0 || few[pathMax-1] != 10*pathMax-1 {
		t.Errorf("%d are left, from %d to %d", len(few), few[0], few[len(few)-1])
	}
}
