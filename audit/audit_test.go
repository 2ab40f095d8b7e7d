package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gamutdb/gamut/kv"
)

// fake is a node's replica as lists.
type fake struct {
	stored   []kv.StoredValue // without a fault: it is there
	mended   bool             // what is missing is there when it is asked for alone
	held     []kv.InspectItem
	follower bool
	blocks   []kv.BlockInfo
	items    []kv.StateItem
	digest   string
	rest     string
	behind   int // how many times the digest is refused
}

func (f *fake) Checkpoint(context.Context, uint64) (uint64, error) {
	if f.follower {
		return 0, kv.Errorf(kv.NotLeader, "ask another")
	}
	return 50, nil
}

func (f *fake) StatePage(_ context.Context, _, index uint64, from []byte, limit int) (page kv.StatePage, err error) {
	if index != 50 {
		return page, errors.New("no such checkpoint")
	}
	for _, item := range f.items {
		if string(item.Key) < string(from) {
			continue
		}
		if len(page.Items) == min(limit, 2) {
			page.Next = item.Key
			break
		}
		page.Items = append(page.Items, item)
	}
	return page, nil
}

func (f *fake) StateDigest(context.Context, uint64, uint64) (kv.StateDigest, error) {
	if f.behind--; f.behind >= 0 {
		return kv.StateDigest{}, errors.New("not yet")
	}
	return kv.StateDigest{Index: 50, Keys: int64(len(f.items)), Digest: f.digest, Rest: f.rest}, nil
}

func (f *fake) StoredValues(_ context.Context, _ uint64, from []byte, limit int) (page kv.StoredPage, err error) {
	for _, v := range f.stored {
		switch {
		case string(v.Key) < string(from):
			continue
		case page.Values == min(limit, 2):
			page.Next = v.Key
			return page, nil
		case v.Fault != "" && !(limit == 1 && f.mended):
			page.Bad = append(page.Bad, v)
		}
		page.Values++
		page.Bytes += 100
	}
	return page, nil
}

func (f *fake) Inspect(context.Context, uint64, []byte, bool, int) (kv.InspectPage, error) {
	return kv.InspectPage{Items: f.held}, nil
}

func (f *fake) Blocks(_ context.Context, _, from uint64, limit int, _ bool) ([]kv.BlockInfo, error) {
	i, _ := slices.BinarySearchFunc(f.blocks, from, func(b kv.BlockInfo, at uint64) int { return int(b.Index) - int(at) })
	return f.blocks[i:min(len(f.blocks), i+min(limit, 3))], nil
}

func chain(from, to int) (blocks []kv.BlockInfo) {
	for i := from; i <= to; i++ {
		blocks = append(blocks, kv.BlockInfo{Index: uint64(i), Prev: fmt.Sprintf("h%d", i-1), Hash: fmt.Sprintf("h%d", i), Intact: true})
	}
	return blocks
}

func TestChain(t *testing.T) {
	for _, c := range []struct {
		name    string
		alter   func(r []*fake)
		commit  uint64
		problem string // "": none
		index   uint64
		nodes   []uint32
		to      uint64
	}{
		{"equal", func([]*fake) {}, 20, "", 0, nil, 20},
		{"one keeps less", func(r []*fake) { r[1].blocks = r[1].blocks[7:] }, 20, "", 0, nil, 20},
		{"payload altered", func(r []*fake) { r[2].blocks[11].Intact = false }, 20, "altered", 12, []uint32{3}, 0},
		{"link broken", func(r []*fake) { r[1].blocks[5].Prev = "hx" }, 20, "links to hx", 6, []uint32{2}, 0},
		{"block missing", func(r []*fake) { r[1].blocks = slices.Delete(r[1].blocks, 4, 5) }, 20, "follows block 4", 6, []uint32{2}, 0},
		{"other block", func(r []*fake) { r[0].blocks[9].Hash, r[0].blocks[10].Prev = "hx", "hx" }, 20, "not the same", 10, []uint32{1, 2, 3}, 0},
		{"other block not committed", func(r []*fake) { r[0].blocks[19].Hash = "hx" }, 19, "", 0, nil, 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			fakes := []*fake{{blocks: chain(1, 20)}, {blocks: chain(1, 20)}, {blocks: chain(1, 20)}}
			c.alter(fakes)
			var replicas []Replica
			for i, f := range fakes {
				replicas = append(replicas, Replica{Node: uint32(i + 1), Reader: f, Commit: c.commit})
			}
			replicas = append(replicas, Replica{Node: 4, Why: "down"})
			r := Chain(context.Background(), Group{Group: 7}, replicas)
			if len(r.Unchecked) != 1 || r.Unchecked[0].Node != 4 || len(r.Ranges) != 3 {
				t.Fatalf("report %+v", r)
			}
			if c.problem == "" {
				if r.Finding != nil || r.From != 1 || r.To != c.to {
					t.Fatalf("report %+v, finding %v", r, r.Finding)
				}
				return
			}
			if r.Finding == nil || r.Finding.Index != c.index || !strings.Contains(r.Finding.String(), c.problem) {
				t.Fatalf("finding %v, want %q at %d", r.Finding, c.problem, c.index)
			}
			var nodes []uint32
			for _, w := range r.Finding.Who {
				nodes = append(nodes, w.Node)
			}
			if !slices.Equal(nodes, c.nodes) {
				t.Fatalf("nodes %v, want %v", nodes, c.nodes)
			}
		})
	}
}

