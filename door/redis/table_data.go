package redis

import "github.com/gamutdb/gamut/kv"

// key describes commands whose one key is their first argument.
func key(cmd command) command {
	cmd.firstKey, cmd.lastKey, cmd.keyStep = 1, 1, 1
	return cmd
}

// allKeys describes commands whose arguments are all keys, or with step 2 every other one.
func allKeys(step int, cmd command) command {
	cmd.firstKey, cmd.lastKey, cmd.keyStep = 1, -1, step
	return cmd
}

// twoKeys describes commands of a source and a target.
func twoKeys(cmd command) command {
	cmd.firstKey, cmd.lastKey, cmd.keyStep = 1, 2, 1
	return cmd
}

// inGroup sets the group of all commands of a list.
func inGroup(group string, list []command) []command {
	for i := range list {
		list[i].group = group
	}
	return list
}

const (
	write     = "write denyoom"
	writeFast = "write denyoom fast"
	readFast  = "readonly fast"
)

func stringCommands() []command {
	return inGroup("string", []command{
		key(command{name: "get", arity: 2, flags: readFast, plan: planGet, reads: true, summary: "Returns the value of a key."}),
		key(command{name: "set", arity: -3, flags: write, plan: planSet, summary: "Sets the value of a key, under conditions and with an expiry if asked."}),
		key(command{name: "setnx", arity: 3, flags: writeFast, plan: planSetNX, summary: "Sets the value of a key that does not exist."}),
		key(command{name: "setex", arity: 4, flags: write, plan: planSetEX(true, "setex"), summary: "Sets a value and its expiry in seconds."}),
		key(command{name: "psetex", arity: 4, flags: write, plan: planSetEX(false, "psetex"), summary: "Sets a value and its expiry in milliseconds."}),
		key(command{name: "getset", arity: 3, flags: writeFast, plan: planGetSet, reads: true, summary: "Sets a value and returns the old one."}),
		key(command{name: "getdel", arity: 2, flags: "write fast", plan: planGetDel, reads: true, summary: "Returns a value and deletes its key."}),
		key(command{name: "getex", arity: -2, flags: "write fast", plan: planGetEx, reads: true, summary: "Returns a value and sets its key's expiry."}),
		allKeys(1, command{name: "mget", arity: -2, flags: readFast, plan: planMGet, reads: true, split: true, summary: "Returns the values of several keys."}),
		allKeys(2, command{name: "mset", arity: -3, flags: write, plan: planMSet, summary: "Sets several keys of one shard at one instant."}),
		allKeys(2, command{name: "msetnx", arity: -3, flags: write, plan: planMSetNX, alone: true, summary: "Sets several keys of one shard if none exists."}),
		key(command{name: "append", arity: 3, flags: writeFast, plan: planAppend, summary: "Appends to a value."}),
		key(command{name: "strlen", arity: 2, flags: readFast, plan: planStrlen, summary: "Returns the length of a value."}),
		key(command{name: "getrange", arity: 4, flags: "readonly", plan: planGetRange, reads: true, summary: "Returns a part of a value."}),
		key(command{name: "substr", arity: 4, flags: "readonly", plan: planGetRange, reads: true, summary: "Returns a part of a value."}),
		key(command{name: "setrange", arity: 4, flags: write, plan: planSetRange, summary: "Overwrites a part of a value."}),
		key(command{name: "incr", arity: 2, flags: writeFast, plan: planIncr, summary: "Adds 1 to an integer."}),
		key(command{name: "decr", arity: 2, flags: writeFast, plan: planDecr, summary: "Subtracts 1 from an integer."}),
		key(command{name: "incrby", arity: 3, flags: writeFast, plan: planIncrBy, summary: "Adds to an integer."}),
		key(command{name: "decrby", arity: 3, flags: writeFast, plan: planDecrBy, summary: "Subtracts from an integer."}),
		key(command{name: "incrbyfloat", arity: 3, flags: writeFast, plan: planIncrByFloat, summary: "Adds to a decimal number."}),
		key(command{name: "getbit", arity: 3, flags: readFast, plan: planGetBit, reads: true, summary: "Returns a bit of a value."}),
	})
}

