// Package txn coordinates atomic transactions over any number of groups.
//
// It is Paxos Commit (Gray and Lamport, 2006) with the votes as records of the participants' own logs: a group that votes
// yes locks the keys of its part and keeps the vote in its state, where every replica of the group has it. The outcome is
// commit if and only if every participant has voted yes. So the coordinator holds nothing that could be lost: whoever meets
// the locks of one that is gone asks all participants, has those refuse that have not voted, and knows the outcome.
//
// Others rely on this: two coordinators and recoverers of one transaction never decide differently, whatever is lost, late
// or repeated; what is told as aborted takes effect nowhere, now or later.
//
// A Coordinator is a state machine like the replicas: answers of groups in, commands to groups out; package node drives it
// with real groups, package sim with a seed. The groups' side is package machine. Rule ids (V1 to V9) and trap ids (T2.7) are
// those of docs/TRANSACTIONS.md. Start with Begin and Coordinator.Answer, then Recover; Divide makes the parts.
package txn

import (
	"slices"

	"github.com/gamutdb/gamut/kv"
)

// Part is what a transaction does in one group.
type Part struct {
	Group uint64
	Conds []kv.Cond
	Ops   []kv.Op
}

// Send is a command on its way to a group. Commands are safe to send again.
type Send struct {
	Group   uint64
	Command kv.Command
	// ask tells the answer apart from those to earlier commands.
	ask int
}

// Outcome is what is known of the end of a transaction.
type Outcome uint8

// Outcomes. What is decided stays so.
const (
	// Open: not decided, as far as is known here.
	Open Outcome = iota
	Committed
	Aborted
)

var outcomeNames = [...]string{"open", "committed", "aborted"}

// String is the outcome in a word.
func (o Outcome) String() string { return outcomeNames[o] }

// participant is a group as a coordinator knows it.
type participant struct {
	part Part
	// vote is what the group said last; never says that it certainly will not vote, for it did not take the command.
	vote  kv.TxState
	never bool
	// asked is the step that it has not answered, ask the number of the command; 0: none.
	asked kv.TxStep
	ask   int
	// results are those of its operations, with a vote of yes.
	results []kv.Result
	// none says that the group remembers nothing of so old a transaction.
	none bool
	// told the outcome; forgotten says that the group keeps no more than a mark, or was asked to.
	told, forgotten bool
}

// Gone answers for a group whose keyspace was dropped. Before that it was sealed, and held nothing that was open elsewhere (rule V9):
// whatever it voted yes for has ended everywhere. So it is a group that remembers nothing, and what the others say afterwards tells
// whether the transaction was committed before, or never voted for: who asks may be a coordinator that has not heard of the end.
func Gone(step kv.TxStep, commit bool, m Mutation) kv.Result {
	switch {
	case step == kv.TxForget || commit:
		return kv.Result{Tx: &kv.TxAnswer{State: kv.TxCommitted}}
	case m == GoneMeansNo:
		return kv.Result{Tx: &kv.TxAnswer{State: kv.TxRefused, Reason: kv.TxDropped}}
	}
	return kv.Result{Tx: &kv.TxAnswer{State: kv.TxNone, Reason: kv.TxDropped}}
}

// Coordinator brings one attempt of a transaction to its end.
type Coordinator struct {
	id      kv.TxID
	list    []*participant
	outcome Outcome
	// recovering: the participants are asked to refuse if they have not voted (rule V3).
	recovering bool
	// doubt: a group remembers nothing. What the others had said before is not counted any more.
	doubt    bool
	refusal  Refusal
	mutation Mutation
	asks     int
}

// Refusal says why an attempt was aborted.
type Refusal struct {
	// Group voted no for Reason, or did not take the command for what Result says.
	Group  uint64
	Reason kv.TxReason
	// Cond is the place in the group's part of a condition that does not hold.
	Cond   int
	Result kv.Result
}

// Begin begins an attempt.
func Begin(id kv.TxID, parts []Part, m Mutation) (*Coordinator, []Send) {
	c := &Coordinator{id: id, mutation: m}
	for _, p := range parts {
		c.list = append(c.list, &participant{part: p})
	}
	groups := c.Groups()
	var out []Send
	for _, p := range c.list {
		out = append(out, c.ask(p, kv.Command{Tx: &kv.Tx{Step: kv.TxPrepare, ID: id, Participants: groups}, Conds: p.part.Conds, Ops: p.part.Ops}))
	}
	return c, out
}

