package redis

func connectionCommands() []command {
	return inGroup("connection", []command{
		{name: "ping", arity: -1, flags: "fast", local: runPing, summary: "Answers PONG."},
		{name: "echo", arity: 2, flags: "fast", local: runEcho, summary: "Answers its argument."},
		{name: "quit", arity: -1, flags: "fast", local: runQuit, controls: true, summary: "Ends the connection."},
		{name: "reset", arity: 1, flags: "fast", local: runReset, controls: true, summary: "Makes the connection as it was when it began."},
		{name: "hello", arity: -1, flags: "fast", local: runHello, alone: true, summary: "Chooses the version of the protocol."},
		{name: "auth", arity: -2, flags: "fast", local: runAuth, summary: "Authenticates the connection."},
		{name: "select", arity: 2, flags: "fast", local: runSelect, alone: true, summary: "Chooses a keyspace by number or name."},
		{name: "client", arity: -2, local: helpLines("client"), summary: "Tells about connections."},
		{name: "client|help", arity: 2, local: helpLines("client"), summary: "Lists the subcommands."},
		{name: "client|id", arity: 2, local: runClientID, summary: "Returns the connection's number."},
		{name: "client|info", arity: 2, local: runClientInfo, summary: "Describes the connection."},
		{name: "client|list", arity: -2, flags: "admin", local: runClientList, summary: "Describes all connections."},
		{name: "client|setname", arity: 3, local: runClientSetName, summary: "Names the connection."},
		{name: "client|getname", arity: 2, local: runClientGetName, summary: "Returns the connection's name."},
		{name: "client|setinfo", arity: 4, local: runClientSetInfo, summary: "Tells which library the client uses."},
		{name: "client|no-evict", arity: 3, flags: "admin", local: runClientSwitch, summary: "Has no effect: nobody is evicted."},
		{name: "client|no-touch", arity: 3, local: runClientSwitch, summary: "Has no effect: reads leave no trace."},
		{name: "client|reply", arity: 3, local: runClientReply, alone: true, summary: "Turns replies on or off."},
		{name: "client|kill", arity: -3, flags: "admin", local: runClientKill, alone: true, summary: "Ends connections."},
	})
}

func serverCommands() []command {
	list := inGroup("transactions", []command{
		{name: "multi", arity: 1, flags: "fast", local: runMulti, controls: true, summary: "Begins a transaction within one shard."},
		{name: "exec", arity: 1, controls: true, summary: "Executes a transaction at one instant."},
		{name: "discard", arity: 1, flags: "fast", local: runDiscard, controls: true, summary: "Forgets a transaction."},
		{name: "watch", arity: -2, flags: "fast", firstKey: 1, lastKey: -1, keyStep: 1, local: runWatch, barrier: true, controls: true, summary: "Has EXEC do nothing if a key changes."},
		{name: "unwatch", arity: 1, flags: "fast", local: runUnwatch, summary: "Forgets the watched keys."},
	})
	list = append(list, inGroup("gamut", []command{
		{name: "gamut.level", arity: -1, flags: "fast", local: runLevel, alone: true, summary: "Shows or sets the connection's level."},
		{name: "gamut.at", arity: -3, flags: "fast", alone: true, wraps: true, summary: "Executes one command at a level, whatever the connection's is."},
		{name: "gamut.request", arity: -3, flags: "fast", alone: true, wraps: true, summary: "Executes one write of one key under a number, so that it can be asked for and sent again."},
		{name: "gamut.outcome", arity: 2, local: runOutcome, barrier: true, alone: true, summary: "Tells what became of a write whose outcome was unknown; asking decides it."},
		{name: "gamut.session", arity: -1, local: runSession, barrier: true, alone: true, summary: "Shows or sets what the connection has seen of its keyspace."},
		{name: "gamut.wait", arity: 1, local: runCommitted, barrier: true, alone: true, summary: "Waits until all that the connection's session has written is committed."},
		{name: "gamut.receipt", arity: -1, flags: "fast", local: runReceipt, alone: true, summary: "Has replies say how they were given, as RESP3 attributes."},
		{name: "gamut.set", arity: -4, flags: write, firstKey: 2, lastKey: 2, keyStep: 1, plan: planStampedSet, stamped: true, alone: true,
			summary: "SET of a quorum keyspace with client stamps: the write's own stamp stands before the key."},
		{name: "gamut.del", arity: 3, flags: write, firstKey: 2, lastKey: 2, keyStep: 1, plan: planStampedDel, stamped: true, alone: true,
			summary: "DEL of one key of such a keyspace: the deletion's own stamp stands before the key."},
		{name: "gamut.explain", arity: -1, local: runExplain, summary: "Says what a keyspace promises."},
	})...)
	return append(list, inGroup("server", []command{
		{name: "command", arity: -1, local: runCommand, summary: "Describes all commands."},
		{name: "command|help", arity: 2, local: helpLines("command"), summary: "Lists the subcommands."},
		{name: "command|count", arity: 2, local: runCommandCount, summary: "Counts the commands."},
		{name: "command|info", arity: -2, local: runCommandInfo, summary: "Describes commands."},
		{name: "command|docs", arity: -2, local: runCommandDocs, summary: "Says what commands do."},
		{name: "command|list", arity: -2, local: runCommandList, summary: "Lists the names of all commands."},
		{name: "command|getkeys", arity: -3, local: runCommandGetKeys, summary: "Picks the keys out of a command."},
		{name: "config", arity: -2, flags: "admin", local: helpLines("config"), summary: "Shows settings."},
		{name: "config|help", arity: 2, local: helpLines("config"), summary: "Lists the subcommands."},
		{name: "config|get", arity: -3, flags: "admin", local: runConfigGet, summary: "Shows settings by pattern."},
		{name: "config|set", arity: -4, flags: "admin", local: refuseWith("ERR CONFIG SET is not offered: a node is configured by its file, environment and flags"), summary: "Is not offered."},
		{name: "config|resetstat", arity: 2, flags: "admin", local: refuseWith("ERR CONFIG RESETSTAT is not offered: counters only grow"), summary: "Is not offered."},
		{name: "info", arity: -1, local: runInfo, summary: "Tells about the node."},
		{name: "time", arity: 1, flags: "fast", local: runTime, summary: "Returns the node's time."},
		{name: "dbsize", arity: 1, flags: "readonly", local: runDBSize, barrier: true, alone: true, summary: "Counts the keys by reading them."},
		{name: "lastsave", arity: 1, flags: "fast", local: runLastSave, summary: "Returns the time: every acknowledged write is saved."},
		{name: "wait", arity: 3, local: runWait, summary: "Answers 0: an acknowledged write is on a majority already."},
		{name: "flushdb", arity: -1, flags: "write", plan: planFlush, everyShard: true, summary: "Removes all keys of the keyspace."},
		{name: "flushall", arity: -1, flags: "write", local: runFlushAll, barrier: true, alone: true, summary: "Removes all keys of all keyspaces."},
		{name: "memory", arity: -2, local: helpLines("memory"), summary: "Tells about memory."},
		{name: "memory|help", arity: 2, local: helpLines("memory"), summary: "Lists the subcommands."},
		{name: "memory|usage", arity: -3, flags: "readonly", firstKey: 2, lastKey: 2, keyStep: 1, plan: planMemoryUsage, summary: "Returns how many bytes a pair has."},
	})...)
}
