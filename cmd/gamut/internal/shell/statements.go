package shell

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/gamutdb/gamut/client"
	"github.com/gamutdb/gamut/door/http/remote"
	"github.com/gamutdb/gamut/kv"
)

// place says where a statement may stand.
type place uint8

const (
	anywhere place = iota
	within         // between begin and commit
	outside        // not there
)

// verb is a statement: how many words follow its name at least and at most.
type verb struct {
	name, usage, help string
	least, most       int
	where             place
	run               func(ctx context.Context, s *Shell, args []string) error
}

// vocabulary is all statements, in the order in which help lists them.
func vocabulary() []verb {
	return []verb{
		{"get", "get KEY", "read a key, with its version", 1, 1, anywhere, runGet},
		{"put", "put KEY VALUE, or put KEY VALUE ttl TIME", "store a value", 2, 4, anywhere, runPut},
		{"delete", "delete KEY", "remove a key", 1, 1, anywhere, runDelete},
		{"incr", "incr KEY [BY]", "add to a counter", 1, 2, anywhere, runIncr},
		{"cas", "cas KEY VERSION VALUE", "store a value if the key has this version; 0: if it is not there", 3, 3, outside, runCAS},
		{"scan", "scan [PREFIX [LIMIT]]", "list keys in their order, 100 of them unless LIMIT says more", 0, 2, outside, runScan},
		{"begin", "begin", "begin a transaction: what is read stays the condition of what is written", 0, 0, outside, runBegin},
		{"if", "if KEY absent, if KEY present, if KEY is VALUE, or if KEY version N", "add a condition to the transaction", 2, 3, within, runIf},
		{"commit", "commit", "do what was written since begin, all of it, if all that was read is still so", 0, 0, within, runCommit},
		{"abort", "abort", "forget what was written since begin", 0, 0, within, runAbort},
		{"keyspace", "keyspace [NAME]", "say where the shell stands, or go elsewhere; a transaction may cover several", 0, 1, anywhere, runKeyspace},
		{"keyspaces", "keyspaces", "list all keyspaces", 0, 0, anywhere, runKeyspaces},
		{"level", "level [LEVEL]", "ask for another level than the keyspace's own promise; default is that", 0, 1, outside, runLevel},
		{"receipt", "receipt on|off", "say how each answer was given", 1, 1, anywhere, runReceipt},
		{"outcome", "outcome ID", "tell what became of a transaction whose outcome was unknown", 1, 1, outside, runOutcome},
		{"help", "help [STATEMENT]", "explain statements; ? is the same", 0, 1, anywhere, runHelp},
		{"exit", "exit", "leave; the end of input is the same", 0, 0, anywhere, runExit},
	}
}

func (s *Shell) find(name string) *verb {
	switch name {
	case "?":
		name = "help"
	case "quit":
		name = "exit"
	case "del":
		name = "delete"
	}
	for i := range s.verbs {
		if s.verbs[i].name == name {
			return &s.verbs[i]
		}
	}
	return nil
}

func runGet(ctx context.Context, s *Shell, args []string) error {
	if s.open != nil {
		return s.open.get(ctx, s, args[0])
	}
	var receipt kv.Receipt
	r, err := s.at().Get(ctx, args[0], s.with(&receipt)...)
	if err == nil {
		s.say("%s", record(r))
	}
	s.tell(&receipt)
	return err
}

func record(r client.Record) string {
	line := fmt.Sprintf("%s (version %d", text(r.Value), r.Version)
	if !r.Expires.IsZero() {
		line += ", ends " + r.Expires.UTC().Format(time.RFC3339)
	}
	return line + ")"
}

func runPut(ctx context.Context, s *Shell, args []string) error {
	var ttl time.Duration
	switch {
	case len(args) == 3 || len(args) == 4 && args[2] != "ttl":
		return fmt.Errorf("put is: %s; a value with blanks stands in double quotes", s.find("put").usage)
	case len(args) == 4:
		var err error
		if ttl, err = time.ParseDuration(args[3]); err != nil || ttl < time.Millisecond {
			return fmt.Errorf("%q is not a time to live, such as 90s", args[3])
		}
	}
	if s.open != nil {
		s.open.put(s.key(args[0]), args[1], ttl)
		return nil
	}
	var receipt kv.Receipt
	options := s.with(&receipt)
	if ttl != 0 {
		options = append(options, client.TTL(ttl))
	}
	version, err := s.at().Put(ctx, args[0], []byte(args[1]), options...)
	return s.stored(version, &receipt, err)
}

func (s *Shell) stored(version uint64, receipt *kv.Receipt, err error) error {
	if err == nil {
		s.say("ok, version %d", version)
	}
	s.tell(receipt)
	return err
}

