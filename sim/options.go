package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/referee"
)

// Second and Millisecond are spans of core.Time.
const (
	Microsecond = core.Time(1e3)
	Millisecond = core.Time(1e6)
	Second      = core.Time(1e9)
)

// Protocol is what the world has to know of a protocol to run its replicas.
type Protocol struct {
	Name string
	// New makes a replica that has not been stepped yet.
	New func(self core.ReplicaID) core.Replica
	// Config is the configuration that a group of these members begins with.
	Config func(members []core.ReplicaID) []byte
	// Decode reads a message that AppendTo encoded.
	Decode func([]byte) (core.Message, error)
	// Read answers a read-only command from the state, as a node's fast path does under core.Leased, at the wall time of the
	// node; needsLog says that it cannot.
	Read func(view core.View, c *kv.Command, wall int64) (r kv.Result, needsLog bool)
	// Here answers a read-only command from the state of a replica as a node's fast path does, where Read does not say all; ok
	// is false if the replica has to. nil: Read does, under core.Leased.
	Here func(r core.Replica, view core.View, c *kv.Command, now host.Now) (result kv.Result, ok bool)
	// Digest sums up that part of a replica's state in which all replicas must be equal in the end, for protocols whose log
	// positions are each replica's own; nil: the whole state, which must be the same at equal positions at all times.
	Digest func(core.View) uint64
	// Families are the keys that clients use, and what they do with them; nil: all that a linearizable keyspace offers.
	Families []Family
	// Level draws what a client asks for with its next operation; nil: LevelDefault.
	Level func(rng *rand.Rand, read bool) kv.Level
	// Dress changes a command that was drawn before it is sent; nil: nothing does.
	Dress func(rng *rand.Rand, c *kv.Command)
	// MergeTokens makes clients carry tokens from answer to command; nil: they have none.
	MergeTokens func(a, b []byte) []byte
	// Views says that the catalog decides who the members of the groups are.
	Views bool
	// Rests says that a replica has nothing left to do when its group is quiet; nil: nobody asks.
	Rests func(core.Replica) bool
	// Bear takes out of the faults that were drawn what the protocol does not promise to bear; nil: it bears all.
	Bear func(*Faults)
	// Sessionless says that a command that is sent again is executed again, so that no client sends one of unknown fate again.
	Sessionless bool
	// Describe is what the catalog says of a group, without its replicas, where it says who they are; nil: it does not.
	Describe func() *keyspace.Descriptor
	// Rosters says that the members of the groups change by a catalog's word, as those of package bayou do.
	Rosters bool
	// Siblings says that writes may carry contexts.
	Siblings bool
	// Companion is the protocol of the groups that those of this one consult, one each; nil: they consult none.
	Companion *Protocol
	// Shards says that the groups are shards of one keyspace: a client carries one token for all of them.
	Shards bool
	// SplitEvery is how often, about, some group is split; 0: never.
	SplitEvery core.Time
	// MergeEvery is how often, about, two neighbours are merged; 0: never.
	MergeEvery core.Time
	// Judge is what the referee has to say of a run; nil: that it is linearizable and durable.
	Judge func(referee.History, referee.Final) []referee.Verdict
	// Position is the log position at which a version was given; nil: the version itself.
	Position func(version uint64) uint64
	// Entry names the log entry that a record makes durable; ok is false for other records. nil: durability is not looked at.
	Entry func(core.Record) (index uint64, hash [32]byte, ok bool)
	// Values makes replicas keep long values outside; nil: in their states.
	Values *Values
	// Look shows the inside of a replica to the checkers; nil: only what every protocol has in common is checked.
	Look func(core.Replica) Inside
}

// Family is a set of keys with the same operations on them, so that the referee can say most: one key for each group, named
// by the family's letter and the group.
type Family struct {
	Letter string
	Kinds  []referee.Kind
	// Mortal keys are written with a time to live, which the model of the referee does not know: they are not recorded.
	Mortal bool
	// White: only replicas from inside tell whether they keep the family's promise, and it is not recorded either.
	White bool
}

// Inside is what the checkers of the white box may see of a replica.
type Inside struct {
	// Leads says that the replica believes that it leads, under Ballot, which no other replica may ever do.
	Leads  bool
	Ballot Ballot
	// Promised never decreases, as far as it was made durable.
	Promised Ballot
	// Applied is the log position of the state, Hash the hash of the block there; equal positions must have equal hashes.
	Applied uint64
	Hash    [32]byte
	// Commit is at least Applied and never decreases while the process lives.
	Commit uint64
	// Durable is the log position up to which the replica believes its log to be on disk, DurableHash the hash of its
	// entry there; zero if it does not hold that entry any more.
	Durable     uint64
	DurableHash [32]byte
	// Time is the time of the block at Applied; no block behind it has a time up to Safe, nor ever will. 0: nothing is said.
	Time, Safe kv.HLC
	// Voters are the members that decide, while no change of them is under way; nil: nothing is said.
	Voters []core.ReplicaID
}

