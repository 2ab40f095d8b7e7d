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

// moveShard begins to move a shard to the nodes of ?to=1,2,3.
func (s *Server) moveShard(w http.ResponseWriter, r *http.Request) {
	query, err := parseQuery(r, "to")
	if err != nil {
		s.fail(w, err)
		return
	}
	shard, err := strconv.ParseUint(r.PathValue("shard"), 10, 16)
	if err != nil {
		s.fail(w, invalid("shard %q is not a number", r.PathValue("shard")))
		return
	}
	nodes, err := nodeList(query.Get("to"))
	if err != nil {
		s.fail(w, invalid("to=%s: give the nodes that shall hold the shard, as in to=1,2,3", query.Get("to")))
		return
	}
	s.administer(w, r, http.StatusAccepted, func(ctx context.Context) (any, error) {
		name := r.PathValue("keyspace")
		return kv.Move{Keyspace: name, Shard: int(shard), Nodes: nodes}, s.admin.MoveShard(ctx, name, int(shard), nodes)
	})
}

// splitShard makes the keys from the body on, to the end of their shard, a shard of their own.
func (s *Server) splitShard(w http.ResponseWriter, r *http.Request) {
	if _, err := parseQuery(r); err != nil {
		s.fail(w, err)
		return
	}
	key, err := io.ReadAll(http.MaxBytesReader(w, r.Body, kv.KeyMax+1))
	if err != nil || len(key) == 0 || len(key) > kv.KeyMax {
		s.fail(w, invalid("the body is the key to split at, of 1 to %d bytes", kv.KeyMax))
		return
	}
	s.administer(w, r, http.StatusOK, func(ctx context.Context) (any, error) {
		return SplitDone{Keyspace: r.PathValue("keyspace"), Key: key}, s.admin.SplitShard(ctx, r.PathValue("keyspace"), key)
	})
}

// SplitDone is the answer to a split.
type SplitDone struct {
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