func runCAS(ctx context.Context, s *Shell, args []string) error {
	version, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil {
		return fmt.Errorf("version %q is not a number", args[1])
	}
	var receipt kv.Receipt
	version, err = s.at().CAS(ctx, args[0], version, []byte(args[2]), s.with(&receipt)...)
	return s.stored(version, &receipt, err)
}

func runDelete(ctx context.Context, s *Shell, args []string) error {
	if s.open != nil {
		s.open.delete(s.key(args[0]))
		return nil
	}
	var receipt kv.Receipt
	err := s.at().Delete(ctx, args[0], s.with(&receipt)...)
	if err == nil {
		s.say("ok")
	}
	s.tell(&receipt)
	return err
}

func runIncr(ctx context.Context, s *Shell, args []string) error {
	by := int64(1)
	if len(args) == 2 {
		var err error
		if by, err = strconv.ParseInt(args[1], 10, 64); err != nil {
			return fmt.Errorf("%q is not a 64-bit integer", args[1])
		}
	}
	if s.open != nil {
		s.open.incr(s.key(args[0]), by)
		return nil
	}
	var receipt kv.Receipt
	n, err := s.at().Incr(ctx, args[0], by, s.with(&receipt)...)
	if err == nil {
		s.say("%d", n)
	}
	s.tell(&receipt)
	return err
}

// scanLimit is how many keys a scan lists unless it says otherwise.
const scanLimit = 100

func runScan(ctx context.Context, s *Shell, args []string) error {
	r := client.Range{Limit: scanLimit}
	if len(args) > 0 {
		r.Prefix = args[0]
	}
	if len(args) == 2 {
		n, err := strconv.Atoi(args[1])
		if err != nil || n < 1 {
			return fmt.Errorf("limit %q is not a number of at least 1", args[1])
		}
		r.Limit = n
	}
	n := 0
	for item, err := range s.at().Scan(ctx, r, client.Level(s.level)) {
		if err != nil {
			return err
		}
		s.say("%s = %s", text([]byte(item.Key)), record(item))
		n++
	}
	if n == r.Limit {
		s.say("there may be more: say a larger limit")
	}
	return nil
}

func runKeyspace(ctx context.Context, s *Shell, args []string) error {
	name := s.keyspace
	if len(args) == 1 {
		name = args[0]
	}
	info, err := s.options.Client.Keyspace(name).Info(ctx)
	if err != nil {
		return err
	}
	s.keyspace = name
	s.say("%s: %s, %d shards", info.Name, info.Consistency, info.Shards)
	return nil
}

func runKeyspaces(ctx context.Context, s *Shell, _ []string) error {
	list, err := s.options.Client.Cluster().Keyspaces(ctx)
	for i := range list {
		s.say("%s: %s, %d shards", list[i].Name, list[i].Consistency, list[i].Shards)
	}
	return err
}

func runLevel(_ context.Context, s *Shell, args []string) error {
	if len(args) == 1 {
		word := args[0]
		if word == kv.LevelDefault.String() {
			word = ""
		}
		level, err := kv.ParseLevel(word)
		if err != nil {
			return err
		}
		s.level = level
	}
	s.say("level %s", s.level)
	return nil
}

func runReceipt(_ context.Context, s *Shell, args []string) error {
	if args[0] != "on" && args[0] != "off" {
		return fmt.Errorf("receipt is: receipt on|off")
	}
	s.receipts = args[0] == "on"
	return nil
}

func runOutcome(ctx context.Context, s *Shell, args []string) error {
	if _, err := kv.ParseTxID(args[0]); err != nil {
		return err
	}
	var o kv.TxnOutcome
	if err := s.options.Client.Cluster().JSON(ctx, remote.Request{Method: "GET", Path: "/v1/txn/" + args[0]}, &o); err != nil {
		return err
	}
	s.say("%s", o.Outcome)
	return nil
}

func runHelp(_ context.Context, s *Shell, args []string) error {
	if len(args) == 1 {
		v := s.find(args[0])
		if v == nil {
			return fmt.Errorf("%q is not a statement; help lists them", args[0])
		}
		s.say("%s\n  %s", v.usage, v.help)
		return nil
	}
	for i := range s.verbs {
		s.say("%-10s %s", s.verbs[i].name, s.verbs[i].help)
	}
	s.say(`Words are parted by blanks; one in double quotes may hold any. # begins a comment.`)
	return nil
}

func runExit(_ context.Context, s *Shell, _ []string) error {
	s.over = true
	return nil
}

// errWeak refuses what would mix a weaker level with transactions.
var errWeak = errors.New("transactions are linearizable; say level default first")