// Ballot is a round and the replica that may lead in it.
type Ballot struct {
	Round   uint64
	Replica core.ReplicaID
}

// Less orders ballots.
func (b Ballot) Less(c Ballot) bool {
	return b.Round < c.Round || (b.Round == c.Round && b.Replica < c.Replica)
}

// Options say what to run. Zero values are drawn from the seed or have the default named.
type Options struct {
	Seed     uint64
	Protocol Protocol
	// Nodes defaults to 3 or 5, Groups to 1 to 3, Clients to 3 to 8.
	Nodes, Groups, Clients int
	// Work is what clients do; nil: what the protocol's families say.
	Work *Work
	// Think is the mean pause between a client's operations. Default 10 to 90 ms, drawn for each client.
	Think core.Time
	// Faulty is how long the safety phase lasts. Default 6 s.
	Faulty core.Time
	// Changes ends the safety phase earlier, when the members of groups have changed so often; 0: it does not.
	Changes int
	// Faults are drawn from the seed unless given.
	Faults *Faults
	// Without names faults that are left out of what was drawn.
	Without []string
	// only are the classes of faults that are left in what was drawn; nil: all. See Only.
	only []string
	// laxViews lets views name whom they like, as a catalog would whose records were not changed under conditions: a planted bug.
	laxViews bool
	// oneReleases lets the log of a node drop a segment that one group needs no more: a planted bug.
	oneReleases bool
	// HealMax bounds the time from the heal until every node takes writes again, and again until all replicas are
	// equal. Default 10 s.
	HealMax core.Time
	// Mutate plants a bug around each replica, for tests of the checkers.
	Mutate func(core.Replica) core.Replica
	// Trace keeps the last TraceLines lines of the trace; a failing run is repeated with it.
	Trace      bool
	TraceLines int
}

// faultyDefault is how long the safety phase lasts.
const faultyDefault = 6 * Second

func (o Options) withDefaults(rng *rand.Rand) Options {
	draw := func(at *int, low, high int) {
		n := low + rng.IntN(high-low+1)
		if *at == 0 {
			*at = n
		}
	}
	nodes := 3
	if rng.IntN(5) == 0 || slices.Contains(o.only, "members") {
		nodes = 5 // members can change only where not all nodes are voters
	}
	if o.Nodes == 0 {
		o.Nodes = nodes
	}
	if o.Work != nil && o.Protocol.MergeTokens != nil && !o.Protocol.Shards {
		o.Groups = 1 // what a session has seen in one group does not bind another
	}
	draw(&o.Groups, 1, 3)
	draw(&o.Clients, 3, 8)
	if o.Faulty == 0 {
		o.Faulty = faultyDefault
	}
	if o.HealMax == 0 {
		o.HealMax = 10 * Second
	}
	if o.TraceLines == 0 {
		o.TraceLines = 400
	}
	if o.Faults == nil {
		f := drawFaults(rng, o.Nodes)
		if o.Protocol.Bear != nil {
			o.Protocol.Bear(&f)
		}
		if o.Work != nil {
			o.Work.bear(&f)
		}
		f.leaveOut(o.Without)
		if o.only != nil {
			f.keep(o.only, rng)
			if o.Protocol.Bear != nil {
				o.Protocol.Bear(&f)
			}
			if o.Work != nil {
				o.Work.bear(&f)
			}
		}
		o.Faults = &f
	}
	return o
}

func (o *Options) String() string {
	work := ""
	if o.Work != nil {
		work = ", workloads " + o.Work.names()
	}
	return fmt.Sprintf("protocol %s, %d nodes, %d groups, %d clients%s, faults %s", o.Protocol.Name, o.Nodes, o.Groups, o.Clients, work, o.Faults)
}

// stream is the random stream of one concern, so that drawing more in one does not shift the others.
func stream(seed uint64, concern string, n int) *rand.Rand {
	h := uint64(14695981039346656037)
	for _, c := range []byte(concern) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return rand.New(rand.NewPCG(seed, h+uint64(n)*0x9e3779b97f4a7c15))
}
