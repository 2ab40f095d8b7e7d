package paxos

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

// A split is a block of the parent's log (rules P1 to P7). Whoever applies it has, from then on, one group more to run: the child,
// with the same members, whose chain begins behind that block's index. No lease needs to be waited for. Nobody knows that the block
// is committed before the leader that committed it has told its own readers what it gave away; an earlier leader's lease has run
// out before a later leader commits anything.

// splitWish is a split that a leader was asked for.
type splitWish struct {
	core.Split
	// since is when it was asked for, index the latest block that tried it.
	since core.Time
	index uint64
}

// holdEvery is how often votes are held back for a split, each time for as long as one waits at most: a transaction that cannot end
// must not slow all others down for as long as it lasts.
const holdEvery = 10 * prepareWait

// holdsVotes says that no transaction is voted on now, so that the locks go away that a split or a merge waits for (rules P4, G2).
func (r *Replica) holdsVotes() bool {
	switch {
	case r.lead.split != nil:
		return (r.in.Now-r.lead.split.since)%holdEvery < prepareWait
	case r.lead.retire != nil:
		return (r.in.Now-r.lead.retire.since)%holdEvery < prepareWait
	}
	return false
}

// onSplit takes note that the keys from one on are to be another group's. Like a change of members it is forgotten with the
// leadership: whoever wants it asks again until the bounds say so.
func (r *Replica) onSplit(e core.Split) {
	if r.role != Leader || r.lead.split != nil || !r.machine.Bounds.Divides(e.Key) {
		return
	}
	r.lead.split = &splitWish{Split: e, since: r.in.Now}
}

// trySplit proposes the split when nothing is in its way.
func (r *Replica) trySplit() {
	w := r.lead.split
	switch {
	case w == nil || r.lead.handoffTo != 0 || r.config.joint() || r.applied.Index < max(r.lead.first, w.index):
	case !r.machine.Bounds.Divides(w.Key):
		r.lead.split, r.lead.unlocked = nil, true
	case r.locks == 0 && len(r.lead.lockers) == 0 || r.options.Split == machine.SplitOverLocks:
		r.appendBlock(Split, appendSplit(nil, r.founded(w.Split)), r.stamp())
		w.index = r.log.last().Index
	}
}

// onWeaned proposes to free the state of what a child has by now. It is a block, so that the states of all replicas stay alike: what
// is sent to one that lags is of one position, whoever sends it, and holds what the child may still need of it (rule P7).
func (r *Replica) onWeaned(child core.GroupID) {
	if r.role != Leader || r.lead.handoffTo != 0 || r.applied.Index < max(r.lead.first, r.lead.weaned) || !machine.Born(r.in.View, uint64(child)) {
		return
	}
	r.appendBlock(Weaned, binary.BigEndian.AppendUint64(nil, uint64(child)), r.stamp())
	r.lead.weaned = r.log.last().Index
}

// founded is a split whose child has the voters of this group. Those that the catalog names may be others: of a group that was made to
// go on without its majority (rule M8) the child could not, and its keys would be served by nobody.
func (r *Replica) founded(s core.Split) core.Split {
	c, err := DecodeConfig(s.Config)
	if err != nil {
		panic("paxos: configuration of a split: " + err.Error())
	}
	if slices.Equal(ordered(c.Voters), ordered(r.config.Voters)) {
		return s
	}
	if c.Voters = r.config.Voters; !c.votes(c.Preferred) {
		c.Preferred = 0
	}
	s.Config = c.AppendTo(nil)
	return s
}

func appendSplit(b []byte, s core.Split) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(s.Child))
	b = binary.AppendUvarint(b, uint64(len(s.Key)))
	return append(append(b, s.Key...), s.Config...)
}

func decodeSplit(b []byte) (s core.Split, err error) {
	if len(b) < 9 {
		return s, errBlock
	}
	s.Child = core.GroupID(binary.BigEndian.Uint64(b))
	n, used := binary.Uvarint(b[8:])
	if rest := b[8+max(used, 0):]; used > 0 && n <= uint64(len(rest)) {
		s.Key, s.Config = rest[:n:n], rest[n:]
		return s, nil
	}
	return s, errBlock
}

