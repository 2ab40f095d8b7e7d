package lab

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/referee"
)

// countDefault is what courses take if no count is given.
const countDefault = 10

// burst sets many keys at once and waits for all.
func (r *runner) burst(a args, key func(i int) string) ([]*job, error) {
	var jobs []*job
	var ops []*Operation
	for i := range orElse(a, "COUNT", countDefault) {
		value := fmt.Sprint(i)
		op := kv.Op{Kind: kv.OpSet, Key: []byte(key(i)), Value: []byte(value)}
		j, err := r.begin(a, op, referee.Op{Kind: referee.Set, Value: value}, written)
		if err != nil || j == nil {
			return nil, err
		}
		jobs, ops = append(jobs, j), append(ops, j.op)
	}
	err := r.world.Wait(r.ctx, ops...)
	for _, j := range jobs {
		r.finish(j)
	}
	return jobs, err
}

func (r *runner) rapidset(a args) error {
	const key = "1234"
	jobs, err := r.burst(a, func(int) string { return key })
	if err != nil {
		return err
	}
	if text(a, "show") == "summary" {
		return r.summarize(a, key, jobs)
	}
	for i, j := range jobs {
		r.print("set %s %d: %s", key, i, j.render(&j.op.Result))
	}
	return r.ask(a, kv.Op{Kind: kv.OpGet, Key: []byte(key)}, referee.Op{Kind: referee.Get},
		func(res *kv.Result) string { return key + ": " + valued(res) })
}

// summarize says of SETs of one key at once what is so in every world, whichever of them came first: how many were carried out,
// and whether what the key holds now is one of these.
func (r *runner) summarize(a args, key string, jobs []*job) error {
	set, others := map[string]bool{}, map[string]bool{}
	for i, j := range jobs {
		if j.op.Result.Code == kv.OK {
			set[fmt.Sprint(i)] = true
		} else {
			others[written(&j.op.Result)] = true
		}
	}
	amount := "some"
	switch len(set) {
	case 0:
		amount = "none"
	case len(jobs):
		amount = "all"
	}
	r.print("%s of %d set%s", amount, len(jobs), strings.Join(append([]string{""}, slices.Sorted(maps.Keys(others))...), "; others "))
	return r.ask(a, kv.Op{Kind: kv.OpGet, Key: []byte(key)}, referee.Op{Kind: referee.Get}, func(res *kv.Result) string {
		if !set[string(res.Value)] {
			return key + ": " + valued(res) + ", which is none of them"
		}
		return key + ": one of them"
	})
}

func (r *runner) multiset(a args) error {
	jobs, err := r.burst(a, func(i int) string { return fmt.Sprintf("multiset-%d", i) })
	if err != nil {
		return err
	}
	done := 0
	for _, j := range jobs {
		if j.op.Result.Code == kv.OK {
			done++
		}
	}
	r.print("%d of %d set", done, len(jobs))
	return r.verify(a)
}
