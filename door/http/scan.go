package http

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gamutdb/gamut/kv"
)

// Pages of one shard: enough keys to pay for the way to the leader, few enough values to hold one page of every shard.
const (
	scanKeysPage   = 1000
	scanValuesPage = 64
)

// Next is the last line of a scan that was cut: where to go on (the parameter from), and why if it was not the limit.
type Next struct {
	Next   string `json:"next,omitempty"`
	Next64 string `json:"next64,omitempty"`
	*ErrorBody
}

// scan lists keys in byte order as lines of JSON. It is not one instant: each page of each shard is as of its own time.
func (s *Server) scan(w http.ResponseWriter, r *http.Request) {
	m, limit, err := s.startScan(r)
	if err == nil {
		defer m.close()
		err = m.fill() // the first page decides the status; afterwards errors can only be the last line
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	h := w.Header()
	if token := m.seen.Token(m.keyspace); token != nil {
		h.Set(HeaderSession, kv.FormatToken(token))
	}
	h.Set("Content-Type", "application/x-ndjson")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Trailer", HeaderNext+", "+HeaderEvicted)
	defer func() {
		if m.evicted {
			h.Set(HeaderEvicted, "true")
		}
	}()
	lines := json.NewEncoder(w)
	deadline := http.NewResponseController(w)
	var key []byte
	for ; limit > 0; limit-- {
		if m.asked {
			m.asked = false
			// A test's recorder has no deadlines, and needs none.
			_ = deadline.SetWriteDeadline(time.Now().Add(s.opts.TransferTimeout + s.opts.Deadline))
		}
		item, err := m.pop()
		if err != nil {
			code, detail := kv.Unknown, err.Error()
			var e *kv.Error
			if errors.As(err, &e) {
				code, detail = e.Code, e.Error()
			}
			endScan(w, lines, append(key, 0), &ErrorBody{Error: answers[code].name, Detail: detail, Outcome: "definite"})
			return
		}
		if item == nil {
			return
		}
		if err := lines.Encode(RecordOf(item, m.values)); err != nil {
			return // the client is gone
		}
		key = append(key[:0], item.Key...)
	}
	if next := m.peek(); next != nil {
		endScan(w, lines, next, nil)
	}
}

func endScan(w http.ResponseWriter, lines *json.Encoder, next []byte, why *ErrorBody) {
	last := Next{ErrorBody: why}
	last.Next, last.Next64 = textOr64(next)
	lines.Encode(last) // the client may be gone: nobody is left to tell
	w.Header().Set(HeaderNext, url.PathEscape(string(next)))
}

func (s *Server) startScan(r *http.Request) (*merge, uint64, error) {
	ks, err := s.keyspace(r.PathValue("keyspace"))
	if err != nil {
		return nil, 0, err
	}
	level, err := kv.ParseLevel(r.Header.Get(HeaderLevel))
	if err != nil {
		return nil, 0, err
	}
	token, err := kv.ParseToken(ks, r.Header.Get(HeaderSession))
	if err != nil {
		return nil, 0, err
	}
	query, err := parseQuery(r, "prefix", "from", "limit", "values")
	if err != nil {
		return nil, 0, err
	}
	limit, err := number(query, "limit", math.MaxUint64, math.MaxUint64)
	if err != nil {
		return nil, 0, err
	}
	values := false
	if text := query.Get("values"); text != "" {
		if values, err = strconv.ParseBool(text); err != nil {
			return nil, 0, invalid("values=%s is neither true nor false", text)
		}
	}
	prefix, from := []byte(query.Get("prefix")), []byte(query.Get("from"))
	if bytes.Compare(from, prefix) < 0 {
		from = prefix
	}
	m := &merge{server: s, keyspace: ks, level: level, values: values, end: prefixEnd(prefix), page: scanKeysPage}
	m.seen.Set(ks, token)
	if values {
		m.page = scanValuesPage
	}
	if limit < uint64(m.page) {
		m.page = uint32(limit) + 1 // one more tells whether the scan was cut
	}
	for shard := range ks.Shards {
		m.shards = append(m.shards, cursor{shard: shard, next: from, more: true})
	}
	return m, limit, nil
}

// prefixEnd is the first key beyond all keys with the prefix; nil: there is none.
func prefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			end := bytes.Clone(prefix[:i+1])
			end[i]++
			return end
		}
	}
	return nil
}

