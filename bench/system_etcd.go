package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const etcdModule = "go.etcd.io/etcd/server/v3"

// etcdBinary builds the server that go.mod pins; where that cannot be done, the one that is installed has to do.
func etcdBinary(ctx context.Context, chosen string) (string, error) {
	if chosen != "" {
		return filepath.Abs(chosen)
	}
	built, err := filepath.Abs(filepath.Join("bin", "etcd"))
	if err != nil {
		return "", err
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", built, etcdModule)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	said, err := build.CombinedOutput()
	if err == nil {
		return built, nil
	}
	fmt.Fprintf(os.Stderr, "bench: cannot build %s, looking for an installed etcd: %v\n%s", etcdModule, err, said)
	installed, err := exec.LookPath("etcd")
	if err != nil {
		return "", fmt.Errorf("%w; install etcd-server, name a binary with -etcd, or leave etcd out with -systems", err)
	}
	return installed, nil
}

// planEtcd lays out three nodes with default settings, but for room for more history than 2 GB and for less logging.
func planEtcd(s *system, o *options, dir string) error {
	binary, err := etcdBinary(context.Background(), o.etcd)
	if err != nil {
		return err
	}
	s.title, s.promise = "etcd, 3 nodes", "synced by a majority of three nodes; linearizable"
	s.pipelines = false
	s.dialer = &etcdDialer{}
	s.servers = &servers{version: firstLine(binary, "--version"), failsOver: true}
	var peers []string
	for i := range 3 {
		peers = append(peers, fmt.Sprintf("n%d=http://127.0.0.1:%d", i+1, o.basePort+100+10*i+1))
	}
	for i := range 3 {
		client := "127.0.0.1:" + strconv.Itoa(o.basePort+100+10*i)
		_, peer, _ := strings.Cut(peers[i], "=")
		folder := filepath.Join(dir, "etcd", strconv.Itoa(i+1))
		p, err := newProcess(fmt.Sprintf("etcd %d", i+1), folder, []string{
			binary, "--name", fmt.Sprintf("n%d", i+1), "--data-dir", filepath.Join(folder, "data"),
			"--listen-client-urls", "http://" + client, "--advertise-client-urls", "http://" + client,
			"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
			"--initial-cluster", strings.Join(peers, ","), "--initial-cluster-token", "bench",
			"--quota-backend-bytes", "8589934592", "--log-level", "error",
		})
		if err != nil {
			return err
		}
		s.servers.nodes = append(s.servers.nodes, p)
		s.servers.endpoints = append(s.servers.endpoints, client)
	}
	asker := &etcdAsker{endpoints: s.servers.endpoints}
	s.servers.leader = asker.leader
	s.servers.ready = asker.ready
	return nil
}

// etcdAsker asks the nodes who leads.
type etcdAsker struct {
	endpoints []string
	once      sync.Once
	clients   []*clientv3.Client
	err       error
}

func (a *etcdAsker) connect() error {
	a.once.Do(func() {
		for _, endpoint := range a.endpoints {
			client, err := dialEtcd(endpoint)
			if err != nil {
				a.err = err
				return
			}
			a.clients = append(a.clients, client)
		}
	})
	return a.err
}

func (a *etcdAsker) leader(ctx context.Context) (int, error) {
	if err := a.connect(); err != nil {
		return 0, err
	}
	for i, client := range a.clients {
		status, err := client.Status(ctx, a.endpoints[i])
		if err == nil && status.Leader == status.Header.MemberId {
			return i, nil
		}
	}
	return 0, errors.New("no node says that it leads")
}

// ready: all nodes answer, know the leader, and have the last entry that the first of them has.
func (a *etcdAsker) ready(ctx context.Context) error {
	if err := a.connect(); err != nil {
		return err
	}
	var last uint64
	for i, client := range a.clients {
		status, err := client.Status(ctx, a.endpoints[i])
		switch {
		case err != nil:
			client.ActiveConnection().ResetConnectBackoff() // the node may just have been started again
			return err
		case status.Leader == 0:
			return fmt.Errorf("node %d knows no leader", i+1)
		case status.RaftAppliedIndex < last:
			return fmt.Errorf("node %d has applied %d of %d", i+1, status.RaftAppliedIndex, last)
		}
		last = max(last, status.RaftAppliedIndex)
	}
	return nil
}
