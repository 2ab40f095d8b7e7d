package redis

import "github.com/gamutdb/gamut/kv"

func setCommands() []command {
	return inGroup("set", []command{
		key(command{name: "sadd", arity: -3, flags: writeFast, plan: planSetEach(kv.OpInclude), summary: "Puts members into a set, in keyspaces that have sets: causal and eventual ones."}),
		key(command{name: "srem", arity: -3, flags: "write fast", plan: planSetEach(kv.OpExclude), summary: "Takes members out of a set."}),
		key(command{name: "smembers", arity: 2, flags: "readonly", plan: planMembers, reads: true, summary: "Returns all members of a set."}),
		key(command{name: "sismember", arity: 3, flags: readFast, plan: planIsMember, summary: "Tells whether a value is a member of a set."}),
		key(command{name: "smismember", arity: -3, flags: readFast, plan: planAreMembers, summary: "Tells of several values whether they are members of a set."}),
		key(command{name: "scard", arity: 2, flags: readFast, plan: planCard, summary: "Counts the members of a set."}),
	})
}

func siblingCommands() []command {
	return inGroup("gamut", []command{
		key(command{name: "gamut.siblings", arity: 2, flags: "readonly", plan: planSiblings, reads: true,
			summary: "Returns a context, then each value of a key with its stamp, the newest first."}),
		key(command{name: "gamut.resolve", arity: -3, flags: write, plan: planResolve, alone: true,
			summary: "Replaces the values that a context has seen by another one, or by none."}),
	})
}

// planSetEach plans one operation for each member; the answer is how many of them changed the set.
func planSetEach(kind kv.OpKind) planFunc {
	return func(args [][]byte, command *kv.Command, o *reply) string {
		for _, member := range args[2:] {
			command.Ops = append(command.Ops, kv.Op{Kind: kind, Key: args[1], Value: member})
		}
		o.render = renderCount
		if kind == kv.OpInclude {
			o.render = renderNew
		}
		return ""
	}
}

func renderNew(w *writer, o *reply, items []kv.Result) {
	n := int64(0)
	for i := range items {
		if items[i].Code == kv.OK && !items[i].Existed {
			n++
		}
	}
	w.integer(n)
}

func planMembers(args [][]byte, command *kv.Command, o *reply) string {
	command.Ops = append(command.Ops, kv.Op{Kind: kv.OpMembers, Key: args[1]})
	o.render = func(w *writer, o *reply, items []kv.Result) {
		w.set(len(items[0].Items))
		for i := range items[0].Items {
			w.bulk(items[0].Items[i].Value)
		}
	}
	return ""
}

func planIsMember(args [][]byte, command *kv.Command, o *reply) string {
	command.Ops = append(command.Ops, kv.Op{Kind: kv.OpMember, Key: args[1], Value: args[2]})
	o.render = renderInt
	return ""
}

func planAreMembers(args [][]byte, command *kv.Command, o *reply) string {
	for _, member := range args[2:] {
		command.Ops = append(command.Ops, kv.Op{Kind: kv.OpMember, Key: args[1], Value: member})
	}
	o.render = func(w *writer, o *reply, items []kv.Result) {
		w.array(len(items))
		for i := range items {
			w.integer(items[i].Int)
		}
	}
	return ""
}

func planCard(args [][]byte, command *kv.Command, o *reply) string {
	command.Ops = append(command.Ops, kv.Op{Kind: kv.OpMembers, Key: args[1], Quiet: true})
	o.render = renderInt
	return ""
}

func planSiblings(args [][]byte, command *kv.Command, o *reply) string {
	command.Ops = append(command.Ops, kv.Op{Kind: kv.OpSiblings, Key: args[1]})
	o.render = func(w *writer, o *reply, items []kv.Result) {
		list := items[0].Items
		w.array(1 + len(list))
		w.text(kv.FormatToken(items[0].Token))
		for i := range list {
			w.array(2)
			w.bulk(list[i].Value)
			w.text(list[i].Stamp())
		}
	}
	return ""
}

// planResolve is GAMUT.RESOLVE key context [value]; the context is checked where the keyspace is known.
func planResolve(args [][]byte, command *kv.Command, o *reply) string {
	if len(args) > 4 {
		return wrongArity("gamut.resolve")
	}
	context, err := kv.ParseContext(string(args[2]))
	if err != nil {
		return "BADTOKEN " + err.Error()
	}
	command.Context = context
	op := kv.Op{Kind: kv.OpDelete, Key: args[1]}
	o.render = renderDone
	if len(args) == 4 {
		op.Kind, op.Value = kv.OpSet, args[3]
		o.render = renderSet
	}
	command.Ops = append(command.Ops, op)
	return ""
}
