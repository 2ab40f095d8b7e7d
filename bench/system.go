package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// target is where the clients of a cluster connect.
type target string

const (
	spread target = "spread" // over all nodes in turn
	leader target = "leader" // all to the leader
)

// systemNames are all that can take part, in the order of their turns.
var systemNames = []string{"gamut", "gamut-quorum", "gamut-one", "gamut-causal", "gamut-atomic", "gamut-pairs", "gamut-join", "etcd", "redis", "redis-wait", "redis-async", "memcached"}

// system is one contender: servers, a client for them, and what the servers promise for an acknowledged write.
type system struct {
	name, title, promise string

	servers *servers
	dialer  dialer
	// only names the workloads that make sense for it; nil is all but failover.
	only []string
	// pairs says that it writes two keys together: of their own shards, where there are shards.
	pairs bool
	// grows says which node joins it; nil: none.
	grows *growth
	// pipelines is false if a client has one operation under way; then more clients stand for a pipeline.
	pipelines bool
}

// servers are the processes of one system; two contenders may share them.
type servers struct {
	version   string
	nodes     []*process
	endpoints []string // of the nodes, as clients dial them
	ready     func(context.Context) error
	// leader is the index of the node that leads; nil if clients have no choice where to write.
	leader func(context.Context) (int, error)
	// profiles are the addresses at which the nodes serve CPU profiles, if asked to.
	profiles []string
	// failsOver tells that a dead leader is replaced without help.
	failsOver bool
}

// cluster tells whether the clients have a choice of nodes.
func (s *servers) cluster() bool { return s.leader != nil }

// takesPart tells whether the workload is for this system.
func (s *system) takesPart(w workload) bool {
	if w.pair {
		return s.pairs
	}
	if w.shape == whileJoining {
		return s.grows != nil
	}
	if w.shape == afterLeader {
		return s.servers.failsOver
	}
	return s.only == nil || slices.Contains(s.only, w.name)
}

// runs lists where the clients go for this workload.
func (s *system) runs(w workload, targets []target) []target {
	if !s.servers.cluster() || w.shape == afterLoad || w.shape == quiet || w.shape == afterLeader || w.shape == whileJoining {
		return []target{spread}
	}
	return targets
}

// at returns the endpoints to dial, beginning with another one in each round.
func (s *system) at(ctx context.Context, t target, round int) ([]string, error) {
	ends := s.servers.endpoints
	if t == leader {
		n, err := s.servers.leader(ctx)
		if err != nil {
			return nil, fmt.Errorf("leader of %s: %w", s.name, err)
		}
		return ends[n : n+1], nil
	}
	first := round % len(ends)
	return append(slices.Clone(ends[first:]), ends[:first]...), nil
}

