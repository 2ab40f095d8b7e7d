package lab

import (
	"time"

	"github.com/gamutdb/gamut/kv"
)

// row is one statement of the language: how it is written, what it does, where it stems from.
type row struct {
	form, doc string
	// from are the courses' commands that it does the work of, by their numbers in our list; empty: it is ours.
	from string
	// needs says which keyspaces it is for, if not for all.
	needs string
	run   func(*runner, args) error
	// set is for settings, which stand above all other statements and are taken in while the script is read.
	set func(*Script, args)
	// joins says that its NUMBER is a client that lines below may name; starts, that its NODE does not run before.
	joins, starts bool
	// background says that it may end in & and go on while others run.
	background bool
}

// chapter is a part of the table.
type chapter struct {
	title string
	rows  []row
}

func chapters() []chapter {
	return []chapter{
		{"Settings, above all else", settingRows()},
		{"Keyspaces and time", timeRows()},
		{"Clients", clientRows()},
		{"Client commands", commandRows()},
		{"Courses' workloads", workloadRows()},
		{"Nodes", nodeRows()},
		{"Links", linkRows()},
		{"Disks and clocks", diskRows()},
		{"What is to be seen", showRows()},
	}
}

// table has a form for each row, in the order in which they are tried. It is made in init because rows lead to
// functions that print it.
var table []*form

func init() {
	for _, c := range chapters() {
		for i := range c.rows {
			table = append(table, newForm(&c.rows[i], c.title))
		}
	}
}

func settingRows() []row {
	return []row{
		{form: "world (sim|live)", doc: "where it runs: in the simulator, in virtual time, or on real processes", set: func(s *Script, a args) { s.World = arg[string](a, "sim|live") }},
		{form: "cluster nodes COUNT", doc: "how many nodes there are, numbered from 1; without it 3, or those that joinServer and server name", set: func(s *Script, a args) { s.Setting.Nodes = arg[int](a, "COUNT") }},
		{form: "seed NUMBER", doc: "what all chance is drawn from", set: func(s *Script, a args) { s.Setting.Seed = arg[uint64](a, "NUMBER") }},
		{form: "timeout DURATION", doc: "how long a client gives a node; 5s without it", set: func(s *Script, a args) { s.Timeout = arg[time.Duration](a, "DURATION") }},
		{form: "consistency CONSISTENCY", doc: "the promise of the keyspace default, if no statement makes it", set: func(s *Script, a args) { s.Consistency = arg[kv.Consistency](a, "CONSISTENCY") }},
		{form: "tie (low|high)", doc: "lets servers give their writes times by counting them, as a course does, and says which server wins when two writes have one time", from: "S3.16, S3.17", needs: "causal, eventual", set: func(s *Script, a args) { s.Tie = arg[string](a, "low|high") }},
		{form: "session (strict|per-key)", doc: "whether a session's guarantees hold over all keys, or key by key and for reads alone", from: "S3.27, S3.42", needs: "causal", set: func(s *Script, a args) { s.Session = arg[string](a, "strict|per-key") }},
	}
}

func timeRows() []row {
	return []row{
		{form: "keyspace KEYSPACE {consistency=CONSISTENCY} {shards=COUNT} {replicas=COUNT} {lease=on|off} {partitioner=hash|ordered|numeric} {splits=VALUE} {atomic=on|off} {min-members=COUNT} {conflict=wait|refuse|newest|siblings} {commit-order=on|off}", doc: "makes a keyspace and uses it from here on; splits are the first keys of all shards but the first, with commas between", run: (*runner).keyspace},
		{form: "use KEYSPACE", doc: "uses a keyspace from here on", run: (*runner).use},
		{form: "sleep DURATION", doc: "lets time pass", run: (*runner).sleep},
		{form: "wait [NUMBER]", doc: "waits for the command of that number that runs in the background, or for all, and prints the answers", from: "S2.5", run: (*runner).wait},
		{form: "await (leader|ready) [DURATION]", doc: "waits until a node leads that most replicas follow, or that all follow which run; at most 30s, or as long as is said", run: (*runner).await},
		{form: "stabilize [DURATION] {in=KEYSPACE}", doc: "waits until all nodes that can reach each other hold the same; at most 30s, or as long as is said", from: "S3.7", run: (*runner).stabilize},
		{form: "check {as=CONSISTENCY} {in=KEYSPACE}", doc: "lets the referee judge all that clients saw so far, for each keyspace or for one; as asks whether another promise was kept, too, which is no failure if not", run: (*runner).check},
		{form: "echo TEXT...", doc: "prints its words", run: (*runner).echo},
		{form: "exit", doc: "ends the script, as its end does", from: "S0.10, S1.7", run: (*runner).exit},
	}
}