// applySplit divides the state, and lays aside where the child's chain begins: at this block's index, so that its versions and
// its times go on upward (rule P6).
func (r *Replica) applySplit(b *Block) {
	s, err := decodeSplit(b.Payload)
	if err != nil {
		panic(fmt.Sprintf("paxos: block %d: %v", b.Index, err))
	}
	at := position{Index: b.Index, Time: b.Time, Hash: sha256.Sum256(append(append([]byte("gamut split"), b.Hash[:]...), s.Config...))}
	switch r.options.Split {
	case machine.SplitTimeAnew:
		at.Time = 1
	case machine.SplitVersionsAnew:
		at.Index = 1
	}
	done := r.machine.Split(uint64(s.Child), s.Key, []core.Change{
		{Key: core.AppliedKey, Value: appendMeta(nil, at)}, {Key: configKey, Value: s.Config}})
	if done {
		r.out.Note(core.SplitNote{Child: s.Child, Key: s.Key})
	}
}

// blank says that this is the replica of a child that has not begun with what its parent laid aside: it may vote for one that has,
// for it never accepted anything, and must not lead (rule P5).
func (r *Replica) blank() bool {
	return r.config.Split && r.log.last().Index == 0 && r.options.Split != machine.SplitBlankLeads
}

// sampleEvery is how many commands go by between two samples, samplesMax how many are kept.
const sampleEvery, samplesMax = 61, 512

// written counts what a leader has executed.
type written struct {
	commands, bytes uint64
	samples         [][]byte
	// executed counts all, whoever led.
	executed uint64
}

// countWrite takes note of a command that somebody waits for.
func (r *Replica) countWrite(command []byte) {
	w := &r.written
	w.commands++
	w.bytes += uint64(len(command))
	if w.commands%sampleEvery != 0 {
		return
	}
	var c kv.Command
	if kv.DecodeCommand(command, &c) != nil || c.ReadOnly() {
		return
	}
	first := true
	c.Keys(func(key []byte) {
		if !first {
			return
		}
		first = false
		if len(w.samples) < samplesMax {
			w.samples = append(w.samples, bytes.Clone(key))
		} else {
			w.samples[w.commands/sampleEvery%samplesMax] = bytes.Clone(key)
		}
	})
}

// Written is how many commands this replica has executed as a leader in this life, and their bytes; samples are keys of the latest, the oldest first.
func (r *Replica) Written() (commands, bytes uint64, samples [][]byte) {
	w := &r.written
	if len(w.samples) < samplesMax {
		return w.commands, w.bytes, slices.Clone(w.samples)
	}
	oldest := (w.commands/sampleEvery + 1) % samplesMax
	return w.commands, w.bytes, slices.Concat(w.samples[oldest:], w.samples[:oldest])
}

// Executed is how many commands this replica has executed in this life, whoever led.
func (r *Replica) Executed() uint64 { return r.written.executed }

// Bounds are the keys of the group as of what is applied; nil: it was never split.
func (r *Replica) Bounds() *machine.Bounds { return r.machine.Bounds }

// Readable reports whether all that a command reads is the group's as of what is applied.
func (r *Replica) Readable(c *kv.Command) bool {
	return r.machine.Bounds.Whole(c) || r.options.Split == machine.SplitKeepsReading || r.options.Merge == machine.MergeKeepsReading
}

// loadState takes over what the state holds: all but the position of a replica that never ran is there only if a split has made it.
func (r *Replica) loadState() {
	if b, ok := r.in.View.Get(core.AppliedKey); ok {
		r.applied = decodeMeta(b)
		r.log.base = r.applied
		r.commit = r.applied.Index
	}
	if b, ok := r.in.View.Get(configKey); ok {
		c, err := DecodeConfig(b)
		if err != nil {
			panic("paxos: configuration in the state: " + err.Error())
		}
		r.config, r.configs = c, []placedConfig{{r.applied.Index, c}}
	}
	r.takeBounds()
}

// takeBounds takes over what the state says of the group's keys.
func (r *Replica) takeBounds() {
	r.machine.Bounds, r.machine.Lift = machine.BoundsOf(r.in.View), machine.LiftOf(r.in.View)
	r.retired = machine.RetiredOf(r.in.View) != nil && r.options.Merge != machine.MergeWithoutFreeze
}