// Recover begins to find out what becomes of a transaction that somebody else coordinates, or did (rule V3). Participants that
// are not known yet are learned from the others.
func Recover(id kv.TxID, groups []uint64, m Mutation) (*Coordinator, []Send) {
	c := &Coordinator{id: id, mutation: m, recovering: true}
	return c, c.meet(groups)
}

// meet asks groups that were not known to be participants.
func (c *Coordinator) meet(groups []uint64) (out []Send) {
	for _, g := range groups {
		if c.participant(g) == nil {
			p := &participant{part: Part{Group: g}}
			c.list = append(c.list, p)
			out = append(out, c.step(p, kv.TxRefuse))
		}
	}
	return out
}

func (c *Coordinator) ask(p *participant, command kv.Command) Send {
	c.asks++
	p.asked, p.ask = command.Tx.Step, c.asks
	return Send{p.part.Group, command, c.asks}
}

func (c *Coordinator) step(p *participant, step kv.TxStep) Send {
	return c.ask(p, kv.Command{Tx: &kv.Tx{Step: step, ID: c.id, Commit: c.outcome == Committed}})
}

func (c *Coordinator) participant(group uint64) *participant {
	if i := slices.IndexFunc(c.list, func(p *participant) bool { return p.part.Group == group }); i >= 0 {
		return c.list[i]
	}
	return nil
}

// ID is the attempt's.
func (c *Coordinator) ID() kv.TxID { return c.id }

// Groups are the participants, as far as they are known.
func (c *Coordinator) Groups() (groups []uint64) {
	for _, p := range c.list {
		groups = append(groups, p.part.Group)
	}
	return groups
}

// Outcome is what is known of the end.
func (c *Coordinator) Outcome() Outcome { return c.outcome }

// Refusal says why the attempt was aborted; zero if nobody said so.
func (c *Coordinator) Refusal() Refusal { return c.refusal }

// Done reports whether nothing more is awaited.
func (c *Coordinator) Done() bool {
	return !slices.ContainsFunc(c.list, func(p *participant) bool { return p.asked != 0 })
}

// Results are those of a group's operations; nil if they were lost with an answer.
func (c *Coordinator) Results(group uint64) []kv.Result {
	if p := c.participant(group); p != nil {
		return p.results
	}
	return nil
}

// Answer takes a group's answer to a command, and says what follows. An answer counts only if nothing was sent since.
func (c *Coordinator) Answer(s *Send, r *kv.Result) []Send {
	p := c.participant(s.Group)
	if p == nil || p.ask != s.ask {
		return nil
	}
	p.asked, p.ask = 0, 0
	out := c.learn(p, s.Command.Tx.Step, r)
	return append(out, c.proceed()...)
}

// learn takes note of an answer.
func (c *Coordinator) learn(p *participant, step kv.TxStep, r *kv.Result) []Send {
	if r.Tx == nil {
		if step == kv.TxPrepare && r.Code.Refused() {
			p.never = true
			c.refuse(Refusal{Group: p.part.Group, Result: *r})
		}
		return nil // not known: who asks again later will
	}
	p.vote = r.Tx.State
	if r.Tx.State == kv.TxYes && step == kv.TxPrepare {
		p.results = r.Items
		if p.results == nil {
			p.results = []kv.Result{}
		}
	}
	switch r.Tx.State {
	case kv.TxNone:
		p.none, p.forgotten = true, true
		if r.Tx.Reason == kv.TxDropped {
			c.refuse(Refusal{Group: p.part.Group, Reason: kv.TxDropped}) // if it comes to that
		}
		return c.askAgain()
	case kv.TxRefused, kv.TxAborted:
		p.never = true
		c.refuse(Refusal{Group: p.part.Group, Reason: r.Tx.Reason, Cond: int(r.Tx.Cond), Result: kv.Result{Code: kv.Aborted}})
	case kv.TxCommitted:
		p.forgotten = len(r.Tx.Participants) == 0
	}
	if c.recovering {
		return c.meet(r.Tx.Participants)
	}
	return nil
}

