package client

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	doorhttp "github.com/gamutdb/gamut/door/http"
)

// Range says which keys a scan lists.
type Range struct {
	// Prefix is what all keys begin with; From is the first of them.
	Prefix, From string
	// Limit is how many are listed at most; 0: all.
	Limit int
	// KeysOnly leaves out the values.
	KeysOnly bool
}

// Scan lists records in the order of their keys. It is one moment within a page of one shard and no more than that. When the
// node that is asked goes away the scan goes on at another one, behind the last key that was listed.
func (k *Keyspace) Scan(ctx context.Context, of Range, options ...Option) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		s := scan{keyspace: k, request: k.request(http.MethodGet, of.From, options), of: of, yield: yield}
		if err := s.run(ctx); err != nil && !s.stopped {
			yield(Record{}, outcome("scan of keyspace "+strconv.Quote(k.name), err, false))
		}
	}
}

// errStopped ends a scan whose caller has seen enough.
var errStopped = errors.New("stopped")

type scan struct {
	keyspace *Keyspace
	request  *request
	of       Range
	yield    func(Record, error) bool
	listed   int
	stopped  bool
}

// run asks for page after page. A page that broke off without a key ends the scan once every address was tried.
func (s *scan) run(ctx context.Context) error {
	c := s.keyspace.client
	for tries := 0; ; {
		p, err := c.place(ctx, s.keyspace.name)
		if err != nil {
			return err
		}
		before := s.listed
		route := c.route(p, []byte(s.of.From), !s.request.anywhere(p))
		more, err := s.page(ctx, route[tries%len(route)])
		switch {
		case s.stopped:
			return nil
		case err == nil && !more:
			return nil
		case err == nil || s.listed > before:
			tries = 0
			continue
		}
		t := try{keyspace: s.keyspace, request: s.request, place: p, tries: tries}
		t.failed(route[tries%len(route)], err)
		if !t.again(err) || !t.pause(ctx) {
			return err
		}
		tries++
	}
}

// page lists what one request brings.
func (s *scan) page(ctx context.Context, address string) (more bool, err error) {
	query := url.Values{"values": {strconv.FormatBool(!s.of.KeysOnly)}}
	set := func(name, value string) {
		if value != "" {
			query.Set(name, value)
		}
	}
	set("prefix", s.of.Prefix)
	set("from", s.of.From)
	if s.of.Limit > 0 {
		set("limit", strconv.Itoa(s.of.Limit-s.listed))
	}
	header := s.request.header.Clone()
	if token := s.keyspace.session.Token(s.keyspace.name); token != "" {
		header.Set(doorhttp.HeaderSession, token)
	}
	node := s.keyspace.client.wire.Node(address)
	next, err := node.Scan(ctx, s.keyspace.name, query, header, s.item)
	if next != nil {
		s.of.From = string(next)
	}
	return next != nil && (s.of.Limit == 0 || s.listed < s.of.Limit), err
}

func (s *scan) item(line doorhttp.Record) error {
	r, err := recordOf(&line)
	if err != nil {
		return err
	}
	s.listed++
	s.of.From = r.Key + "\x00"
	if !s.yield(r, nil) {
		s.stopped = true
		return errStopped
	}
	return nil
}

func recordOf(line *doorhttp.Record) (r Record, err error) {
	key, err := line.KeyBytes()
	if err != nil {
		return r, err
	}
	r = Record{Key: string(key), Version: line.Version, Flags: line.Flags}
	if r.Value, err = line.ValueBytes(); err != nil {
		return r, err
	}
	if r.Members, err = line.Members(); err != nil {
		return r, err
	}
	if line.Expires != "" {
		r.Expires, err = time.Parse(time.RFC3339Nano, line.Expires)
	}
	return r, err
}
