package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// clientsPerConnection is how many callers share a gRPC connection: more cost the server less, as etcd's own benchmark
// does it, until one connection is the bottleneck.
const clientsPerConnection = 8

// etcdDialer shares connections among clients, each bound to one endpoint.
type etcdDialer struct {
	connections []*clientv3.Client
}

func (d *etcdDialer) prepare(endpoints []string, clients int) error {
	d.close()
	for i := range max(min(clients, len(endpoints)), (clients+clientsPerConnection-1)/clientsPerConnection) {
		connection, err := dialEtcd(endpoints[i%len(endpoints)])
		if err != nil {
			return err
		}
		d.connections = append(d.connections, connection)
	}
	return nil
}

func dialEtcd(endpoint string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{
		Endpoints: []string{endpoint}, DialTimeout: 2 * time.Second, Logger: zap.NewNop(),
	})
}

func (d *etcdDialer) close() {
	for _, connection := range d.connections {
		_ = connection.Close() // its replies were awaited
	}
	d.connections = nil
}

func (d *etcdDialer) session(i int, limit time.Duration) (session, error) {
	s := &etcdSession{client: d.connections[i%len(d.connections)], limit: limit}
	s.context, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// etcdSession is one caller. A batch is one operation: what a pipeline does for others, more callers do for etcd.
type etcdSession struct {
	client  *clientv3.Client
	limit   time.Duration
	context context.Context
	cancel  context.CancelFunc
	key     []byte
}

func (s *etcdSession) close() { s.cancel() }

func (s *etcdSession) do(b *batch) (tally, error) {
	ctx := s.context
	if s.limit > 0 {
		limited, done := context.WithTimeout(ctx, s.limit)
		defer done()
		ctx = limited
	}
	var t tally
	for _, n := range b.keys {
		s.key = appendKey(s.key[:0], n)
		o, text := s.one(ctx, b)
		t.count(o, text)
	}
	return t, s.context.Err()
}

func (s *etcdSession) one(ctx context.Context, b *batch) (outcome, string) {
	if b.write {
		_, err := s.client.Put(ctx, string(s.key), string(b.data.value(b.random)))
		return judgeEtcd(err)
	}
	reply, err := s.client.Get(ctx, string(s.key))
	if err == nil && (len(reply.Kvs) != 1 || len(reply.Kvs[0].Value) != b.data.valueBytes) {
		return failed, "a range without the whole value"
	}
	return judgeEtcd(err)
}

func judgeEtcd(err error) (outcome, string) {
	switch {
	case err == nil:
		return done, ""
	case errors.Is(err, rpctypes.ErrTooManyRequests):
		return refused, err.Error()
	}
	return failed, err.Error()
}

func (d *etcdDialer) stream(i, window int, data *data, arrived arrived) (stream, error) {
	s := &etcdStream{
		client: d.connections[i%len(d.connections)], window: int64(window), data: data, arrived: arrived,
		random: rand.New(rand.NewPCG(uint64(i), 11)),
	}
	s.context, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// etcdStream has a goroutine for each write under way.
type etcdStream struct {
	client  *clientv3.Client
	data    *data
	arrived arrived
	random  *rand.Rand
	context context.Context
	cancel  context.CancelFunc
	window  int64
	count   atomic.Int64
	all     sync.WaitGroup
	key     []byte
}

func (s *etcdStream) send(due time.Time, key int) bool {
	if s.count.Add(1) > s.window {
		s.count.Add(-1)
		return false
	}
	s.key = appendKey(s.key[:0], key)
	name, value, sent := string(s.key), string(s.data.value(s.random)), time.Now()
	s.all.Go(func() {
		defer s.count.Add(-1)
		_, err := s.client.Put(s.context, name, value)
		if s.context.Err() != nil {
			return
		}
		o, text := judgeEtcd(err)
		s.arrived(due, sent, o, text)
	})
	return true
}

func (s *etcdStream) underWay() int { return int(s.count.Load()) }

func (s *etcdStream) close() {
	s.cancel()
	s.all.Wait()
}
