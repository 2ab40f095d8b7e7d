package redis

import (
	"strings"

	"github.com/gamutdb/gamut/kv"
)

// planFunc makes a command's operations of its arguments and says how to answer. A text that it returns is the answer
// instead: the arguments are wrong.
type planFunc func(args [][]byte, command *kv.Command, o *reply) (fault string)

// localFunc executes a command that is not (only) operations on keys.
type localFunc func(c *conn, w *writer, args [][]byte)

// command is all that is known of one.
type command struct {
	name string
	// arity is the number of words, the name included; -n means at least n.
	arity   int
	flags   string // in Redis' words
	group   string
	summary string

	firstKey, lastKey, keyStep int

	// One of plan and local is set, or refusal: why a command that Redis has is not offered.
	plan    planFunc
	local   localFunc
	refusal string
	// barrier: all that is owed is answered before the command is executed, because it uses the database itself or
	// changes what the owed answers depend on.
	barrier bool
	// controls: not queued by MULTI but executed at once.
	controls bool
	// alone: not allowed in MULTI, because it cannot be one of several operations of one kv.Command.
	alone bool
	// split: keys in several shards are asked for one by one; each is atomic, all together are not.
	split bool
	// everyShard: the command's operation is done in each shard.
	everyShard bool
	// wraps: its arguments behind the first are the command to execute.
	wraps bool
	// stamped: the second word is a stamp of the client's own.
	stamped bool
	// reads: the answer carries values, of which nobody knows yet how large they are.
	reads bool

	subcommands map[string]*command
}

// commands is the one table of commands; COMMAND shows it.
var commands map[string]*command

func init() {
	commands = map[string]*command{}
	for _, list := range [][]command{stringCommands(), setCommands(), keyCommands(), connectionCommands(), serverCommands(), siblingCommands()} {
		for i := range list {
			register(&list[i])
		}
	}
	for family, names := range notOffered {
		for _, name := range strings.Fields(names) {
			commands[name] = &command{name: name, arity: -1, refusal: "ERR '" + name + "' is not offered: " + family}
		}
	}
}

// register enters a command under its name; "client|id" is a subcommand of "client".
func register(cmd *command) {
	container, _, isSub := strings.Cut(cmd.name, "|")
	if !isSub {
		commands[cmd.name] = cmd
		return
	}
	parent := commands[container]
	if parent.subcommands == nil {
		parent.subcommands = map[string]*command{}
	}
	cmd.group = parent.group
	parent.subcommands[cmd.name] = cmd
}

// lookup finds a command and checks the number of its arguments.
func lookup(args [][]byte) (*command, string) {
	var room [64]byte
	name := lower(room[:], args[0])
	cmd := commands[string(name)]
	if cmd == nil || len(args[0]) > len(room) {
		return nil, unknownCommand(args)
	}
	if cmd.subcommands != nil && len(args) > 1 {
		n := len(name)
		if n+1+len(args[1]) <= len(room) {
			room[n] = '|'
			sub := lower(room[n+1:], args[1])
			if found := cmd.subcommands[string(room[:n+1+len(sub)])]; found != nil {
				return checkArity(found, len(args))
			}
		}
		return nil, "ERR unknown subcommand '" + cText(args[1], 128) + "'. Try " + strings.ToUpper(cmd.name) + " HELP."
	}
	return checkArity(cmd, len(args))
}

func checkArity(cmd *command, n int) (*command, string) {
	if cmd.arity > 0 && n != cmd.arity || n < -cmd.arity {
		return nil, wrongArity(cmd.name)
	}
	return cmd, ""
}

// notOffered are Redis' commands that a store of strings has no honest answer to, by the reason.
var notOffered = map[string]string{
	"Gamut stores strings, not lists": `blmove blmpop blpop brpop brpoplpush lindex linsert llen lmove lmpop lpop lpos lpush
		lpushx lrange lrem lset ltrim rpop rpoplpush rpush rpushx`,
	"Gamut stores strings, not hashes": `hdel hexists hget hgetall hincrby hincrbyfloat hkeys hlen hmget hmset hrandfield
		hscan hset hsetnx hstrlen hvals`,
	"sets are added to, removed from and read one by one": `sdiff sdiffstore sinter sintercard sinterstore smove spop
		srandmember sscan sunion sunionstore`,
	"Gamut stores strings, not sorted sets": `bzmpop bzpopmax bzpopmin zadd zcard zcount zdiff zdiffstore zincrby zinter
		zintercard zinterstore zlexcount zmpop zmscore zpopmax zpopmin zrandmember zrange zrangebylex zrangebyscore
		zrangestore zrank zrem zremrangebylex zremrangebyrank zremrangebyscore zrevrange zrevrangebylex zrevrangebyscore
		zrevrank zscan zscore zunion zunionstore geoadd geodist geohash geopos georadius georadius_ro georadiusbymember
		georadiusbymember_ro geosearch geosearchstore`,
	"Gamut stores strings, not streams": `xack xadd xautoclaim xclaim xdel xgroup xinfo xlen xpending xrange xread
		xreadgroup xrevrange xsetid xtrim`,
	"Gamut stores strings, not HyperLogLogs":                    `pfadd pfcount pfdebug pfmerge pfselftest`,
	"it would write what it has not read in one step":           `bitfield bitfield_ro bitop setbit sort sort_ro`,
	"there is no publish and subscribe":                         `psubscribe publish pubsub punsubscribe spublish ssubscribe subscribe sunsubscribe unsubscribe`,
	"there are no scripts":                                      `eval eval_ro evalsha evalsha_ro fcall fcall_ro function script`,
	"any node takes any command and finds its leader by itself": `asking cluster failover psync readonly readwrite replconf replicaof slaveof sync`,
	"a value moves between clusters by the command line":        `dump migrate restore move swapdb`,
	"nodes are run by the command line and by HTTP, not by their clients": `acl bgrewriteaof bgsave debug latency module monitor
		save shutdown slowlog`,
}
