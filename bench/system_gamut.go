package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
)

// planGamut lays out three nodes with default settings. Clients use the Redis door and the keyspace that a client gets
// which chooses none; it is linearizable, for reads too.
func planGamut(s *system, o *options, dir string) error {
	binary, err := filepath.Abs(o.gamut)
	if err != nil {
		return err
	}
	s.title, s.promise = "Gamut, 3 nodes", "synced by a majority of three nodes; linearizable"
	s.dialer = &lineDialer{codec: resp{}}
	doors, err := planGamutNodes(s, o, dir, binary, o.basePort, "default")
	if err != nil {
		return err
	}
	s.servers.failsOver = true
	s.servers.leader = func(ctx context.Context) (int, error) { return gamutLeader(ctx, doors) }
	s.servers.ready = func(ctx context.Context) error {
		if err := gamutReady(ctx, doors); err != nil {
			return err
		}
		_, err := gamutLeader(ctx, doors)
		return err
	}
	return nil
}

// planGamutQuorum lays out three nodes with a keyspace that has no leader; each connection says at which level it works.
func planGamutQuorum(s *system, o *options, dir string) error {
	binary, err := filepath.Abs(o.gamut)
	if err != nil {
		return err
	}
	level := strings.TrimPrefix(s.name, "gamut-")
	s.title = "Gamut, 3 nodes, quorum keyspace, level " + level
	s.promise = map[string]string{"quorum": "synced by a majority of three nodes; the newest stamp wins", "one": "synced by one of three nodes; the others follow at once"}[level]
	s.dialer = &lineDialer{codec: resp{}, greeting: "SELECT quorum\r\nGAMUT.LEVEL " + level + "\r\n", welcomes: 2}
	if s.servers != nil {
		return nil
	}
	doors, err := planGamutNodes(s, o, filepath.Join(dir, "quorum"), binary, o.basePort+30, "default,quorum")
	s.servers.ready = func(ctx context.Context) error { return gamutReady(ctx, doors) }
	return err
}

// planGamutKeyspace lays out three nodes with a keyspace of the consistency that the system's name ends with; clients use all nodes.
func planGamutKeyspace(s *system, o *options, dir string, port int) error {
	binary, err := filepath.Abs(o.gamut)
	if err != nil {
		return err
	}
	name := strings.TrimPrefix(s.name, "gamut-")
	s.title = "Gamut, 3 nodes, " + name + " keyspace"
	s.promise = map[string]string{"causal": "synced by one of three nodes; the others follow at once; sessions never go back",
		"atomic": "synced by all of three nodes, any of which answers reads alone; linearizable"}[name]
	s.dialer = &lineDialer{codec: resp{}, greeting: "SELECT " + name + "\r\n", welcomes: 1}
	doors, err := planGamutNodes(s, o, filepath.Join(dir, name), binary, port, "default,"+name)
	if err != nil {
		return err
	}
	s.servers.ready = func(ctx context.Context) error { return gamutReady(ctx, doors) }
	return nil
}

// planGamutNodes lays out three nodes with default settings, and returns where they serve HTTP.
func planGamutNodes(s *system, o *options, dir, binary string, basePort int, keyspaces string) (doors []string, err error) {
	s.servers = &servers{version: firstLine(binary, "version")}
	var peers []string
	for i := range 3 {
		base := basePort + 10*i
		peers = append(peers, fmt.Sprintf("%d=127.0.0.1:%d", i+1, base+1))
		doors = append(doors, fmt.Sprintf("http://127.0.0.1:%d", base))
		s.servers.endpoints = append(s.servers.endpoints, fmt.Sprintf("127.0.0.1:%d", base+2))
	}
	for i := range 3 {
		folder := filepath.Join(dir, "gamut", strconv.Itoa(i+1))
		arguments := []string{
			binary, "start", "--node", strconv.Itoa(i + 1), "--dir", filepath.Join(folder, "data"),
			"--cluster", strings.Join(peers, ","), "--base-port", strconv.Itoa(basePort + 10*i), "--keyspaces", keyspaces,
		}
		if o.profile != "" {
			address := fmt.Sprintf("127.0.0.1:%d", basePort+10*i+5)
			arguments = append(arguments, "--debug", address)
			s.servers.profiles = append(s.servers.profiles, "http://"+address+"/debug/pprof/profile")
		}
		p, err := newProcess(fmt.Sprintf("gamut %d", i+1), folder, arguments)
		if err != nil {
			return nil, err
		}
		s.servers.nodes = append(s.servers.nodes, p)
	}
	return doors, nil
}

func gamutReady(ctx context.Context, doors []string) error {
	for _, door := range doors {
		if _, err := get(ctx, door+"/readyz"); err != nil {
			return err
		}
	}
	return nil
}

// gamutLeader asks each node which node leads the only shard of the keyspace default.
func gamutLeader(ctx context.Context, doors []string) (int, error) {
	for i, door := range doors {
		body, err := get(ctx, door+"/v1/status")
		if err != nil {
			continue // a node that was killed; the others know
		}
		var status struct {
			Groups []struct {
				Keyspace string `json:"keyspace"`
				Leader   int    `json:"leader"`
			} `json:"groups"`
		}
		if err := json.Unmarshal(body, &status); err != nil {
			return 0, fmt.Errorf("status of node %d: %w", i+1, err)
		}
		for _, group := range status.Groups {
			if group.Keyspace == "default" && group.Leader == i+1 {
				return i, nil
			}
		}
	}
	return 0, errors.New("no node says that it leads the keyspace default")
}

func get(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err == nil && reply.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", url, reply.Status, body)
	}
	return body, err
}
