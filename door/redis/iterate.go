package redis

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"

	"github.com/gamutdb/gamut/kv"
)

// cursors remembers for SCAN's numbers where they go on. A node keeps a bounded number of them; the oldest is dropped
// first, and its client is told to start again rather than given a wrong place. A number may be used again and again.
type cursors struct {
	mu    sync.Mutex
	ring  []cursor // of number n at n % cursorsMax
	first uint64   // the oldest that is kept
	next  uint64
	bytes int
}

// cursor is a place in a keyspace.
type cursor struct {
	keyspace string
	shard    int
	key      []byte
}

const (
	cursorsMax     = 16 << 10
	cursorBytesMax = 16 << 20
)

// newCursors begins at a number that differs from one start of a node to the next, so that a cursor of a former one is
// not taken for one of this.
func newCursors(first uint64) cursors { return cursors{first: first, next: first} }

func (t *cursors) put(c cursor) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ring == nil {
		t.ring = make([]cursor, cursorsMax)
	}
	for t.next-t.first >= cursorsMax || t.bytes+len(c.key) > cursorBytesMax {
		oldest := &t.ring[t.first%cursorsMax]
		t.bytes -= len(oldest.key)
		*oldest = cursor{}
		t.first++
	}
	number := t.next
	t.next++
	t.bytes += len(c.key)
	t.ring[number%cursorsMax] = c
	return number
}

func (t *cursors) get(number uint64) (cursor, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if number < t.first || number >= t.next {
		return cursor{}, false
	}
	return t.ring[number%cursorsMax], true
}

// itemBytes is about what a scanned item takes beside its key.
const itemBytes = 200

// page reads keys of one shard in order. It takes the batch for itself, so only a barrier may call it.
func (c *conn) page(ks *kv.Keyspace, shard int, from, end []byte, limit int) *kv.Result {
	if !c.reserve(outputSmall) {
		return &kv.Result{Code: kv.Busy, Detail: busyOutput}
	}
	c.batch.Reset(c.batch.Deadline)
	c.scratch.Conds = c.scratch.Conds[:0]
	c.scratch.Ops = append(c.scratch.Ops[:0], kv.Op{Kind: kv.OpScan, Key: from, End: end, Limit: uint32(limit), KeysOnly: true})
	call := c.addCall(ks, shard)
	c.await()
	size := int64(0)
	for i := range call.Result.Items {
		size += int64(len(call.Result.Items[i].Key)) + itemBytes
	}
	c.hold(size)
	return &call.Result
}

// scanRequest is a SCAN, parsed.
type scanRequest struct {
	number  uint64
	pattern []byte
	count   int
	typed   bool // only keys of a TYPE: of sets, of strings, or of none
	sets    bool
	strings bool
}

func parseScan(args [][]byte) (r scanRequest, fault string) {
	number, err := strconv.ParseUint(string(args[1]), 10, 64)
	if err != nil {
		return r, "ERR invalid cursor"
	}
	r.number, r.count = number, 10
	for i := 2; i < len(args); i += 2 {
		if i+1 == len(args) {
			return r, faultSyntax
		}
		switch {
		case is(args[i], "COUNT"):
			n, ok := parseInt(args[i+1])
			if !ok {
				return r, faultNotInteger
			}
			if n < 1 {
				return r, faultSyntax
			}
			r.count = int(min(n, kv.ScanMax))
		case is(args[i], "MATCH"):
			r.pattern = args[i+1]
		case is(args[i], "TYPE"):
			r.typed, r.sets, r.strings = true, is(args[i+1], "SET"), is(args[i+1], "STRING")
		default:
			return r, faultSyntax
		}
	}
	return r, ""
}

// runScan returns a page. Keys come in byte order within a shard, shard by shard, so each key that is there from the
// first page to the last is returned exactly once.
func runScan(c *conn, w *writer, args [][]byte) {
	r, fault := parseScan(args)
	var ks *kv.Keyspace
	if fault == "" {
		ks, fault = c.selected()
	}
	at := cursor{keyspace: c.keyspaceName}
	if fault == "" && r.number != 0 {
		known := false
		at, known = c.server.cursors.get(r.number)
		if !known || at.keyspace != ks.Name || ks.Range == nil && at.shard >= ks.Shards {
			fault = fmt.Sprintf("ERR unknown cursor %d: it is too old, or of another node or keyspace; start again from 0", r.number)
		}
	}
	if fault != "" {
		w.fail(fault)
		return
	}
	if ks.Range != nil && len(at.key) > 0 {
		at.shard = ks.ShardOf(at.key) // shards may have been split or merged since the last page
	}
	from, end := scanBounds(at.key, r.pattern)
	result := c.page(ks, at.shard, from, end, r.count)
	if failures[result.Code] != "" {
		w.failure(result)
		return
	}
	next := uint64(0)
	if len(result.Key) > 0 {
		next = c.server.cursors.put(cursor{ks.Name, at.shard, append([]byte(nil), result.Key...)})
	} else if at.shard+1 < ks.Shards {
		var first []byte
		if ks.Range != nil {
			first, _ = ks.Range(at.shard + 1)
		}
		next = c.server.cursors.put(cursor{ks.Name, at.shard + 1, first})
	}
	if r.typed {
		result.Items = slices.DeleteFunc(result.Items, func(item kv.Result) bool {
			set := item.Marks&kv.MarkSet != 0
			return set && !r.sets || !set && !r.strings
		})
	}
	w.array(2)
	w.text(strconv.FormatUint(next, 10))
	writeKeys(w, matching(nil, result.Items, r.pattern))
}