func item(key, record string) kv.StateItem {
	return kv.StateItem{Key: []byte(key), Record: []byte(record)}
}

// rec begins a record of version 9 without flags or expiry.
const rec = "\x01\x00\x09"

func TestState(t *testing.T) {
	same := []kv.StateItem{item("a", rec+"1"), item("b", rec+"2"), item("c", rec+"3"), item("e", rec+"4")}
	for _, c := range []struct {
		name    string
		second  []kv.StateItem
		digest  string
		rest    string
		key     string
		problem string
	}{
		{"equal", same, "d", "", "", ""},
		{"value", []kv.StateItem{same[0], same[1], item("c", rec+"x"), same[3]}, "e", "", `"c"`, `node 1 has version 9, 1 bytes: "3"; node 2 has version 9, 1 bytes: "x"`},
		{"missing", []kv.StateItem{same[0], same[2], same[3]}, "e", "", `"b"`, "node 2 has nothing"},
		{"at the end", append(slices.Clone(same), item("f", "?")), "e", "", `"f"`, `node 1 has nothing; node 2 has a malformed record of 1 bytes: "?"`},
		{"what clients do not see", same, "d", "f", "", "sessions, expiry or the configuration: node 1 has digest ; node 2 has digest f"},
		{"digest only", same, "e", "", "", "digest e"},
	} {
		t.Run(c.name, func(t *testing.T) {
			replicas := []Replica{
				{Node: 1, Reader: &fake{follower: true, items: same, digest: "d"}},
				{Node: 2, Reader: &fake{items: c.second, digest: c.digest, rest: c.rest, behind: 2}},
				{Node: 3, Why: "down"},
			}
			r, err := State(context.Background(), Group{Group: 7}, replicas)
			if err != nil || r.Compared() != 2 || len(r.Unchecked) != 1 || r.Index != 50 {
				t.Fatalf("report %+v, %v", r, err)
			}
			if c.problem == "" {
				if r.Finding != nil {
					t.Fatalf("finding %v", r.Finding)
				}
				return
			}
			if r.Finding == nil || r.Finding.Key != c.key || !strings.Contains(r.Finding.String(), c.problem) {
				t.Fatalf("finding %v, want %s %s", r.Finding, c.key, c.problem)
			}
		})
	}
}

func TestStateWithoutLeaderIsAnError(t *testing.T) {
	_, err := State(context.Background(), Group{}, []Replica{{Node: 1, Reader: &fake{follower: true}}})
	var e *kv.Error
	if !errors.As(err, &e) || e.Code != kv.NotLeader {
		t.Fatalf("error %v", err)
	}
}

func TestPlanNamesReplicasThatCannotBeAsked(t *testing.T) {
	keyspaces := []kv.KeyspaceInfo{
		{CreateKeyspace: kv.CreateKeyspace{Name: "b"}, Groups: []kv.GroupInfo{{Group: 3, Replicas: map[string]uint32{"1": 1, "2": 2, "3": 9}}}},
		{CreateKeyspace: kv.CreateKeyspace{Name: "other"}, Groups: []kv.GroupInfo{{Group: 5, Replicas: map[string]uint32{"1": 1}}}},
	}
	one := kv.Status{Groups: []kv.GroupStatus{{Group: 3, Keyspace: "b", Commit: 7}, {Group: 1, Keyspace: "a"}}}
	nodes := []Asked{{Node: 1, Reader: &fake{}, Status: one}, {Node: 2, Why: "down"}}
	tasks := Plan(keyspaces, nodes, func(name string) bool { return name != "other" })
	if len(tasks) != 2 || tasks[0].Keyspace != "a" || len(tasks[0].Replicas) != 1 || tasks[1].Group.Group != 3 {
		t.Fatalf("tasks %+v", tasks)
	}
	r := tasks[1].Replicas
	if len(r) != 3 || r[0].Reader == nil || r[0].Commit != 7 || r[1].Reader != nil || r[1].Why != "down" || r[2].Node != 9 || r[2].Why == "" {
		t.Fatalf("replicas %+v", r)
	}
}

