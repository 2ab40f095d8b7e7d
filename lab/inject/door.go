package inject

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	doorhttp "github.com/gamutdb/gamut/door/http"
	"github.com/gamutdb/gamut/kv"
)

// Target is the node that is hurt, as far as the door asks it.
type Target interface {
	kv.Database
	// LocalPage reads one replica as it is now.
	LocalPage(ctx context.Context, group uint64, from []byte, limit int) (kv.StatePage, error)
	// Understands says whether bytes would pass for a message of a peer.
	Understands(message []byte) bool
}

// bodyMax bounds a command: two values of full length and what belongs to them.
const bodyMax = 2*kv.ValueMax + 1<<20

// settingsMax bounds a fault in JSON.
const settingsMax = 64 << 10

// Handler is the tree under /v1/lab of the node's HTTP door.
func (i *Injector) Handler(t Target) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/lab/faults", func(w http.ResponseWriter, _ *http.Request) { answer(w, i.Settings(), nil) })
	for _, pattern := range []string{"PUT /v1/lab/faults", "DELETE /v1/lab/faults", "PUT /v1/lab/links/{peer}/{side}", "PUT /v1/lab/clock", "PUT /v1/lab/disk"} {
		mux.HandleFunc(pattern, i.change)
	}
	mux.HandleFunc("POST /v1/lab/command", func(w http.ResponseWriter, r *http.Request) { command(w, r, t) })
	mux.HandleFunc("GET /v1/lab/groups/{group}/state", func(w http.ResponseWriter, r *http.Request) { state(w, r, t) })
	mux.HandleFunc("POST /v1/lab/inject", func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyMax))
		answer(w, map[string]bool{"understood": err == nil && t.Understands(b)}, err)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		doorhttp.WriteProblem(w, http.StatusNotFound, "no_such_path", r.Method+" "+r.URL.Path+" is not served here; see GET /v1/lab/faults")
	})
	return mux
}

// change replaces a part of the settings by a JSON body, and answers all of them.
func (i *Injector) change(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, settingsMax))
	if err == nil {
		err = i.Change(func(s *Settings) error { return s.Request(r.Method, r.URL.Path, b) })
	}
	answer(w, i.Settings(), err)
}

// command hands a command to the node as its doors do. The answer is a result in its encoding.
func command(w http.ResponseWriter, r *http.Request, t Target) {
	q := r.URL.Query()
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyMax))
	if err != nil {
		answer(w, nil, err)
		return
	}
	call, timeout, err := readCall(q, b, t)
	if err != nil {
		answer(w, nil, err)
		return
	}
	batch := new(kv.Batch)
	batch.Reset(time.Now().Add(timeout))
	c := batch.Add()
	c.Keyspace, c.Shard, c.Command = call.Keyspace, call.Shard, call.Command
	t.Submit(batch)
	batch.Wait()
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(kv.AppendResult(nil, &c.Result)) // the client may be gone: nobody is left to tell
}

func readCall(q url.Values, body []byte, t Target) (c kv.Call, timeout time.Duration, err error) {
	name := q.Get("keyspace")
	if c.Keyspace = t.Keyspace(name); c.Keyspace == nil {
		return c, 0, kv.Errorf(kv.NoKeyspace, "there is no keyspace %q", name)
	}
	if err := kv.DecodeCommand(body, &c.Command); err != nil {
		return c, 0, fmt.Errorf("the command: %w", err)
	}
	shard, shardErr := strconv.ParseUint(q.Get("shard"), 10, 31)
	timeout, err = time.ParseDuration(q.Get("timeout"))
	if err = errors.Join(shardErr, err); err != nil {
		return c, 0, err
	}
	if int(shard) >= c.Keyspace.Shards || timeout <= 0 {
		return c, 0, fmt.Errorf("shard %d of %d, timeout %v", shard, c.Keyspace.Shards, timeout)
	}
	c.Shard = int(shard)
	return c, timeout, nil
}

func state(w http.ResponseWriter, r *http.Request, t Target) {
	group, err := strconv.ParseUint(r.PathValue("group"), 10, 64)
	if err != nil {
		answer(w, nil, fmt.Errorf("group %q is not a number", r.PathValue("group")))
		return
	}
	page, err := t.LocalPage(r.Context(), group, []byte(r.URL.Query().Get("from")), 0)
	answer(w, page, err)
}

// answer writes JSON, or what is wrong.
func answer(w http.ResponseWriter, v any, err error) {
	var e *kv.Error
	switch {
	case errors.As(err, &e):
		doorhttp.WriteError(w, e)
	case err != nil:
		doorhttp.WriteProblem(w, http.StatusBadRequest, "invalid", err.Error())
	default:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v) // as above
	}
}