// cpu is the processor time of all servers so far.
func (s *servers) cpu() (time.Duration, error) {
	var sum time.Duration
	for _, p := range s.nodes {
		used, err := p.cpu()
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}

// memory is the resident memory of all servers.
func (s *servers) memory() (int64, error) {
	var sum int64
	for _, p := range s.nodes {
		used, err := p.memory()
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}

// start runs all processes and waits until they serve.
func (s *servers) start(ctx context.Context) error {
	for _, p := range s.nodes {
		if err := p.start(); err != nil {
			return err
		}
	}
	return waitUntil(ctx, 60*time.Second, s.nodes, s.ready)
}

// exited tells of servers that have ended by themselves.
func (s *servers) exited() error {
	var errs []error
	for _, p := range s.nodes {
		errs = append(errs, p.exited())
	}
	return errors.Join(errs...)
}

func (s *servers) stop() {
	for _, p := range s.nodes {
		p.kill()
	}
}

// plan makes the systems that were asked for, without starting them.
func plan(o *options, dir string) ([]*system, error) {
	var all []*system
	var replicated *servers // shared by the two ways of using Redis with replicas
	var leaderless *servers // shared by the two levels of a quorum keyspace
	for _, name := range systemNames {
		if !slices.Contains(o.systems, name) {
			continue
		}
		s := &system{name: name, pipelines: true}
		var err error
		switch name {
		case "gamut":
			err = planGamut(s, o, dir)
		case "gamut-quorum", "gamut-one":
			s.servers = leaderless
			err = planGamutQuorum(s, o, dir)
			leaderless = s.servers
		case "gamut-causal":
			err = planGamutKeyspace(s, o, dir, o.basePort+60)
		case "gamut-atomic":
			err = planGamutKeyspace(s, o, dir, o.basePort+330)
		case "gamut-pairs":
			err = planGamutPairs(s, o, dir)
		case "gamut-join":
			err = planGamutJoin(s, o, dir)
		case "etcd":
			s.pairs = true
			err = planEtcd(s, o, dir)
		case "redis":
			err = planRedis(s, o.basePort+200, filepath.Join(dir, name), 0)
		case "redis-wait", "redis-async":
			if replicated != nil {
				s.servers = replicated
			}
			err = planRedis(s, o.basePort+210, filepath.Join(dir, "redis-replicated"), 2)
			replicated = s.servers
		case "memcached":
			err = planMemcached(s, o, dir)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// planRedis lays out a Redis with n replicas. The only write-ahead file is the AOF, synced before each reply; it is not
// rewritten during the run, as that would fall into the turn of another system.
func planRedis(s *system, port int, dir string, replicas int) error {
	switch s.name {
	case "redis":
		s.title, s.promise = "Redis, 1 node", "synced by its one node (appendfsync always)"
		s.dialer = &lineDialer{codec: resp{}}
	case "redis-wait":
		s.title, s.promise = "Redis, 1+2, WAIT 1", "synced by the primary (appendfsync always), received by one replica (WAIT 1); may be lost on failover"
		s.dialer = &lineDialer{codec: resp{wait: true}}
		s.only = []string{"memory", "idle", "write-c1", "write-c256", "rate-2000"}
	case "redis-async":
		s.title, s.promise = "Redis, 1+2, asynchronous", "synced by the primary only (appendfsync always); replicas follow later"
		s.dialer = &lineDialer{codec: resp{}}
		s.only = []string{"write-c50-p16"}
	}
	if s.servers != nil {
		return nil
	}
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		return fmt.Errorf("%w; install redis-server, or leave %s out with -systems", err, s.name)
	}
	s.servers = &servers{version: firstLine(binary, "--version")}
	for i := range replicas + 1 {
		arguments := []string{
			binary, "--bind", "127.0.0.1", "--port", strconv.Itoa(port + i), "--appendonly", "yes", "--appendfsync", "always",
			"--save", "", "--auto-aof-rewrite-percentage", "0", "--repl-diskless-sync-delay", "0",
		}
		if i > 0 {
			arguments = append(arguments, "--replicaof", "127.0.0.1 "+strconv.Itoa(port))
		}
		p, err := newProcess(fmt.Sprintf("redis %d", i+1), filepath.Join(dir, strconv.Itoa(i+1)), arguments)
		if err != nil {
			return err
		}
		s.servers.nodes = append(s.servers.nodes, p)
	}
	primary := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	s.servers.endpoints = []string{primary}
	s.servers.ready = func(ctx context.Context) error { return redisReady(ctx, primary, replicas) }
	return nil
}

// redisReady asks INFO of the primary until all replicas stream.
func redisReady(ctx context.Context, primary string, replicas int) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", primary)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("INFO replication\r\n")); err != nil {
		return err
	}
	reply := make([]byte, 4096)
	n, err := conn.Read(reply)
	if err != nil {
		return err
	}
	if online := strings.Count(string(reply[:n]), "state=online"); online != replicas {
		return fmt.Errorf("%d of %d replicas are online", online, replicas)
	}
	return nil
}

func planMemcached(s *system, o *options, dir string) error {
	binary, err := exec.LookPath("memcached")
	if err != nil {
		return fmt.Errorf("%w; install memcached, or leave it out with -systems", err)
	}
	s.title, s.promise = "memcached, 1 node", "in memory only"
	s.dialer = &lineDialer{codec: memcached{}}
	port := strconv.Itoa(o.basePort + 300)
	arguments := []string{binary, "-l", "127.0.0.1", "-p", port, "-U", "0", "-t", "2", "-m", "4096", "-c", "4096"}
	if os.Getuid() == 0 {
		arguments = append(arguments, "-u", "root")
	}
	p, err := newProcess("memcached", filepath.Join(dir, "memcached"), arguments)
	if err != nil {
		return err
	}
	endpoint := net.JoinHostPort("127.0.0.1", port)
	s.servers = &servers{version: firstLine(binary, "-V"), nodes: []*process{p}, endpoints: []string{endpoint}}
	s.servers.ready = func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", endpoint)
		if err == nil {
			err = conn.Close()
		}
		return err
	}
	return nil
}

// newProcess makes the folder that the process will run in.
func newProcess(name, dir string, arguments []string) (*process, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return &process{name: name, arguments: arguments, logPath: filepath.Join(dir, "log")}, nil
}

// firstLine is what a binary says about its version; nothing depends on it.
func firstLine(binary string, arguments ...string) string {
	said, err := exec.Command(binary, arguments...).CombinedOutput()
	if err != nil {
		return "unknown version"
	}
	line, _, _ := strings.Cut(string(said), "\n")
	return strings.TrimSpace(line)
}
