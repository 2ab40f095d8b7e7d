package lab

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/referee"
)

// Sets and siblings: what keyspaces merge whose replicas take writes alone.

// seen is what a read of siblings showed, for a write that replaces it.
type seen struct {
	token  []byte
	values []string
}

func (r *runner) include(a args) error {
	op := kv.Op{Kind: kv.OpInclude, Key: []byte(text(a, "KEY")), Value: []byte(text(a, "VALUE"))}
	return r.ask(a, op, referee.Op{Kind: referee.Include, Value: string(op.Value)}, func(res *kv.Result) string { return changed(res, !res.Existed) })
}

func (r *runner) exclude(a args) error {
	op := kv.Op{Kind: kv.OpExclude, Key: []byte(text(a, "KEY")), Value: []byte(text(a, "VALUE"))}
	return r.ask(a, op, referee.Op{Kind: referee.Exclude, Expect: string(op.Value)}, func(res *kv.Result) string { return changed(res, true) })
}

// changed renders whether a set was changed; a member that was not found is no failure.
func changed(r *kv.Result, did bool) string {
	switch text, ended := answer(r); {
	case r.Code == kv.NotFound, !ended && !did:
		return "0"
	case ended:
		return text
	}
	return "1"
}

func (r *runner) membersOf(a args) error {
	return r.ask(a, kv.Op{Kind: kv.OpMembers, Key: []byte(text(a, "KEY"))}, referee.Op{Kind: referee.Members}, listed)
}

func (r *runner) siblings(a args) error {
	return r.ask(a, kv.Op{Kind: kv.OpSiblings, Key: []byte(text(a, "KEY"))}, referee.Op{Kind: referee.Members}, listed)
}

// listed renders the several values of a key, a line each.
func listed(r *kv.Result) string {
	if text, ended := answer(r); ended {
		return text
	}
	return strings.Join(valuesOf(r), "\n")
}

func valuesOf(r *kv.Result) (list []string) {
	for i := range r.Items {
		list = append(list, string(r.Items[i].Value))
	}
	return list
}

// replaces gives a write the context that its statement names, and refuses what the referee could not tell apart.
func (r *runner) replaces(a args, j *job, c *kv.Command) error {
	op := &c.Ops[0]
	if part := op.Kind.Merges() || j.space.siblings && op.Kind == kv.OpSet; part && !op.Kind.ReadOnly() &&
		(len(op.Value) == 0 || strings.ContainsFunc(string(op.Value), unicode.IsSpace)) {
		return fmt.Errorf("the value %q: in a set, and where siblings are kept, a value is one word here; the referee tells them apart by the blanks between", op.Value)
	}
	if j.context = text(a, "context"); j.context == "" || op.Kind.ReadOnly() {
		return nil
	}
	s, known := r.contexts[j.context]
	if !known {
		return fmt.Errorf("nothing was seen under the name %s; say above: siblings %s context=%s", j.context, op.Key, j.context)
	}
	c.Context, j.replaced = s.token, s.values
	return nil
}

// keep remembers what a read has seen, if its statement names it.
func (r *runner) keep(j *job) {
	if res := &j.op.Result; j.context != "" && j.op.Request.Command.ReadOnly() && res.Code == kv.OK {
		r.contexts[j.context] = seen{res.Token, valuesOf(res)}
	}
}

// asParts is an operation in a keyspace that keeps siblings as the referee judges it: the values of a key are the members of a set, and
// a write takes out what it replaces and puts one in. A plain read shows only one of them, and is left out.
func (j *job) asParts(o referee.Op) (referee.Op, bool) {
	if o.Kind != referee.Set && o.Kind != referee.Delete {
		return o, o.Kind != referee.Get
	}
	subs := []referee.Sub{{Kind: referee.Delete, Key: o.Key}}
	if j.context != "" {
		subs = nil
		for _, v := range j.replaced {
			subs = append(subs, referee.Sub{Kind: referee.Exclude, Key: o.Key, Expect: v})
		}
	}
	if o.Kind == referee.Set {
		subs = append(subs, referee.Sub{Kind: referee.Include, Key: o.Key, Value: o.Value})
	}
	o.Kind, o.Key, o.Value, o.Subs = referee.Txn, "", "", subs
	return o, true
}

// endOf is what a client finds at a key in the end, as the referee takes it: of a set, and where siblings are kept, all that there is.
func (r *runner) endOf(s *space, item *kv.Result) (string, error) {
	whole := item
	if s.siblings && item.Marks&kv.MarkSet == 0 {
		o := r.world.Begin(Request{Node: r.firstUp(), Keyspace: s.name, Command: kv.Command{Ops: []kv.Op{{Kind: kv.OpSiblings, Key: item.Key}}}, Timeout: timeoutDefault})
		if err := r.world.Wait(r.ctx, o); err != nil {
			return "", err
		}
		whole = &o.Result
	}
	values := valuesOf(whole)
	slices.Sort(values)
	if len(values) == 0 {
		return string(item.Value), nil
	}
	return strings.Join(values, " "), nil
}
