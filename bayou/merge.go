package bayou

import (
	"fmt"
	"slices"

	"github.com/gamutdb/gamut/kv"
)

// What is merged instead of replaced: members of sets, and siblings.

// looksAt has a write say what its writer had seen of the parts that it may take away. Only replicas are named that have put one of
// them there: what others had put there, and the writer had seen, is gone here by a write that precedes this one, and so it is gone
// wherever this one is applied. So a write does not name all replicas that there ever were.
func (r *Replica) looksAt(q *request, rec *record, w *Write) {
	if len(rec.parts) == 0 {
		return
	}
	seen := r.seenBy(q)
	for i := range rec.parts {
		if stamp := seen.At(rec.parts[i].Replica); stamp > 0 {
			w.Seen.Raise(rec.parts[i].Replica, stamp)
		}
	}
}

// seenBy is what a command replaces: what its context holds, or else all that this replica does.
func (r *Replica) seenBy(q *request) Vector {
	if q.context != nil {
		return q.context
	}
	seen := slices.Clone(r.held)
	if r.ownLast > 0 {
		seen.Raise(r.self, r.ownLast) // the commands before this one are not in the log yet
	}
	return seen
}

// judgeMember says whether a value can be put into a set, or taken out.
func (r *Replica) judgeMember(q *request, o *kv.Op, rec *record, w *Write) (op Op, code kv.Code) {
	_, there := rec.show(r.in.Stamp)
	switch {
	case there && !rec.isSet():
		return op, kv.WrongType
	case o.Kind == kv.OpExclude && !rec.has(o.Value):
		return op, kv.NotFound
	case o.Kind == kv.OpInclude && rec.bytesOf(true)+q.growth > kv.SetMax:
		return op, kv.TooLong // and so are all that follow
	}
	r.looksAt(q, rec, w)
	if o.Kind == kv.OpExclude {
		return Op{Kind: Exclude, Key: o.Key, Value: o.Value}, kv.OK
	}
	q.growth -= partCost + len(o.Value)
	return Op{Kind: Include, Key: o.Key, Value: o.Value}, kv.OK
}

// judgeSibling says whether a value can be put beside others.
func (r *Replica) judgeSibling(q *request, o *kv.Op, rec *record, w *Write) (op Op, code kv.Code) {
	r.looksAt(q, rec, w)
	left, bytes := 0, len(o.Value)
	for _, p := range rec.siblings() {
		if !w.saw(p.Dot) {
			left++
			bytes += p.size()
		}
	}
	if left >= kv.SiblingsMax || left > 0 && bytes > kv.SiblingsBytesMax {
		return op, kv.TooLong
	}
	return Op{Kind: Sibling, Key: o.Key, Value: o.Value, Flags: o.Flags}, kv.OK
}

// tooMany tells what has grown too large, and what to do.
func tooMany(kind kv.OpKind) string {
	if kind == kv.OpInclude {
		return fmt.Sprintf("the members of a set may have %d bytes together, with %d more for each; spread them over several keys", kv.SetMax, partCost)
	}
	return fmt.Sprintf("a key may have %d siblings of %d bytes together; read it and write one value with the context of that read", kv.SiblingsMax, kv.SiblingsBytesMax)
}

// openContext reads what a command says that its client had read, which this replica must hold, too, and how far the command lets
// sets grow at most.
func (r *Replica) openContext(q *request) error {
	for i := range q.command.Ops {
		if o := &q.command.Ops[i]; o.Kind == kv.OpInclude {
			q.growth += partCost + len(o.Value)
		}
	}
	switch {
	case r.config.Siblings:
		if err := OffersSiblings(&q.command); err != nil {
			return err
		}
	case len(q.command.Context) > 0:
		return errContext
	}
	if len(q.command.Context) == 0 {
		return nil
	}
	context, err := openToken(r.config.Binding, q.command.Context)
	if err != nil {
		return kv.Errorf(kv.BadToken, "the context is damaged, or of another keyspace; read the key again")
	}
	q.context = r.meta.full(context.Read)
	if q.context == nil {
		q.context = Vector{} // it has read nothing
	}
	if r.options.Mutation == WidenContext {
		q.context = nil
	}
	q.token.Read.Merge(context.Read)
	return nil
}

var errContext = kv.Errorf(kv.Unsupported, "a context is of use only where siblings are kept; gamut keyspace create NAME --consistency causal --conflict siblings makes such a keyspace")

// OffersSiblings says whether a replica that keeps siblings can execute a command that Offers lets pass.
func OffersSiblings(c *kv.Command) error {
	for i := range c.Ops {
		switch o := &c.Ops[i]; {
		case o.Kind == kv.OpIncr || o.Kind == kv.OpCounter:
			return kv.Errorf(kv.Unsupported, "a keyspace that keeps siblings has no counters; one in which the newest value wins can count")
		case o.Kind == kv.OpSet && o.Expiry != kv.ExpireNever:
			return kv.Errorf(kv.Unsupported, "a keyspace that keeps siblings has no time to live; one in which the newest value wins has")
		case o.Kind == kv.OpSet && len(o.Value) > kv.SiblingMax:
			return kv.Errorf(kv.Invalid, "a value of %d bytes; where siblings are kept the limit is %d", len(o.Value), kv.SiblingMax)
		}
	}
	return nil
}

// wrongType tells why an operation does not fit what a key holds.
func wrongType(kind kv.OpKind) string {
	if kind == kv.OpInclude || kind == kv.OpExclude {
		return noSet
	}
	return aSet
}