func keyCommands() []command {
	exists := planEach(kv.Op{Kind: kv.OpGet, Quiet: true})
	remove := planEach(kv.Op{Kind: kv.OpDelete})
	return inGroup("generic", []command{
		allKeys(1, command{name: "del", arity: -2, flags: "write", plan: remove, split: true, summary: "Deletes keys."}),
		allKeys(1, command{name: "unlink", arity: -2, flags: "write fast", plan: remove, split: true, summary: "Deletes keys."}),
		allKeys(1, command{name: "exists", arity: -2, flags: readFast, plan: exists, split: true, summary: "Counts which of the keys exist."}),
		allKeys(1, command{name: "touch", arity: -2, flags: readFast, plan: exists, split: true, summary: "Counts which of the keys exist."}),
		key(command{name: "type", arity: 2, flags: readFast, plan: planType, summary: "Returns the type of a value: string or set."}),
		key(command{name: "expire", arity: -3, flags: "write fast", plan: planExpire(true, true, "expire"), summary: "Sets a key's expiry in seconds."}),
		key(command{name: "pexpire", arity: -3, flags: "write fast", plan: planExpire(false, true, "pexpire"), summary: "Sets a key's expiry in milliseconds."}),
		key(command{name: "expireat", arity: -3, flags: "write fast", plan: planExpire(true, false, "expireat"), summary: "Sets a key's expiry as Unix time."}),
		key(command{name: "pexpireat", arity: -3, flags: "write fast", plan: planExpire(false, false, "pexpireat"), summary: "Sets a key's expiry as Unix milliseconds."}),
		key(command{name: "ttl", arity: 2, flags: readFast, plan: planTTL(true, true), summary: "Returns the seconds until a key expires."}),
		key(command{name: "pttl", arity: 2, flags: readFast, plan: planTTL(false, true), summary: "Returns the milliseconds until a key expires."}),
		key(command{name: "expiretime", arity: 2, flags: readFast, plan: planTTL(true, false), summary: "Returns when a key expires, as Unix time."}),
		key(command{name: "pexpiretime", arity: 2, flags: readFast, plan: planTTL(false, false), summary: "Returns when a key expires, as Unix milliseconds."}),
		key(command{name: "persist", arity: 2, flags: "write fast", plan: planPersist, summary: "Removes a key's expiry."}),
		twoKeys(command{name: "rename", arity: 3, flags: "write", plan: planRename(false), summary: "Renames a key within its shard."}),
		twoKeys(command{name: "renamenx", arity: 3, flags: "write fast", plan: planRename(true), summary: "Renames a key within its shard if the new name is free."}),
		twoKeys(command{name: "copy", arity: -3, flags: write, plan: planCopy, summary: "Copies a key within its shard."}),
		{name: "randomkey", arity: 1, flags: "readonly", local: runRandomKey, barrier: true, alone: true, summary: "Returns some key."},
		{name: "keys", arity: 2, flags: "readonly", local: runKeys, barrier: true, alone: true, summary: "Returns all keys that match a pattern."},
		{name: "scan", arity: -2, flags: "readonly", local: runScan, barrier: true, alone: true, summary: "Iterates over the keys."},
		{name: "object", arity: -2, local: helpLines("object"), summary: "Tells about a value."},
		{name: "object|help", arity: 2, local: helpLines("object"), summary: "Lists the subcommands."},
		{name: "object|encoding", arity: 3, flags: "readonly", firstKey: 2, lastKey: 2, keyStep: 1, plan: planObject(renderEncoding), reads: true, summary: "Tells how Redis would hold the value."},
		{name: "object|refcount", arity: 3, flags: "readonly", firstKey: 2, lastKey: 2, keyStep: 1, plan: planObject(renderRefcount), reads: true, summary: "Answers 1 for every value."},
		{name: "object|freq", arity: 3, flags: "readonly", local: refuseWith("ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust."), summary: "Is not tracked."},
		{name: "object|idletime", arity: 3, flags: "readonly", local: refuseWith("ERR idle time is not tracked: a read changes nothing on any replica"), summary: "Is not tracked."},
	})
}
