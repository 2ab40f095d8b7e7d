package referee

const (
	holdsWant     = string(Holds)
	brokenWant    = string(Broken)
	undecidedWant = string(Undecided)
)

var scripts = []script{
	{"linearizable", "a read after a write", holdsWant, `
a 1-2 set x=1
b 3-4 get x=1`},
	{"linearizable", "a stale read", brokenWant, `
a 1-2 set x=1
a 3-4 set x=2
b 5-6 get x=1`},
	{"linearizable", "a weaker read proves nothing", holdsWant, `
a 1-2 set x=1
a 3-4 set x=2
b 5-6 get x=1 l=eventual`},
	{"linearizable", "a key may end when its time is over", holdsWant, `
a 1-2 set x=1 ttl=1000
b 3-4 get x=1
b 5-6 get x=-`},
	{"linearizable", "a key ends once", brokenWant, `
a 1-2 set x=1 ttl=1000
b 3-4 get x=-
b 5-6 get x=1`},
	{"linearizable", "a key without a time to live does not end", brokenWant, `
a 1-2 set x=1
b 3-4 get x=-`},
	{"linearizable", "a key does not end long before its time", brokenWant, `
a 1-2 set x=1 ttl=9000
b 3-4 get x=-`},
	{"linearizable", "a create behind an ended key", holdsWant, `
a 1-2 set x=1 ttl=1000
b 3-4 create x=2
c 5-6 get x=2`},
	{"linearizable", "keys of a txn", brokenWant, `
a 1-2 txn set x=1; set y=1
b 3-4 get y=-`},

	{"sets", "members come and go", holdsWant, `
a 1-2 include s=m
b 1-4 include s=n
a 3-4 exclude s=m
a 5-6 members s=n
b 7-8 exclude s=m none
final s=n`},
	{"sets", "a removal that had not seen it", brokenWant, `
a 1-2 include s=m
b 3-4 exclude s=m none
final s=-`},
	{"sets", "a deletion before it was put there", brokenWant, `
b 1-2 delete s
a 3-4 include s=m
final s=-`},
	{"sets", "a deletion that may have seen it", holdsWant, `
b 1-4 delete s
a 3-4 include s=m
final s=-`},
	{"sets", "a member that comes back", brokenWant, `
a 1-2 include s=m
b 3-4 exclude s=m
final s=m`},
	{"sets", "a member that was put there again", holdsWant, `
a 1-2 include s=m
b 3-4 exclude s=m
a 5-6 include s=m
final s=m`},
	{"sets", "a plain write that may have seen it", holdsWant, `
b 1-4 set s=v
a 3-4 include s=m
final s=-`},
	{"sets", "what one command replaces, and puts there", holdsWant, `
a 1-2 include s=m
b 3-4 txn delete s; include s=n
final s=n`},
	{"sets", "what one command puts there, and does not take away itself", brokenWant, `
a 1-2 include s=m
b 3-4 txn exclude s=m; include s=n
final s=-`},
	{"sets", "a removal of unknown fate", holdsWant, `
a 1-2 include s=m
b 3-4? exclude s=m
final s=-`},
	{"sets", "a member from nowhere", brokenWant, `
a 1-2! include s=m
b 3-4 members s=m`},
	{"sets", "another session may lag", holdsWant, `
a 1-2 include s=m
b 3-4 members s=
final s=m`},
	{"sets", "a session that does not see its own addition", brokenWant, `
a 1-2 include s=m
a 3-4 members s=`},
	{"sets", "a session that sees what it took away", brokenWant, `
a 1-2 include s=m
b 3-4 exclude s=m
b 5-6 members s=m`},
	{"sets", "a weaker read", holdsWant, `
a 1-2 include s=m
a 3-4 members s= l=eventual`},

	{"strict-serializable", "reads of both keys of a txn", holdsWant, `
a 1-2 txn set x=1 v1; set y=1 v1
b 3-4 txn get x=1 v1; get y=1 v1`},
	{"strict-serializable", "a stale read", brokenWant, `
a 1-2 set x=1 v1
a 3-4 set x=2 v2
b 5-6 get x=1 v1`},
	{"strict-serializable", "two keys against real time", brokenWant, `
a 1-2 set x=1 v1
b 3-4 set y=1 v2
c 1-6 txn get x=-; get y=1 v2`},
	{"strict-serializable", "concurrent operations may go either way", holdsWant, `
a 1-9 set x=1 v1
b 2-8 set x=2 v2
c 3-4 get x=2 v2`},
	{"strict-serializable", "an unknown write may come late", holdsWant, `
a 1-2? set x=1
b 3-4 get x=-
b 5-6 get x=1 v7`},
	{"strict-serializable", "an unknown write does not come and go", brokenWant, `
a 1-2? set x=1
b 3-4 get x=1 v7
b 5-6 get x=-`},
	{"strict-serializable", "without versions the order of writes is not known", undecidedWant, `
a 1-2 set x=1
a 3-4 set x=2
b 5-6 get x=1`},

	{"serializable", "a read in the past is allowed", holdsWant, `
a 1-2 append x=<1>
a 3-4 append x=<2>
b 5-6 txn get x=<1>
b 7-8 txn get x=<1><2>`},
	{"serializable", "two transactions overwrite each other", "G0", `
a 1-2 txn set x=1 v1; set y=1 v2
b 1-2 txn set x=2 v2; set y=2 v1`},
	{"serializable", "a read of what was refused", "G1a", `
a 1-2! txn append x=<1>
b 3-4 txn get x=<1>`},
	{"serializable", "a read of what its writer changed again", "G1b", `
a 1-2 txn append x=<1>; append x=<2>
b 1-2 txn get x=<1>`},
	{"serializable", "two transactions see each other", "G1c", `
a 1-2 txn append x=<1>; get y=<2>
b 1-2 txn append y=<2>; get x=<1>`},
	{"serializable", "a transaction sees half of another one", "G-single", `
a 1-2 txn append x=<1>; append y=<2>
b 1-2 txn get x=<1>; get y=-`},
	{"serializable", "a lost update", "G-single", `
a 1-2 txn get x=-; append x=<1>
b 1-2 txn get x=-; append x=<2>
c 3-4 txn get x=<1><2>`},
	{"serializable", "write skew", "G2", `
a 1-2 txn get x=-; append y=<1>
b 1-2 txn get y=-; append x=<2>
c 3-4 txn get x=<2>; get y=<1>`},
	{"serializable", "lists that do not agree", "incompatible order", `
a 1-2 append x=<1>
b 1-2 append x=<2>
c 3-4 get x=<1><2>
d 3-4 get x=<2><1>`},
	{"serializable", "an append twice in a list", "duplicate", `
a 1-2 append x=<1>
c 3-4 get x=<1><1>`},
	{"serializable", "a read of nobody's write", "ThinAirRead", `
a 1-2 append x=<1>
c 3-4 get x=<7>`},

	{"totals", "money moves", holdsWant, `
bank 10 x y
a 1-2 txn set x=5; set y=5
b 3-4 txn incr x+-2=3; incr y+2=7
c 5-6 txn get x=3; get y=7
final x=3 y=7`},
	{"totals", "money is made", brokenWant, `
bank 10 x y
c 5-6 txn get x=5; get y=7`},
	{"totals", "money is gone at the end", brokenWant, `
bank 10 x y
c 5-6 txn get x=5; get y=5
final x=5 y=4`},
	{"totals", "nobody looked", undecidedWant, `
bank 10 x y
c 5-6 get x=5`},

	{"sequential", "a session may lag behind", holdsWant, `
a 1-2 set x=1 v1
a 3-4 set x=2 v2
b 5-6 get x=1 v1
b 7-8 get x=2 v2`},
	{"sequential", "a session goes back", brokenWant, `
a 1-2 set x=1 v1
a 3-4 set x=2 v2
b 5-6 get x=2 v2
b 7-8 get x=1 v1`},
	{"sequential", "Dekker over two shards, both stale", brokenWant, `
a 1-2 set x=1 v1
b 1-2 set y=1 v1
a 3-4 get y=-
b 3-4 get x=-`},
	{"sequential", "two readers disagree on the order of two writers", brokenWant, `
a 1-2 set x=1 v1
b 1-2 set y=1 v1
c 3-4 get x=1 v1
c 5-6 get y=-
d 3-4 get y=1 v1
d 5-6 get x=-`},
	{"sequential", "a session that moves between clients and nodes", brokenWant, `
a 1-2 set x=1 v1 @1 s=token
b 3-4 get x=- @2 s=token`},
	{"sequential", "a delete may be what a read saw", holdsWant, `
a 1-2 set x=1 v1
a 3-4 delete x v2
b 5-6 get x=-
b 7-8 get x=-`},
	{"sequential", "an unknown write binds nobody before it is seen", holdsWant, `
a 1-2? set x=1
a 3-4 get x=-
b 5-6 get x=1 v1
a 7-8 get x=1 v1`},
	{"sequential", "a chain of unknown compare-and-sets", holdsWant, `
a 1-2 set x=1 v1
a 3-4? cas x=1>2
b 5-6? cas x=2>3
c 7-8 cas x=3>4 v9
d 9-10 get x=4 v9`},

	{"read-your-writes", "the write or a newer one", holdsWant, `
a 1-2 set x=1 v1 @1
b 1-2 set x=2 v2 @2
a 3-4 get x=2 v2 @3`},
	{"read-your-writes", "the write is not there on another node", brokenWant, `
a 1-2 set x=1 v1 @1
a 3-4 get x=- @2`},
	{"read-your-writes", "a delete must be seen too", brokenWant, `
a 1-2 set x=1 v1
a 3-4 delete x v2
a 5-6 get x=1 v1`},
	{"read-your-writes", "an append must be seen", brokenWant, `
a 1-2 append x=<1>
b 1-2 append x=<2>
a 3-4 get x=<2>`},

	{"monotonic-reads", "other sessions may lag", holdsWant, `
a 1-2 set x=1 v1
a 3-4 set x=2 v2
b 5-6 get x=2 v2
c 5-6 get x=1 v1`},
	{"monotonic-reads", "back after a move", brokenWant, `
a 1-2 set x=1 t1@1
a 3-4 set x=2 t2@1
b 5-6 get x=2 t2@1 @1
b 7-8 get x=1 t1@1 @2`},
	{"monotonic-reads", "sessions that disagree on the order of two writers are allowed", holdsWant, `
a 1-2 set x=1 v1
b 1-2 set y=1 v1
c 3-4 get x=1 v1
c 5-6 get y=-
d 3-4 get y=1 v1
d 5-6 get x=-`},

	{"monotonic-writes", "in order", holdsWant, `
a 1-2 set x=1 t1@1
a 3-4 set x=2 t2@2
b 5-6 get x=2 t2@2`},
	{"monotonic-writes", "stamped before the session's earlier write", brokenWant, `
a 1-2 set x=1 t5@1 @1
a 3-4 set x=2 t2@2 @2`},
	{"monotonic-writes", "a node has the later write and not the earlier one", brokenWant, `
a 1-2 set x=1 t1@1 @1
a 3-4 set y=1 t2@2 @2
b 5-6 get y=1 t2@2 @2
b 7-8 get x=- @2`},
	{"monotonic-writes", "another node may not have come that far", holdsWant, `
a 1-2 set x=1 t1@1 @1
a 3-4 set y=1 t2@2 @2
b 5-6 get y=1 t2@2 @2
b 7-8 get x=- @3`},

	{"writes-follow-reads", "in order", holdsWant, `
a 1-2 set x=1 t1@1
b 3-4 get x=1 t1@1
b 5-6 set x=2 t2@2`},
	{"writes-follow-reads", "stamped before what it answers", brokenWant, `
a 1-2 set x=1 t5@1
b 3-4 get x=1 t5@1
b 5-6 set x=2 t2@2`},
	{"writes-follow-reads", "an answer without its question", brokenWant, `
a 1-2 set x=1 t1@1 @1
b 3-4 get x=1 t1@1 @1
b 5-6 set y=1 t2@2 @2
c 7-8 get y=1 t2@2 @2
c 9-10 get x=- @2`},

	{"causal", "readers disagree on the order of two writers", holdsWant, `
a 1-2 set x=1
b 1-2 set y=1
c 3-4 get x=1
c 5-6 get y=-
d 3-4 get y=1
d 5-6 get x=-`},
	{"causal", "two transactions each see the other", "CyclicCO", `
a 1-9 txn get x=1; set y=1
b 1-9 txn get y=1; set x=1`},
	{"causal", "a read of a write that was called later", "ThinAirRead", `
a 1-2 get x=1
b 3-4 set x=1`},
	{"causal", "an answer is seen, its question is not", "WriteCOInitRead", `
a 1-2 set x=1
b 3-4 get x=1
b 5-6 set y=1
c 7-8 get y=1
c 9-10 get x=-`},
	{"causal", "a read of nobody's write", "ThinAirRead", `
a 1-2 set x=1
c 9-10 get x=7`},
	{"causal", "what is known to be overwritten is read", "WriteCORead", `
a 1-2 set x=1
b 3-4 get x=1
b 5-6 set x=2
c 7-8 get x=2
c 9-10 get x=1`},
	{"causal", "two sessions end with each other's write", "CyclicCF", `
a 1-2 set x=1
b 1-2 set x=2
a 3-4 get x=2
b 3-4 get x=1`},
	{"causal", "an effect is stamped before its cause", "CyclicCF", `
a 1-2 set x=1 t5@1
b 3-4 get x=1 t5@1
b 5-6 set x=2 t2@2`},
	{"causal", "a delete explains that a key is missing", holdsWant, `
a 1-2 set x=1
a 3-4 delete x
a 5-6 get x=-`},
	{"causal", "a delete does not explain what was written on top of it", "WriteCORead", `
a 1-2 delete x
a 3-4 set x=1
a 5-6 get x=-`},
	{"causal", "an unknown write is followed by nothing", holdsWant, `
a 1-2? set x=1
a 3-4 get x=-
b 5-6 get x=1
b 7-8 set y=1
a 9-10 get x=-`},

	{"quorum", "stamps grow", holdsWant, `
a 1-2 set x=1 t1@1 l=quorum
b 3-4 get x=1 t1@1 l=quorum
a 5-6 set x=2 t2@1 l=quorum
b 7-8 get x=1 t1@1 l=one
replica 1 x=2/t2@1
replica 2 x=1/t1@1`},
	{"quorum", "a quorum read misses a quorum write", brokenWant, `
a 1-2 set x=1 t1@1 l=quorum
a 3-4 set x=2 t2@1 l=quorum
b 5-6 get x=1 t1@1 l=quorum`},
	{"quorum", "quorum reads go back", brokenWant, `
a 1-2 set x=1 t1@1 l=quorum
a 3-4? set x=2 l=quorum
b 5-6 get x=2 t2@1 l=quorum
b 7-8 get x=1 t1@1 l=quorum`},
	{"quorum", "a read of all misses a write to one", brokenWant, `
a 1-2 set x=1 t1@1 l=one
b 5-6 get x=- l=all`},
	{"quorum", "a read of one may miss a quorum write", holdsWant, `
a 1-2 set x=1 t1@1 l=quorum
b 5-6 get x=- l=one`},
	{"quorum", "a read of one misses a write to all", brokenWant, `
a 1-2 set x=1 t1@1 l=all
b 5-6 get x=- l=one`},
	{"quorum", "a deleted key is back", brokenWant, `
a 1-2 set x=1 t1@1 l=quorum
a 3-4 delete x t2@1 l=quorum
b 5-6 get x=1 t1@1 l=quorum`},
	{"quorum", "a purged tombstone leaves nothing", holdsWant, `
a 1-2 set x=1 t1@1 l=quorum
a 3-4 delete x t2@1 l=quorum
b 5-6 get x=- l=quorum`},
	{"quorum", "one stamp of two values", brokenWant, `
a 1-2 set x=1 t1@1 l=quorum
b 1-2 set x=2 t1@1 l=quorum`},
	{"quorum", "an acknowledged write is on no replica", "lost write", `
a 1-2 set x=1 t1@1 l=quorum
replica 1 x=0/t0@1
replica 2`},
	{"quorum", "a later write may lose to an older clock's", holdsWant, `
a 1-2 set x=1 t9@1 l=quorum
b 3-4 set x=2 t2@2 l=quorum
c 5-6 get x=1 t9@1 l=quorum
replica 1 x=1/t9@1`},
	{"quorum", "a refused write is read", "G1a", `
a 1-2! set x=1 l=quorum
b 3-4 get x=1 t1@1 l=quorum`},
	{"quorum", "without stamps", undecidedWant, `
a 1-2 set x=1
b 3-4 get x=1`},

	{"atomic", "all have it", holdsWant, `
a 1-2 set x=1 v1
b 3-4 get x=1 v1
replica 1 x=1
replica 2 x=1`},
	{"atomic", "one has it", brokenWant, `
a 1-2? set x=1 v1
replica 1 x=1
replica 2`},
	{"atomic", "a refused write is there", brokenWant, `
a 1-2! set x=1
replica 1 x=1
replica 2 x=1`},
	{"atomic", "a refused write was seen", "G1a", `
a 1-2! set x=1
b 3-4 get x=1
replica 1
replica 2`},
	{"atomic", "half of a transaction is seen", "fractured read", `
a 1-2 txn set x=1 v1; set y=1 v1
b 3-4 txn get x=1 v1; get y=-
replica 1 x=1 y=1
replica 2 x=1 y=1`},
	{"atomic", "nobody looked at the replicas", undecidedWant, `
a 1-2 set x=1 v1`},

	{"bounded-staleness", "within the bound", holdsWant, `
a 1000000-2000000 set x=1 v1
a 3000000-4000000 set x=2 v2
b 5000000-6000000 get x=1 v1 l=bounded:2ms
b 9000000-9000001 get x=2 v2 l=bounded:2ms`},
	{"bounded-staleness", "behind the bound", brokenWant, `
a 1000000-2000000 set x=1 v1
a 3000000-4000000 set x=2 v2
b 6000001-7000000 get x=1 v1 l=bounded:2ms`},
	{"bounded-staleness", "each by its own bound", holdsWant, `
a 1000000-2000000 set x=1 v1
a 3000000-4000000 set x=2 v2
b 7000000-7000001 get x=1 v1 l=bounded:9ms
b 8000000-8000001 get x=2 v2 l=bounded:2ms
b 8500000-8500001 get x=1 v1 l=bounded:9ms`},
	{"bounded-staleness", "a missing key behind the bound", brokenWant, `
a 1000000-2000000 set x=1 v1
b 6000000-7000000 get x=- l=bounded:2ms`},
	{"bounded-staleness", "one version behind", holdsWant, `
a 1000000-2000000 set x=1 v1
a 3000000-4000000 set x=2 v2
b 2000000000-2000000001 get x=1 v1 l=bounded:1v`},
	{"bounded-staleness", "two versions behind", brokenWant, `
a 1000000-2000000 set x=1 v1
a 3000000-4000000 set x=2 v2
a 5000000-6000000 set x=3 v3
b 2000000000-2000000001 get x=1 v1 l=bounded:1v`},
	{"bounded-staleness", "two writes that may be one version", holdsWant, `
a 1000000-2000000 set x=1 v1
a 3000000-6000000 set x=2 v2
c 4000000-7000000 set x=3 v3
b 2000000000-2000000001 get x=1 v1 l=bounded:1v`},
	{"bounded-staleness", "versions of the last second do not count", holdsWant, `
a 1000000-2000000 set x=1 v1
a 3000000-4000000 set x=2 v2
a 5000000-6000000 set x=3 v3
b 900000000-900000001 get x=1 v1 l=bounded:1v`},
	{"bounded-staleness", "no bounded reads", undecidedWant, `
a 1-2 set x=1 v1
b 3-4 get x=1 v1`},

	{"versions", "growing", holdsWant, `
a 1-2 set x=1 v1
b 3-4 get x=1 v1`},
	{"versions", "backwards", brokenWant, `
a 1-2 set x=1 v5
b 3-4 get x=0 v4`},

	{"convergence", "equal, one has purged a tombstone", holdsWant, `
a 1-2 set x=1
replica 1 x=1/t1@1 y=-/t2@1
replica 2 x=1/t1@1`},
	{"convergence", "they differ", brokenWant, `
a 1-2 set x=1
replica 1 x=1
replica 2 x=2`},
	{"convergence", "equal values of different stamps", brokenWant, `
a 1-2 set x=1
replica 1 x=1/t1@1
replica 2 x=1/t1@2`},
	{"convergence", "one replica", undecidedWant, `
a 1-2 set x=1
replica 1 x=1`},

	{"commit-order", "what is tentative moves, what is committed does not", holdsWant, `
a 1-2 append x=<1> to=3
b 1-2 append x=<2> to=3
a 3-4 get x=<1>
b 3-4 get x=<2>
b 5-6 get x=- l=committed
a 7-8 get x=<2> l=committed met=committed
a 9-10 append x=<3> to=9 l=committed met=committed
final x=<2><1><3>`},
	{"commit-order", "a place that changes", brokenWant, `
a 1-2 append x=<1>
b 1-2 append x=<2>
a 3-4 get x=<1> l=committed
final x=<2><1>`},
	{"commit-order", "two nodes, two orders, and nobody looked at the end", brokenWant, `
a 1-2 append x=<1>
b 1-2 append x=<2>
a 3-4 get x=<1><2> l=committed
b 3-4 get x=<2> l=committed`},
	{"commit-order", "an answer that names another place", brokenWant, `
a 1-2 append x=<1> to=3 l=committed
b 1-2 append x=<2> to=6 l=committed
final x=<2><1>`},
	{"commit-order", "less than was asked for", brokenWant, `
a 1-2 append x=<1> to=3 l=committed met=tentative
final x=<1>`},
	{"commit-order", "a session's writes change places", brokenWant, `
a 1-2 append x=<1>
a 3-4 append x=<2>
final x=<2><1>`},
	{"commit-order", "an answer before its question", brokenWant, `
a 1-2 append x=<1>
b 3-4 get x=<1>
b 5-6 append x=<2>
final x=<2><1>`},
	{"commit-order", "a write at level eventual comes where it comes", holdsWant, `
a 1-2 append x=<1>
a 3-4 append x=<2> l=eventual
final x=<2><1>`},
	{"commit-order", "two lists do not agree", brokenWant, `
a 1-2 txn append x=<1>; append y=<1>
b 1-2 txn append x=<2>; append y=<2>
final x=<1><2> y=<2><1>`},
	{"commit-order", "a cause on another list", brokenWant, `
a 1-2 append x=<1>
b 3-4 get x=<1>
b 5-6 txn append y=<2>; append x=<3>
final x=<3><1> y=<2>`},
	{"commit-order", "a session that does not find its own", brokenWant, `
a 1-2 append x=<1>
a 3-4 get x=-
final x=<1>`},
	{"commit-order", "a session that goes back", brokenWant, `
a 1-2 append x=<1>
b 3-4 get x=<1>
b 5-6 get x=-
final x=<1>`},
	{"commit-order", "what is committed may lag", holdsWant, `
a 1-2 append x=<1>
a 3-4 get x=- l=committed
final x=<1>`},
	{"commit-order", "a write of unknown fate that came", brokenWant, `
a 1-2 append x=<1>
a 3-4? append x=<2>
final x=<2><1>`},
	{"commit-order", "registers are not its affair", holdsWant, `
a 1-2 set x=<1>
b 3-4 get x=- l=committed`},

	{"durability", "kept", holdsWant, `
a 1-2 set x=1
final x=1`},
	{"durability", "ended", holdsWant, `
a 1-2 set x=1 ttl=5
final x=-`},
	{"durability", "lost", brokenWant, `
a 1-2 set x=1
final x=-`},
	{"durability", "the newest stamp won, though it was called first", holdsWant, `
a 1-2 set x=1 t9@1
b 3-4 set x=2 t2@2
final x=1`},
	{"durability", "the newest stamp lost, though it was called first", brokenWant, `
a 1-2 set x=1 t9@1
b 3-4 set x=2 t2@2
final x=2`},
	{"durability", "a write of a txn is lost", brokenWant, `
a 1-2 txn set x=1; set y=1
final x=1 y=-`},
	{"durability", "nobody looked", undecidedWant, `
a 1-2 set x=1`},
}
