package http

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/gamutdb/gamut/kv"
)

func (s *Server) listKeyspaces(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, s.admin.DescribeKeyspaces())
}

func (s *Server) explainKeyspace(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("keyspace")
	for _, info := range s.admin.DescribeKeyspaces() {
		if info.Name == name {
			writeJSON(w, http.StatusOK, info)
			return
		}
	}
	s.fail(w, s.noKeyspace(name))
}

func (s *Server) createKeyspace(w http.ResponseWriter, r *http.Request) {
	body, release, err := s.body(w, r)
	if err != nil {
		s.fail(w, err)
		return
	}
	defer release()
	var spec kv.CreateKeyspace
	if err := decodeStrict(body, &spec); err != nil {
		s.fail(w, err)
		return
	}
	s.administer(w, r, http.StatusCreated, func(ctx context.Context) (any, error) {
		return spec, s.admin.CreateKeyspace(ctx, spec)
	})
}

func (s *Server) dropKeyspace(w http.ResponseWriter, r *http.Request) {
	text := r.URL.Query().Get("force")
	force, err := strconv.ParseBool(text)
	if err != nil && text != "" {
		s.fail(w, invalid("force is %q, not true or false", text))
		return
	}
	s.administer(w, r, http.StatusOK, func(ctx context.Context) (any, error) {
		name := r.PathValue("keyspace")
		return map[string]string{"dropped": name}, s.admin.DropKeyspace(ctx, name, force)
	})
}

// administer runs a request to the node itself and answers its result or its error.
func (s *Server) administer(w http.ResponseWriter, r *http.Request, status int, run func(ctx context.Context) (any, error)) {
	ctx, cancel := context.WithTimeout(r.Context(), s.opts.Deadline)
	defer cancel()
	v, err := run(ctx)
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		err = kv.Errorf(kv.Unknown, "no answer within %v", s.opts.Deadline)
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	writeJSON(w, status, v)
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, s.admin.Status())
}

// live answers: should the supervisor restart this process? A process that can answer should be let alone, whatever its
// peers do: restarting a node that waits for its majority only makes it wait longer.
func (s *Server) live(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Write([]byte("ok\n"))
}

// ready answers: should a load balancer send requests here?
func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	if err := s.admin.Ready(); err != nil {
		w.Header().Set("Retry-After", "1")
		s.fail(w, &problem{http.StatusServiceUnavailable, "not_ready", err.Error()})
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Write([]byte("ready\n"))
}

// group runs a request about one of this node's replicas.
func (s *Server) group(w http.ResponseWriter, r *http.Request, known []string, run func(ctx context.Context, group uint64, q url.Values) (any, error)) {
	group, err := strconv.ParseUint(r.PathValue("group"), 10, 64)
	if err != nil {
		s.fail(w, invalid("group %q is not a number", r.PathValue("group")))
		return
	}
	query, err := parseQuery(r, known...)
	if err != nil {
		s.fail(w, err)
		return
	}
	s.administer(w, r, http.StatusOK, func(ctx context.Context) (any, error) { return run(ctx, group, query) })
}

func (s *Server) handoff(w http.ResponseWriter, r *http.Request) {
	s.group(w, r, []string{"to"}, func(ctx context.Context, group uint64, q url.Values) (any, error) {
		to, err := number(q, "to", 0, 1<<32-1)
		if err == nil && to == 0 {
			err = invalid("give the node that shall lead: ?to=N")
		}
		if err != nil {
			return nil, err
		}
		return map[string]uint64{"group": group, "to": to}, s.admin.Handoff(ctx, group, uint32(to))
	})
}

// CheckpointBody is the answer of /v1/groups/{group}/checkpoint.
type CheckpointBody struct {
	Index uint64 `json:"index"`
}

func (s *Server) checkpoint(w http.ResponseWriter, r *http.Request) {
	s.group(w, r, nil, func(ctx context.Context, group uint64, _ url.Values) (any, error) {
		index, err := s.admin.Checkpoint(ctx, group)
		return CheckpointBody{Index: index}, err
	})
}

func (s *Server) repair(w http.ResponseWriter, r *http.Request) {
	s.group(w, r, nil, func(ctx context.Context, group uint64, _ url.Values) (any, error) {
		return map[string]uint64{"group": group}, s.admin.Repair(ctx, group)
	})
}

func (s *Server) inspect(w http.ResponseWriter, r *http.Request) {
	s.group(w, r, []string{"key", "from", "limit"}, func(ctx context.Context, group uint64, q url.Values) (any, error) {
		limit, err := number(q, "limit", 256, 4096)
		if err != nil {
			return nil, err
		}
		if q.Has("key") {
			return s.admin.Inspect(ctx, group, []byte(q.Get("key")), true, 1)
		}
		return s.admin.Inspect(ctx, group, []byte(q.Get("from")), false, int(limit))
	})
}

func (s *Server) storedValues(w http.ResponseWriter, r *http.Request) {
	s.group(w, r, []string{"from", "limit"}, func(ctx context.Context, group uint64, q url.Values) (any, error) {
		limit, err := number(q, "limit", 256, 4096)
		if err != nil {
			return nil, err
		}
		return s.admin.StoredValues(ctx, group, []byte(q.Get("from")), int(limit))
	})
}

func (s *Server) state(w http.ResponseWriter, r *http.Request) {
	s.group(w, r, []string{"index", "from", "limit"}, func(ctx context.Context, group uint64, q url.Values) (any, error) {
		index, err := number(q, "index", 0, 1<<64-1)
		if err != nil {
			return nil, err
		}
		limit, err := number(q, "limit", 256, 4096)
		if err != nil {
			return nil, err
		}
		return s.admin.StatePage(ctx, group, index, []byte(q.Get("from")), int(limit))
	})
}

func (s *Server) digest(w http.ResponseWriter, r *http.Request) {
	s.group(w, r, []string{"index"}, func(ctx context.Context, group uint64, q url.Values) (any, error) {
		index, err := number(q, "index", 0, 1<<64-1)
		if err != nil {
			return nil, err
		}
		return s.admin.StateDigest(ctx, group, index)
	})
}

func (s *Server) blocks(w http.ResponseWriter, r *http.Request) {
	s.group(w, r, []string{"from", "limit", "payload"}, func(ctx context.Context, group uint64, q url.Values) (any, error) {
		from, err := number(q, "from", 0, 1<<64-1)
		if err != nil {
			return nil, err
		}
		limit, err := number(q, "limit", 256, 4096)
		if err != nil {
			return nil, err
		}
		payload := q.Get("payload") == "true" || q.Get("payload") == "1"
		return s.admin.Blocks(ctx, group, from, int(limit), payload)
	})
}