// askAgain asks the others when a group remembers nothing. What is committed is remembered until it is forgotten, and that is
// not before all know of it: so either the group has forgotten, or it never voted yes, and a vote that another one still has
// without knowing an outcome tells which. A vote that was told earlier does not: it may have been forgotten since.
func (c *Coordinator) askAgain() (out []Send) {
	if c.doubt || c.outcome != Open {
		return nil
	}
	c.doubt, c.recovering = true, true
	for _, p := range c.list {
		if !p.none && !p.never && p.vote != kv.TxCommitted {
			p.vote = kv.TxNone
			out = append(out, c.step(p, kv.TxRefuse))
		}
	}
	return out
}

// TooOld reports whether no participant remembers anything.
func (c *Coordinator) TooOld() bool {
	return !slices.ContainsFunc(c.list, func(p *participant) bool { return !p.none })
}

// refuse keeps the first reason for an abort, and one that is the client's own doing before others.
func (c *Coordinator) refuse(r Refusal) {
	if c.refusal.Group == 0 || r.Reason == kv.TxCondition && c.refusal.Reason != kv.TxCondition {
		c.refusal = r
	}
}

// proceed decides if it can, and does what the decision asks for.
func (c *Coordinator) proceed() []Send {
	if c.outcome == Open {
		c.decide()
	}
	switch {
	case c.outcome == Committed:
		return c.finish()
	case c.outcome == Aborted:
		return c.abandon()
	case c.Done() && !c.recovering && c.mutation != AbortWhenUnknown:
		// Some vote is not known. What the group did not vote it must refuse now, or the client could be told nothing.
		return c.StopWaiting()
	}
	return nil
}

// decide is rule V2: commit if and only if every participant has voted yes.
func (c *Coordinator) decide() {
	yes, known := true, false
	for _, p := range c.list {
		switch {
		case p.vote == kv.TxCommitted:
			c.outcome = Committed
			return
		case p.never:
			known = true
		case p.vote != kv.TxYes, p.none:
			yes = false
		}
	}
	switch {
	case known, c.doubt && c.votes() > 0, c.mutation == AbortWhenUnknown && !yes && c.Done():
		c.outcome = Aborted
	case c.recovering && c.mutation == CommitOnlyWhatIsCommitted && c.Done():
		c.outcome = Aborted
	case yes && (!c.recovering || c.Done()):
		c.outcome = Committed
	case c.mutation == CommitWithoutAll && c.votes() > len(c.list)/2:
		c.outcome = Committed
	}
}

func (c *Coordinator) votes() (yes int) {
	for _, p := range c.list {
		if p.vote == kv.TxYes {
			yes++
		}
	}
	return yes
}

// finish tells the participants of the commit, and lets them forget once all of them know (rule V4).
func (c *Coordinator) finish() (out []Send) {
	all := true
	for _, p := range c.list {
		all = all && (p.vote == kv.TxCommitted || p.forgotten)
		if p.vote == kv.TxYes && p.asked == 0 && !p.told {
			p.told = true // once: a group that does not hear it is found by the sweep of its leader
			out = append(out, c.step(p, kv.TxResolve))
		}
	}
	for _, p := range c.list {
		if (all || c.mutation == ForgetEarly && p.vote == kv.TxCommitted) && !p.forgotten && p.asked == 0 {
			p.forgotten = true
			out = append(out, c.step(p, kv.TxForget))
		}
	}
	return out
}

// abandon releases what was locked. One that is still asked for its vote is told as well, for it may vote yes.
func (c *Coordinator) abandon() (out []Send) {
	for _, p := range c.list {
		if p.never || p.none || p.told || (p.asked != 0 && p.asked != kv.TxPrepare) {
			continue
		}
		p.told = true
		out = append(out, c.step(p, kv.TxResolve))
	}
	return out
}

// StopWaiting ends the time for votes: participants that have not voted must refuse (rule V3).
func (c *Coordinator) StopWaiting() (out []Send) {
	if c.outcome != Open {
		return nil
	}
	c.recovering = true
	for _, p := range c.list {
		if !p.never && !p.none && p.asked != kv.TxRefuse {
			out = append(out, c.step(p, kv.TxRefuse))
		}
	}
	return out
}