// merge joins the shards of a keyspace into one run of keys in byte order.
type merge struct {
	server   *Server
	keyspace *kv.Keyspace
	level    kv.Level
	seen     kv.Sessions
	values   bool
	end      []byte
	page     uint32
	shards   []cursor
	// held are the bytes of items, taken from the node's allowance.
	held int64
	// evicted tells that a store had lost values of some keys, which are left out for that.
	evicted bool
	// asked tells that pages were fetched since it was last cleared.
	asked bool
}

// cursor is how far one shard was read.
type cursor struct {
	shard int
	items []kv.Result
	next  []byte
	more  bool
}

// fill fetches a page of every shard that has run dry, all at once.
func (m *merge) fill() error {
	var b kv.Batch
	b.Reset(time.Now().Add(m.server.opts.Deadline))
	var asked []*cursor
	for i := range m.shards {
		c := &m.shards[i]
		if len(c.items) > 0 || !c.more {
			continue
		}
		call := b.Add()
		call.Keyspace, call.Command.Level, call.Shard = m.keyspace, m.level, c.shard
		call.Command.Token = m.seen.Token(m.keyspace)
		call.Command.Ops = append(call.Command.Ops, kv.Op{Kind: kv.OpScan, Key: c.next, End: m.end, Limit: m.page, KeysOnly: !m.values})
		asked = append(asked, c)
	}
	if len(asked) == 0 {
		return nil
	}
	m.asked = true
	m.server.db.Submit(&b)
	b.Wait()
	for i, call := range b.Calls() {
		m.seen.Learn(m.keyspace, &call.Result)
		if err := call.Result.Err(); err != nil {
			return err
		}
		m.evicted = m.evicted || call.Result.Marks&kv.MarkEvicted != 0
		size := int64(0)
		for j := range call.Result.Items {
			size += itemSize(&call.Result.Items[j])
		}
		if err := m.server.hold(size); err != nil {
			return err
		}
		m.held += size
		asked[i].items, asked[i].next, asked[i].more = call.Result.Items, call.Result.Key, len(call.Result.Key) > 0
	}
	return nil
}

// itemSize is about what an item takes in memory.
func itemSize(item *kv.Result) int64 { return int64(len(item.Key)+len(item.Value)) + 200 }

// close gives back what is still held.
func (m *merge) close() {
	m.server.release(m.held)
	m.held = 0
}

// first is the shard with the smallest key; nil at the end. fill must have succeeded since the last pop.
func (m *merge) first() *cursor {
	var best *cursor
	for i := range m.shards {
		c := &m.shards[i]
		if len(c.items) > 0 && (best == nil || bytes.Compare(c.items[0].Key, best.items[0].Key) < 0) {
			best = c
		}
	}
	return best
}

// pop returns the next item; nil at the end.
func (m *merge) pop() (*kv.Result, error) {
	for {
		dry := false
		for i := range m.shards {
			dry = dry || len(m.shards[i].items) == 0 && m.shards[i].more
		}
		if !dry {
			break
		}
		if err := m.fill(); err != nil {
			return nil, err
		}
	}
	c := m.first()
	if c == nil {
		return nil, nil
	}
	item := &c.items[0]
	c.items = c.items[1:]
	m.server.release(itemSize(item))
	m.held -= itemSize(item)
	return item, nil
}

// peek is where a cut scan goes on; nil if nothing is known to follow.
func (m *merge) peek() []byte {
	var next []byte
	for i := range m.shards {
		c := &m.shards[i]
		var key []byte
		switch {
		case len(c.items) > 0:
			key = c.items[0].Key
		case c.more:
			key = c.next
		default:
			continue
		}
		if next == nil || bytes.Compare(key, next) < 0 {
			next = key
		}
	}
	return next
}

// NextKey is where to go on, whichever field holds it; nil if the line is not a Next.
func (n *Next) NextKey() []byte {
	if n.Next == "" && n.Next64 == "" {
		return nil
	}
	key, err := bytesOf(&n.Next, n.Next64)
	if err != nil {
		return nil
	}
	return key
}