func clientRows() []row {
	return []row{
		{form: "joinClient NUMBER NODE", doc: "a client that speaks to that node", from: "S3.4", joins: true, run: (*runner).joinClient},
		{form: "client NUMBER [NODE]", doc: "speaks as that client from here on; at first it is attached to all nodes, or to the one named", from: "S1.9, S2.2", joins: true, run: (*runner).client},
		{form: "createConnection END1 END2", doc: "attaches a client to one more node, or mends the link of two nodes", from: "S3.6", run: (*runner).createConnection},
		{form: "breakConnection END1 END2", doc: "detaches a client from a node, or cuts the link of two nodes", from: "S3.5", run: (*runner).breakConnection},
	}
}

// options of every client command.
const commandOptions = " {at=NODE} {as=CLIENT} {in=KEYSPACE} {level=LEVEL} {timeout=DURATION}"

// contextOption is about what a client has seen of the siblings of a key.
const contextOption = " {context=TEXT}"

func commandRows() []row {
	return append(valueRows(), mergedRows()...)
}

// mergedRows are about what is merged instead of replaced.
func mergedRows() []row {
	return []row{
		{form: "include KEY VALUE" + commandOptions, doc: "puts a value into a set, and prints 1, or 0 if it was there", needs: "causal, eventual", background: true, run: (*runner).include},
		{form: "exclude KEY VALUE" + commandOptions, doc: "takes a value out of a set, and prints 1, or 0 if the node did not find it there", needs: "causal, eventual", background: true, run: (*runner).exclude},
		{form: "members KEY [LEVEL]" + commandOptions, doc: "prints the members of a set, a line each, or: not found", needs: "causal, eventual", background: true, run: (*runner).membersOf},
		{form: "siblings KEY [LEVEL]" + contextOption + commandOptions, doc: "prints all values that a key has, the newest first, a line each; what was seen is kept under the name of the context", needs: "causal, with conflict=siblings", background: true, run: (*runner).siblings},
	}
}

func valueRows() []row {
	return []row{
		{form: "get CLIENT KEY" + commandOptions, doc: "prints KEY:VALUE, KEY:ERR_KEY or KEY:ERR_DEP (the node is behind what the client has seen)", from: "S3.10", background: true, run: (*runner).getSpelled},
		{form: "put CLIENT KEY VALUE" + commandOptions, doc: "stores a value; says nothing if all is well", from: "S3.9", background: true, run: (*runner).putSpelled},
		{form: "get KEY [LEVEL]" + commandOptions, doc: "prints the value, or: not found", from: "S0.4, S1.6, S2.3, S4.34", background: true, run: (*runner).get},
		{form: "put|set KEY VALUE [LEVEL]" + contextOption + commandOptions, doc: "stores a value; with a context, in the place of what was seen under that name and of nothing else", from: "S0.5, S1.5, S2.4, S4.34", background: true, run: (*runner).put},
		{form: "create KEY VALUE [LEVEL]" + commandOptions, doc: "stores a value if the key is missing", background: true, run: (*runner).create},
		{form: "cas KEY VALUE1 VALUE2" + commandOptions, doc: "stores the second value if the present one is the first", background: true, run: (*runner).cas},
		{form: "delete|del KEY [LEVEL]" + contextOption + commandOptions, doc: "removes a key; with a context, what was seen of it under that name", background: true, run: (*runner).delete},
		{form: "incr KEY [DELTA]" + commandOptions, doc: "adds to a number, 1 if nothing is said, and prints it", background: true, run: (*runner).incr},
		{form: "append KEY VALUE" + commandOptions, doc: "puts a text behind the present value, and prints the length", background: true, run: (*runner).append},
		{form: "scan" + commandOptions, doc: "prints all keys and values of the keyspace as a client reads them", run: (*runner).scan},
		{form: "outcome {at=NODE} {as=CLIENT} {timeout=DURATION}", doc: "asks what became of the client's last write of unknown outcome, as far as its node gave it a number: done, and what it answered; or not done, and then it never will be", run: (*runner).outcome},
		{form: "db" + commandOptions, doc: "is scan", from: "S0.6", run: (*runner).scan},
	}
}