// scanBounds narrows a scan to the keys that begin as the pattern does.
func scanBounds(from, pattern []byte) (start, end []byte) {
	prefix := globPrefix(pattern)
	if len(prefix) == 0 {
		return from, nil
	}
	if string(from) < string(prefix) {
		from = prefix
	}
	return from, prefixEnd(prefix)
}

func matching(keys [][]byte, items []kv.Result, pattern []byte) [][]byte {
	for i := range items {
		if pattern == nil || globMatch(pattern, items[i].Key) {
			keys = append(keys, items[i].Key)
		}
	}
	return keys
}

func writeKeys(w *writer, keys [][]byte) {
	w.array(len(keys))
	for _, key := range keys {
		w.bulk(key)
	}
}

// keysBytesMax bounds the answer to KEYS: it is made in one piece.
const keysBytesMax = 16 << 20

// runKeys lists all keys that match. It is no snapshot: it reads page after page.
func runKeys(c *conn, w *writer, args [][]byte) {
	var keys [][]byte
	size := 0
	if !c.reserve(keysBytesMax) {
		w.failure(&kv.Result{Code: kv.Busy, Detail: busyOutput})
		return
	}
	from, end := scanBounds(nil, args[1])
	fault := c.eachPage(from, end, func(items []kv.Result) string {
		before := len(keys)
		keys = matching(keys, items, args[1])
		for _, key := range keys[before:] {
			size += len(key) + 32
		}
		if size > keysBytesMax {
			return fmt.Sprintf("ERR the matching keys exceed the limit of %d bytes for one answer: use SCAN", keysBytesMax)
		}
		return ""
	})
	if fault != "" {
		w.fail(fault)
		return
	}
	writeKeys(w, keys)
}

// runDBSize counts by reading all keys.
func runDBSize(c *conn, w *writer, args [][]byte) {
	n := 0
	fault := c.eachPage(nil, nil, func(items []kv.Result) string {
		n += len(items)
		return ""
	})
	if fault != "" {
		w.fail(fault)
		return
	}
	w.integer(int64(n))
}

// eachPage calls f with all keys of a range of the selected keyspace, page by page, until it returns a fault.
func (c *conn) eachPage(from, end []byte, f func(items []kv.Result) string) string {
	ks, fault := c.selected()
	if fault != "" {
		return fault
	}
	for shard := range ks.Shards {
		for next := from; ; {
			result := c.page(ks, shard, next, end, kv.ScanMax)
			if failures[result.Code] != "" {
				return failureText(result)
			}
			if fault := f(result.Items); fault != "" {
				return fault
			}
			if len(result.Key) == 0 {
				break
			}
			next = append([]byte(nil), result.Key...)
		}
	}
	return ""
}

// runRandomKey picks among the first keys of a random shard that has any: even in shards of up to kv.ScanMax keys.
func runRandomKey(c *conn, w *writer, args [][]byte) {
	ks, fault := c.selected()
	if fault != "" {
		w.fail(fault)
		return
	}
	for _, shard := range rand.Perm(ks.Shards) {
		result := c.page(ks, shard, nil, nil, kv.ScanMax)
		if failures[result.Code] != "" {
			w.failure(result)
			return
		}
		if n := len(result.Items); n > 0 {
			w.bulk(result.Items[rand.IntN(n)].Key)
			return
		}
	}
	w.null()
}

// planFlush is FLUSHDB: one call for each shard, since no instant spans them.
func planFlush(args [][]byte, command *kv.Command, o *reply) string {
	if fault := checkFlush(args); fault != "" {
		return fault
	}
	command.Ops = append(command.Ops, kv.Op{Kind: kv.OpClear})
	o.render = renderSet
	return ""
}

func checkFlush(args [][]byte) string {
	if len(args) > 2 || len(args) == 2 && !is(args[1], "ASYNC") && !is(args[1], "SYNC") {
		return faultSyntax
	}
	return ""
}

// systemKeyspace holds the catalog; no client may clear it.
const systemKeyspace = "system"

// runFlushAll clears every keyspace but the catalog's.
func runFlushAll(c *conn, w *writer, args [][]byte) {
	if fault := checkFlush(args); fault != "" {
		w.fail(fault)
		return
	}
	for _, ks := range c.server.db.Keyspaces() {
		if ks.Name == systemKeyspace {
			continue
		}
		for shard := range ks.Shards {
			c.scratch.Conds = c.scratch.Conds[:0]
			c.scratch.Ops = append(c.scratch.Ops[:0], kv.Op{Kind: kv.OpClear})
			c.addCall(ks, shard)
		}
	}
	if len(c.batch.Calls()) > 0 {
		c.await()
	}
	for _, call := range c.batch.Calls() {
		if failures[call.Result.Code] != "" {
			w.failure(&call.Result)
			return
		}
	}
	w.ok()
}
