package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// pairSession is a session that can write two keys at one instant, or none of them.
type pairSession interface {
	session
	// pair writes the first two keys of the batch together.
	pair(b *batch) (tally, error)
}

// pairs asks for pairs instead of single writes.
type pairs struct{ pairSession }

func (p pairs) do(b *batch) (tally, error) { return p.pair(b) }

// pair sends one MSET.
func (s *lineSession) pair(b *batch) (t tally, err error) {
	s.out = append(s.out[:0], "*5\r\n$4\r\nMSET\r\n"...)
	for _, n := range b.keys[:2] {
		s.key = appendKey(s.key[:0], n)
		s.out = appendBulk(appendBulk(s.out, s.key), b.data.value(b.random))
	}
	if s.limit > 0 {
		if err := s.conn.SetDeadline(time.Now().Add(s.limit)); err != nil {
			return t, err
		}
	}
	if _, err := s.conn.Write(s.out); err != nil {
		return t, err
	}
	o, text, err := s.codec.readReply(s.in, true, b.data.valueBytes)
	if err == nil {
		t.count(o, text)
	}
	return t, err
}

// pair sends one Txn.
func (s *etcdSession) pair(b *batch) (t tally, err error) {
	ctx := s.context
	if s.limit > 0 {
		limited, done := context.WithTimeout(ctx, s.limit)
		defer done()
		ctx = limited
	}
	var puts []clientv3.Op
	for _, n := range b.keys[:2] {
		s.key = appendKey(s.key[:0], n)
		puts = append(puts, clientv3.OpPut(string(s.key), string(b.data.value(b.random))))
	}
	_, err = s.client.Txn(ctx).Then(puts...).Commit()
	o, text := judgeEtcd(err)
	t.count(o, text)
	return t, s.context.Err()
}

// drawPair draws the keys of a batch; of two they are different ones.
func (b *batch) drawPair() {
	b.draw()
	for len(b.keys) == 2 && b.keys[1] == b.keys[0] && b.data.keys > 1 {
		b.keys[1] = b.random.IntN(b.data.keys)
	}
}

// pairShards is how many shards the keyspace of pairs has: so many that the keys of nearly all pairs lie in two.
const pairShards = 16

// planGamutPairs lays out three nodes with a linearizable keyspace of several shards, for writes over two of them.
func planGamutPairs(s *system, o *options, dir string) error {
	binary, err := filepath.Abs(o.gamut)
	if err != nil {
		return err
	}
	s.title, s.promise = fmt.Sprintf("Gamut, 3 nodes, %d shards", pairShards), "synced by majorities of both shards; strictly serializable"
	s.only = []string{}
	s.pairs = true
	s.dialer = &lineDialer{codec: resp{}, greeting: "SELECT pairs\r\n", welcomes: 1}
	doors, err := planGamutNodes(s, o, filepath.Join(dir, "pairs"), binary, o.basePort+130, "default")
	if err != nil {
		return err
	}
	s.servers.ready = func(ctx context.Context) error {
		return errors.Join(gamutReady(ctx, doors), createKeyspace(ctx, doors[0], "pairs", pairShards))
	}
	return nil
}

// createKeyspace makes a linearizable keyspace unless it is there.
func createKeyspace(ctx context.Context, door, name string, shards int) error {
	body := fmt.Sprintf(`{"name":%q,"consistency":"linearizable","shards":%d}`, name, shards)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, door+"/v1/keyspaces", strings.NewReader(body))
	if err != nil {
		return err
	}
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusCreated && reply.StatusCode != http.StatusConflict {
		return fmt.Errorf("create the keyspace %s: %s", name, reply.Status)
	}
	return nil
}