func workloadRows() []row {
	return []row{
		{form: "rapidset [COUNT] {show=all|summary}" + commandOptions, doc: "so many SETs of the key 1234 at once, to 0 and up (10 if nothing is said), then what it holds; the summary says only what does not depend on which came first", from: "S0.8, S0.11", run: (*runner).rapidset},
		{form: "multiset [COUNT]" + commandOptions, doc: "so many SETs of different keys at once (10 if nothing is said), then verify", from: "S0.9", run: (*runner).multiset},
	}
}

func nodeRows() []row {
	return []row{
		{form: "joinServer NODE", doc: "starts a node with links to all others", from: "S3.2", starts: true, run: (*runner).joinServer},
		{form: "server NODE", doc: "starts a node unless it runs; what names no node is about this one from here on", from: "S2.1", starts: true, run: (*runner).server},
		{form: "killServer NODE", doc: "ends a node's process at once; what it gave to its disk is written", from: "S3.3", run: (*runner).killServer},
		{form: "failProcess [NODE]", doc: "is killServer", from: "S2.7", run: (*runner).killServer},
		{form: "fixProcess [NODE]", doc: "starts a node that was ended", from: "S2.7", run: (*runner).fixProcess},
		{form: "crash NODES... [kept|lost|torn]", doc: "ends nodes at one instant; what they had not synced is kept (as by kill -9), lost (as with the power), or torn; if nothing is said, lost in the simulator and kept in a live cluster", from: "S1.3", run: (*runner).crash},
		{form: "start NODES...", doc: "starts nodes on what their disks hold", from: "S1.3", run: (*runner).start},
		{form: "restart NODES... [kept|lost|torn]", doc: "crashes nodes and starts them again, all at once", run: (*runner).restart},
		{form: "pause NODES...", doc: "stops processes without ending them", run: (*runner).pause},
		{form: "resume NODES...", doc: "lets paused nodes go on", run: (*runner).resume},
		{form: "wipe NODE", doc: "makes the disk of a stopped node blank", run: (*runner).wipe},
		{form: "damage NODE [log|tail|state]", doc: "flips a bit in the log of a stopped node, takes the end of the log away, or flips a bit in the state", run: (*runner).damage},
		{form: "handoff|lead NODE {shard=NUMBER}", doc: "asks the leader to hand over to that node", run: (*runner).handoff},
		{form: "send TEXT PEER", doc: "sends raw bytes to a node as a stranger would; they must do no harm", from: "S2.16, S2.18", run: (*runner).send},
		{form: "broadcast TEXT", doc: "is send to all nodes that run", from: "S2.16", run: (*runner).broadcast},
	}
}

func linkRows() []row {
	return []row{
		{form: "failLink PEER1 PEER2", doc: "cuts the link of two nodes, silently, in both directions", from: "S2.8", run: (*runner).failLink},
		{form: "failLink PEER1", doc: "cuts the link of a node to the one that server named", from: "S2.8", run: (*runner).failLink},
		{form: "fixLink|connect PEER1 PEER2", doc: "mends it", from: "S2.9, S2.15", run: (*runner).fixLink},
		{form: "fixLink PEER1", doc: "mends it", from: "S2.9", run: (*runner).fixLink},
		{form: "cut LINK...", doc: "cuts links", run: (*runner).cut},
		{form: "heal [LINK]", doc: "mends a link or all: they lose, delay, double and reorder nothing any more", run: (*runner).heal},
		{form: "partition SIDES...", doc: "cuts the links of the sides that | parts; a node that is named on no side is a bridge and keeps all its links", run: (*runner).partition},
		{form: "isolate NODES...", doc: "cuts nodes off from all others", run: (*runner).isolate},
		{form: "flap LINK DURATION", doc: "cuts and mends a link again and again, each time for so long", run: (*runner).flap},
		{form: "delay LINK DURATION1 [DURATION2]", doc: "makes messages late by the first time and, drawn for each, up to the second more", from: "S2.37", run: (*runner).delay},
		{form: "loss LINK PERCENT", doc: "loses messages", run: (*runner).loss},
		{form: "duplicate LINK PERCENT", doc: "doubles messages", run: (*runner).duplicate},
		{form: "reorder LINK PERCENT", doc: "holds messages back so that others overtake them", run: (*runner).reorder},
	}
}

