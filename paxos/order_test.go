package paxos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// TestPipelineKeepsItsOrder: one client sends commands in a row without waiting, while transactions lock keys that they only rely
// on. Nobody else writes, so every answer must be what the commands before it, in their order, have left.
func TestPipelineKeepsItsOrder(t *testing.T) {
	waited := 0
	for seed := range uint64(60) {
		p := newPipeline(seed)
		for range 120 {
			p.act()
		}
		p.finish()
		if len(p.wrong) > 0 {
			t.Fatalf("seed %d: %s", seed, p.wrong[0])
		}
		waited += p.waited
	}
	if waited < 50 {
		t.Errorf("only %d commands waited for a transaction", waited)
	}
}

// pipeline is a client and what it expects.
type pipeline struct {
	*cluster
	rng    *rand.Rand
	leader *member
	// model is what the commands sent so far leave, in their order; want what each must be answered.
	model  map[string]int64
	want   map[core.RequestID][]int64
	ages   []int
	next   int
	wrong  []string
	waited int
}

func newPipeline(seed uint64) *pipeline {
	p := &pipeline{cluster: newCluster(3, Config{LeaseMillis: 1000}, Options{Window: 1 + int(seed%3)}), rng: rand.New(rand.NewPCG(seed, 7)),
		model: map[string]int64{}, want: map[core.RequestID][]int64{}, next: 1}
	p.OnAnswer = p.answered
	p.Run("tick", []string{"1", "1100ms"})
	p.Settle()
	p.leader = p.Member(1)
	for _, key := range pipelineKeys {
		p.send(kv.Op{Kind: kv.OpIncr, Key: []byte(key), Delta: 1})
	}
	p.Settle()
	return p
}

var pipelineKeys = []string{"a", "b", "c"}

func (p *pipeline) act() {
	switch p.rng.IntN(10) {
	case 0:
		c := kv.Command{Tx: p.tx(kv.TxPrepare, fmt.Sprint(p.next)), Conds: []kv.Cond{{Kind: kv.CondPresent, Key: []byte(p.key())}}}
		p.Submit(p.leader, p.Request(&c))
		p.ages = append(p.ages, p.next)
		p.next++
	case 1:
		p.resolve()
	case 2:
		p.Settle()
	case 3, 4:
		p.Deliver(func(packet) bool { return p.rng.IntN(2) == 0 })
		p.Sync(p.Members[p.rng.IntN(3)])
	default:
		ops := make([]kv.Op, 1+p.rng.IntN(2))
		for i := range ops {
			ops[i] = kv.Op{Kind: kv.OpIncr, Key: []byte(p.key()), Delta: int64(p.rng.IntN(3))}
			if ops[i].Delta == 0 {
				ops[i].Kind = kv.OpGet
			}
		}
		p.send(ops...)
	}
}

func (p *pipeline) key() string { return pipelineKeys[p.rng.IntN(len(pipelineKeys))] }

// resolve ends one of the transactions.
func (p *pipeline) resolve() {
	if len(p.ages) == 0 {
		return
	}
	i := p.rng.IntN(len(p.ages))
	c := kv.Command{Tx: p.tx(kv.TxResolve, fmt.Sprint(p.ages[i]))}
	p.ages = slices.Delete(p.ages, i, i+1)
	c.Tx.Commit = false
	p.Submit(p.leader, p.Request(&c))
}

// send sends a command in its place among the others.
func (p *pipeline) send(ops ...kv.Op) {
	var want []int64
	for i := range ops {
		p.model[string(ops[i].Key)] += ops[i].Delta
		want = append(want, p.model[string(ops[i].Key)])
	}
	q := p.Request(&kv.Command{Ops: ops})
	q.Read = false
	p.want[q.ID] = want
	p.Submit(p.leader, q)
	p.waited += len(p.leader.Replica.lead.waits)
}

func (p *pipeline) answered(id core.RequestID, r kv.Result) {
	want, ours := p.want[id]
	if !ours {
		return
	}
	delete(p.want, id)
	items := r.Items
	if len(want) == 1 {
		items = []kv.Result{r}
	}
	var got []int64
	for i := range items {
		n := items[i].Int
		if len(items[i].Value) > 0 {
			fmt.Sscan(string(items[i].Value), &n)
		}
		got = append(got, n)
	}
	if !slices.Equal(got, want) {
		p.wrong = append(p.wrong, fmt.Sprintf("request %d is answered %v %v, not %v", id, r.Code, got, want))
	}
}

// finish ends all transactions; then every command must be answered.
func (p *pipeline) finish() {
	for len(p.ages) > 0 {
		p.resolve()
	}
	for range 10 {
		p.Settle()
		p.Run("tick", []string{"1", "2ms"}) // a block may wait for company
	}
	if len(p.want) > 0 {
		p.wrong = append(p.wrong, fmt.Sprintf("%d commands were never answered", len(p.want)))
	}
	if n := len(p.leader.Replica.lead.lockers) + len(p.leader.Replica.lead.waits); n > 0 || p.leader.Replica.lead.claims.Before(&kv.Command{Ops: []kv.Op{{Kind: kv.OpClear}}}) {
		p.wrong = append(p.wrong, fmt.Sprintf("%d still wait or are waited for, or their claims are left", n))
	}
}
