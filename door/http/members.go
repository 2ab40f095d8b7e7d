package http

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/gamutdb/gamut/kv"
)

// node runs a request about a node of the cluster.
func (s *Server) node(run func(a kv.Admin, ctx context.Context, node uint32) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.ParseUint(r.PathValue("node"), 10, 32)
		if err != nil || id == 0 {
			s.fail(w, invalid("node %q is not a number from 1", r.PathValue("node")))
			return
		}
		s.administer(w, r, http.StatusOK, func(ctx context.Context) (any, error) {
			return map[string]uint64{"node": id}, run(s.admin, ctx, uint32(id))
		})
	}
}

// moveGroup begins to move the shard of a group to the nodes of ?to=1,2,3.
func (s *Server) moveGroup(w http.ResponseWriter, r *http.Request) {
	query, err := parseQuery(r, "to")
	if err != nil {
		s.fail(w, err)
		return
	}
	group, err := strconv.ParseUint(r.PathValue("group"), 10, 64)
	if err != nil {
		s.fail(w, invalid("group %q is not a number", r.PathValue("group")))
		return
	}
	nodes, err := nodeList(query.Get("to"))
	if err != nil {
		s.fail(w, invalid("to=%s: give the nodes that shall hold the shard, as in to=1,2,3", query.Get("to")))
		return
	}
	s.administer(w, r, http.StatusAccepted, func(ctx context.Context) (any, error) {
		name := r.PathValue("keyspace")
		return GroupMoves{Keyspace: name, Group: group, Nodes: nodes}, s.admin.MoveGroup(ctx, name, group, nodes)
	})
}

// GroupMoves is the answer to a move that has begun.
type GroupMoves struct {
	Keyspace string   `json:"keyspace"`
	Group    uint64   `json:"group"`
	Nodes    []uint32 `json:"nodes"`
}

// bound runs a request about a key that is, or is to be, the first one of a shard: the body.
func (s *Server) bound(run func(a kv.Admin, ctx context.Context, keyspace string, key []byte) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, err := parseQuery(r); err != nil {
			s.fail(w, err)
			return
		}
		key, err := io.ReadAll(http.MaxBytesReader(w, r.Body, kv.KeyMax+1))
		if err != nil || len(key) == 0 || len(key) > kv.KeyMax {
			s.fail(w, invalid("the body is the first key of the shard, of 1 to %d bytes", kv.KeyMax))
			return
		}
		s.administer(w, r, http.StatusOK, func(ctx context.Context) (any, error) {
			return BoundDone{Keyspace: r.PathValue("keyspace"), Key: key}, run(s.admin, ctx, r.PathValue("keyspace"), key)
		})
	}
}

// BoundDone is the answer to a split or a merge.
type BoundDone struct {
	Keyspace string `json:"keyspace"`
	Key      []byte `json:"key"`
}

func (s *Server) balance(w http.ResponseWriter, r *http.Request) {
	s.administer(w, r, http.StatusOK, func(ctx context.Context) (any, error) { return s.admin.Balance(ctx) })
}

func nodeList(text string) (nodes []uint32, err error) {
	for part := range strings.SplitSeq(text, ",") {
		id, err := strconv.ParseUint(part, 10, 32)
		if err != nil || id == 0 {
			return nil, invalid("%q is not a list of nodes, such as 1,2,3", text)
		}
		nodes = append(nodes, uint32(id))
	}
	return nodes, nil
}

// unsafeRecover makes the replicas on the nodes of ?left=1,2 all that a group has.
func (s *Server) unsafeRecover(w http.ResponseWriter, r *http.Request) {
	s.group(w, r, []string{"left"}, func(ctx context.Context, group uint64, q url.Values) (any, error) {
		nodes, err := nodeList(q.Get("left"))
		if err != nil {
			return nil, err
		}
		return map[string]uint64{"group": group}, s.admin.UnsafeRecover(ctx, group, nodes)
	})
}
