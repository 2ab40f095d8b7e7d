package redis

import (
	"fmt"

	"github.com/gamutdb/gamut/kv"
)

// Texts of Redis' own errors.
const (
	faultSyntax     = "ERR syntax error"
	faultNotInteger = "ERR value is not an integer or out of range"
	faultNotFloat   = "ERR value is not a valid float"
	faultNoSuchKey  = "ERR no such key"
	faultWrongType  = "WRONGTYPE Operation against a key holding the wrong kind of value"
	faultTooLong    = "ERR string exceeds maximum allowed size (8388608 bytes)"
)

// failures says for each outcome that is an error whatever the command was with which words its reply begins. The kinds
// tell a client what it may do: TRYAGAIN, CLUSTERDOWN and MISCONF were certainly not executed, UNKNOWN may have been.
var failures = func() (f [256]string) {
	for i := kv.Unavailable; i < kv.Unknown; i++ {
		f[i] = "ERR " + i.String()
	}
	f[kv.Aborted] = "TRYAGAIN aborted"
	f[kv.NotInteger] = faultNotInteger
	f[kv.NotFloat] = faultNotFloat
	f[kv.TooLong] = faultTooLong
	f[kv.WrongType] = faultWrongType
	f[kv.Unavailable] = "CLUSTERDOWN unavailable"
	f[kv.Busy] = "TRYAGAIN busy"
	f[kv.NotLeader] = "TRYAGAIN not leader"
	f[kv.Moved] = "TRYAGAIN moved"
	f[kv.Sealed] = "TRYAGAIN sealed"
	f[kv.ClockSkew] = "TRYAGAIN clock skew"
	f[kv.BehindSession] = "TRYAGAIN behind session"
	f[kv.SessionLost] = "SESSIONLOST"
	f[kv.BadToken] = "BADTOKEN"
	f[kv.CrossShard] = "CROSSSHARD keys in several shards"
	f[kv.ValueLost] = "VALUELOST"
	f[kv.DiskFull] = "MISCONF disk full, the node takes no writes"
	f[kv.Unknown] = "UNKNOWN outcome not known: the command may have been executed, or may be yet"
	return f
}()

func (w *writer) failure(r *kv.Result) { w.fail(failureText(r)) }

func failureText(r *kv.Result) string {
	if r.Code == kv.TooLong && r.Detail != "" {
		return "ERR " + r.Detail
	}
	if r.Detail == "" || r.Code < kv.Unavailable {
		return failures[r.Code]
	}
	return failures[r.Code] + ": " + r.Detail
}

func wrongArity(name string) string {
	return "ERR wrong number of arguments for '" + name + "' command"
}

func invalidExpire(name string) string { return "ERR invalid expire time in '" + name + "' command" }

// unknownCommand is Redis' own text, which quotes up to 128 bytes of the arguments.
func unknownCommand(args [][]byte) string {
	quoted := ""
	for _, arg := range args[1:] {
		if len(quoted) >= 128 {
			break
		}
		quoted += "'" + cText(arg, 128-len(quoted)) + "' "
	}
	return fmt.Sprintf("ERR unknown command '%s', with args beginning with: %s", cText(args[0], 128), quoted)
}

// cText is what C's %.*s prints of an argument.
func cText(arg []byte, most int) string {
	for i, b := range arg {
		if b == 0 || i == most {
			return string(arg[:i])
		}
	}
	return string(arg)
}
