package shell

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gamutdb/gamut/client"
	"github.com/gamutdb/gamut/kv"
)

// transaction is what is open between begin and commit.
type transaction struct {
	txn *client.Txn
	// read are the versions that were read, keys the same in order.
	read map[client.Key]client.Record
	keys []client.Key
	// wrote says how each key stands that was written here, in a sentence.
	wrote map[client.Key]string
	steps []written
	// spoiled is a line with a statement that failed.
	spoiled int
}

// written is an operation that waits for commit.
type written struct {
	what string
	step *client.Step
	adds bool
}

// key is a key of the keyspace at which the shell stands.
func (s *Shell) key(name string) client.Key { return s.at().Key(name) }

func runBegin(_ context.Context, s *Shell, _ []string) error {
	if s.level != kv.LevelDefault && s.level != kv.LevelLinearizable {
		return errWeak
	}
	s.open = &transaction{txn: s.options.Client.Txn(), read: map[client.Key]client.Record{}, wrote: map[client.Key]string{}}
	return nil
}

// get shows a key as it is now, or as this transaction has written it. Read again it is the same.
func (t *transaction) get(ctx context.Context, s *Shell, name string) error {
	k := s.key(name)
	if how, ok := t.wrote[k]; ok {
		s.say("%s", how)
		return nil
	}
	r, known := t.read[k]
	if !known {
		var err error
		if r, err = s.at().Get(ctx, name); err != nil && !errors.Is(err, client.ErrNotFound) {
			return err
		}
		t.read[k] = r
		t.keys = append(t.keys, k)
		t.txn.IfVersion(k, r.Version)
	}
	if r.Version == 0 {
		s.say("not there (version 0)")
	} else {
		s.say("%s", record(r))
	}
	return nil
}

func (t *transaction) put(k client.Key, value string, ttl time.Duration) {
	t.note("put "+k.Key, k, text([]byte(value))+" (written here)", t.txn.Then.Put(k, []byte(value)))
	if ttl != 0 {
		t.txn.Then.Expire(k, ttl)
	}
}

func (t *transaction) delete(k client.Key) {
	t.note("delete "+k.Key, k, "not there (deleted here)", t.txn.Then.Delete(k))
}

func (t *transaction) incr(k client.Key, by int64) {
	t.note("incr "+k.Key, k, "a sum (added to here; commit tells it)", t.txn.Then.Incr(k, by))
	t.steps[len(t.steps)-1].adds = true
}

func (t *transaction) note(what string, k client.Key, how string, step *client.Step) {
	t.wrote[k] = how
	t.steps = append(t.steps, written{what: what, step: step})
}

func runIf(_ context.Context, s *Shell, args []string) error {
	k, t := s.key(args[0]), s.open.txn
	switch test, rest := args[1], args[2:]; {
	case test == "absent" && len(rest) == 0:
		t.IfAbsent(k)
	case test == "present" && len(rest) == 0:
		t.IfPresent(k)
	case test == "is" && len(rest) == 1:
		t.IfValue(k, []byte(rest[0]))
	case test == "version" && len(rest) == 1:
		n, err := strconv.ParseUint(rest[0], 10, 64)
		if err != nil {
			return fmt.Errorf("version %q is not a number", rest[0])
		}
		t.IfVersion(k, n)
	default:
		return fmt.Errorf("if is: %s", s.find("if").usage)
	}
	return nil
}

func runAbort(_ context.Context, s *Shell, _ []string) error {
	s.open = nil
	s.say("aborted, nothing was done")
	return nil
}

// runCommit ends the transaction, however it ends.
func runCommit(ctx context.Context, s *Shell, _ []string) error {
	t := s.open
	s.open = nil
	if t.spoiled != 0 {
		return fmt.Errorf("not committed, since the statement in line %d failed; nothing was done", t.spoiled)
	}
	if len(t.steps) == 0 {
		return t.confirm(ctx, s)
	}
	done, receipt, err := t.do(ctx, s)
	if err != nil {
		return t.conflict(ctx, s, err)
	}
	if done.ID == "" {
		s.say("committed")
	} else {
		s.say("committed, transaction %s", done.ID)
	}
	for _, w := range t.steps {
		if !done.Lost {
			s.say("  %s: %s", w.what, w.result())
		}
	}
	s.tell(&receipt)
	return nil
}

// confirm says whether all that was read was so at one instant, where nothing was written.
func (t *transaction) confirm(ctx context.Context, s *Shell) error {
	if len(t.keys) == 0 {
		s.say("nothing was read or written")
		return nil
	}
	t.txn.Then.Get(t.keys[0])
	_, receipt, err := t.do(ctx, s)
	if err != nil {
		return t.conflict(ctx, s, err)
	}
	s.say("all that was read is so at one instant")
	s.tell(&receipt)
	return nil
}

func (t *transaction) do(ctx context.Context, s *Shell) (done client.Done, receipt kv.Receipt, err error) {
	if s.receipts {
		t.txn.Receipt = &receipt
	}
	done, err = t.txn.Do(ctx)
	return done, receipt, err
}

func (w *written) result() string {
	switch s := w.step; {
	case errors.Is(s.Err, client.ErrNotFound):
		return "not found"
	case s.Err != nil:
		return describe(s.Err)
	case w.adds:
		return strconv.FormatInt(s.Count, 10)
	case s.Version != 0:
		return fmt.Sprintf("ok, version %d", s.Version)
	}
	return "ok"
}

// conflict names the keys that have changed since they were read.
func (t *transaction) conflict(ctx context.Context, s *Shell, err error) error {
	if !errors.Is(err, client.ErrCondition) || len(t.keys) == 0 {
		return err
	}
	records, bad := s.options.Client.Snapshot(ctx, t.keys...)
	if bad != nil {
		return err
	}
	var changed []string
	for i, r := range records {
		if r.Version != t.read[t.keys[i]].Version {
			changed = append(changed, t.keys[i].String())
		}
	}
	if len(changed) == 0 {
		return err
	}
	return fmt.Errorf("conflict: %s changed since it was read; nothing was done: %w", strings.Join(changed, ", and "), &kv.Error{Code: kv.ConditionFailed})
}