func diskRows() []row {
	return []row{
		{form: "disk NODE slow DURATION", doc: "each sync takes that much longer", run: (*runner).diskSlow},
		{form: "disk NODE (hang|error|full|ok)", doc: "no sync returns; the next sync fails, which ends the node; there is no room for writes; all is well again", run: (*runner).disk},
		{form: "clock NODE OFFSET", doc: "sets a node's clock that much ahead of the true time; it jumps", run: (*runner).clock},
		{form: "clock NODE rate DELTA", doc: "lets a node's clock run so many millionths too fast", run: (*runner).clockRate},
	}
}

func showRows() []row {
	return []row{
		{form: "status|show|debug {in=KEYSPACE}", doc: "prints each node: whether it runs, its role, whom it follows, how far its log is applied", from: "S2.17, S4.8", run: (*runner).status},
		{form: "verify {in=KEYSPACE}", doc: "are the stores of all nodes that run equal, once what is under way has come to rest? yes, or no and where not", from: "S0.7", run: (*runner).verify},
		{form: "inspect|inspector [KEY] {in=KEYSPACE}", doc: "prints each node's own store with versions, and warns of every key on which they differ", from: "S1.12, S1.13", run: (*runner).inspect},
		{form: "printStore NODE {in=KEYSPACE}", doc: "prints a node's own store, KEY:VALUE a line", from: "S3.8", run: (*runner).printStore},
		{form: "print kvstore|kv [NODE] {in=KEYSPACE}", doc: "is printStore", from: "S2.13", run: (*runner).printStore},
		{form: "printKVStore [NODE] {in=KEYSPACE}", doc: "is printStore", from: "S2.15", run: (*runner).printStore},
		{form: "print blockchain|bc [NODE] {in=KEYSPACE} {shard=NUMBER}", doc: "prints a node's chain: index, hash, hash of the block before, commands", from: "S2.11", needs: "a protocol with a chain", run: (*runner).chain},
		{form: "printBlockchain [NODE] {in=KEYSPACE} {shard=NUMBER}", doc: "is print blockchain", from: "S2.15", needs: "a protocol with a chain", run: (*runner).chain},
		{form: "print depth [NODE] {in=KEYSPACE} {shard=NUMBER}", doc: "prints how many blocks a node has applied", from: "S2.12", run: (*runner).depth},
		{form: "print requestQueue|rq [NODE]", doc: "prints the commands that a node has not answered", from: "S2.14", run: (*runner).queue},
		{form: "printQueue [NODE]", doc: "is print requestQueue", from: "S2.15", run: (*runner).queue},
		{form: "print operationQueue|oq", doc: "prints the commands that this client waits for", from: "S2.18", run: (*runner).ownQueue},
		{form: "print serverList|sl", doc: "prints the nodes and whether they run", from: "S2.15", run: (*runner).servers},
		{form: "printMemberList NODE", doc: "prints the nodes as that one can reach them: ALIVE, or DEAD", from: "S3.11", run: (*runner).members},
		{form: "print brokenLinks|bl", doc: "prints the links that are cut or impaired", from: "S2.10", run: (*runner).brokenLinks},
		{form: "debugMode [on|off]", doc: "prints each command as it is sent and answered, with what the node says beside the code", from: "S2.6", run: (*runner).debugMode},
		{form: "help|?", doc: "prints all statements", from: "S0.10", run: (*runner).help},
	}
}