func TestApartTellsWhatIsOnItsWayFromWhatIsTorn(t *testing.T) {
	record := func(key, stamp, value string, deleted bool) kv.InspectItem {
		return kv.InspectItem{Key: []byte(key), Stamp: stamp, Value: []byte(value), Deleted: deleted}
	}
	replicas := func(a, b []kv.InspectItem) []Replica {
		return []Replica{{Node: 1, Reader: &fake{held: a}}, {Node: 2, Reader: &fake{held: b}}, {Node: 3, Why: "it is down"}}
	}
	old, next, gone := record("k", "1.0@1", "v", false), record("k", "2.0@1", "w", false), record("k", "2.0@1", "", true)
	for name, c := range map[string]struct {
		a, b []kv.InspectItem
		keys int64
		away int64
		torn bool
	}{
		"equal":                     {[]kv.InspectItem{old}, []kv.InspectItem{old}, 1, 0, false},
		"a tombstone went":          {[]kv.InspectItem{gone}, nil, 1, 0, false},
		"a newer one is on its way": {[]kv.InspectItem{old}, []kv.InspectItem{next}, 1, 1, false},
		"one is missing":            {[]kv.InspectItem{old}, nil, 1, 1, false},
		"two of one stamp":          {[]kv.InspectItem{next}, []kv.InspectItem{gone}, 1, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Apart(t.Context(), Group{Group: 1}, replicas(c.a, c.b))
			if err != nil || r.Keys != c.keys || r.Apart != c.away || (r.Finding != nil) != c.torn || len(r.Unchecked) != 1 || r.Replicas != 2 {
				t.Errorf("%+v %v", r, err)
			}
		})
	}
}

func TestValuesAreLostWhenAllReplicasLackThem(t *testing.T) {
	value := func(key, sum string, fault kv.StoreFault) kv.StoredValue {
		return kv.StoredValue{Key: []byte(key), Sum: sum, Fault: fault}
	}
	const missing, damaged, unasked = kv.ValueMissing, kv.ValueDamaged, kv.ValueNotAsked
	one := []kv.StoredValue{value("a", "1", missing), value("b", "1", ""), value("c", "1", damaged), value("d", "1", missing), value("e", "2", missing)}
	two := []kv.StoredValue{value("a", "1", missing), value("b", "1", missing), value("c", "1", missing), value("d", "1", unasked), value("e", "1", missing)}
	for name, c := range map[string]struct {
		replicas []Replica
		stores   string
		lost     string
	}{
		"both": {[]Replica{{Node: 1, Reader: &fake{stored: one}}, {Node: 2, Reader: &fake{stored: two}}},
			"node 1: 3 missing, 1 damaged; node 2: 4 missing, 1 not asked, since the store does not answer", `"a","c"`},
		"one has come back": {[]Replica{{Node: 1, Reader: &fake{stored: one}}, {Node: 2, Reader: &fake{stored: two, mended: true}}},
			"node 1: 3 missing, 1 damaged; node 2: 4 missing, 1 not asked, since the store does not answer", ""},
		"one is down": {[]Replica{{Node: 1, Reader: &fake{stored: one}}, {Node: 2, Why: "it is down"}}, "node 1: 3 missing, 1 damaged", ""},
		"all there":   {[]Replica{{Node: 1, Reader: &fake{stored: one[1:2]}}}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Values(t.Context(), Group{Group: 7}, c.replicas, &Pace{Rate: 1 << 20})
			var stores []string
			for i := range r.Stores {
				stores = append(stores, r.Stores[i].String())
			}
			if err != nil || strings.Join(stores, "; ") != c.stores || strings.Join(r.Lost, ",") != c.lost || r.LostCount != len(r.Lost) || r.Bytes != 100*r.Values {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

func TestPaceWaitsAndGivesUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	if err := new(Pace).after(ctx, 1<<40); err != nil {
		t.Error(err)
	}
	cancel()
	if err := (&Pace{Rate: 1}).after(ctx, 1<<40); err == nil {
		t.Error("a terabyte at a byte a second is not waited for")
	}
}
