// Package remote is the client's end of the HTTP door, as the command line uses it.
//
// A Cluster knows some addresses and asks them in turn; a Node is one of them and offers what kv.Admin offers of itself.
//
// Others rely on this: a request is sent to a second address only if it certainly did not reach the first. Once bytes of a
// write may have arrived, a broken connection is answered kv.Unknown.
//
// Start with Cluster.
package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	doorhttp "github.com/gamutdb/gamut/door/http"
	"github.com/gamutdb/gamut/kv"
)

// Cluster is a list of addresses behind each of which a node may serve HTTP.
type Cluster struct {
	addresses []string
	client    *http.Client
	// session is sent with each request; learned is called with what the answer says instead.
	session string
	learned func(session string) error
}

// ErrNoAnswer means that no node answered at any address.
var ErrNoAnswer = errors.New("no node answers")

// New makes a Cluster of host:port addresses. wait bounds the time until an answer begins, not how long it takes.
func New(addresses []string, wait time.Duration) *Cluster {
	dialer := &net.Dialer{Timeout: 2 * time.Second}
	return &Cluster{addresses: addresses, client: &http.Client{Transport: &http.Transport{
		DialContext: dialer.DialContext, ResponseHeaderTimeout: wait, MaxIdleConnsPerHost: 64, IdleConnTimeout: 90 * time.Second,
	}}}
}

// CloseIdle ends connections that no request uses.
func (c *Cluster) CloseIdle() { c.client.CloseIdleConnections() }

// Addresses are those that it was made of.
func (c *Cluster) Addresses() []string { return c.addresses }

// Node is the one node at an address.
func (c *Cluster) Node(address string) *Node {
	return &Node{&Cluster{addresses: []string{address}, client: c.client}}
}

// InSession makes all requests those of one session. Each answer that says more of what it has seen is handed to learned.
func (c *Cluster) InSession(token string, learned func(token string) error) *Cluster {
	return &Cluster{addresses: c.addresses, client: c.client, session: token, learned: learned}
}

// Request is one HTTP request, which can be sent more than once.
type Request struct {
	Method, Path string
	Query        url.Values
	Header       http.Header
	Body         []byte
}

// KeyPath is the resource of a key.
func KeyPath(keyspace string, key []byte) string {
	return "/v1/keyspaces/" + url.PathEscape(keyspace) + "/keys/" + url.PathEscape(string(key))
}

// Do sends the request to the first address that can be reached. Any status that is not a success is an error: a
// *kv.Error where the door named one of its codes. The caller closes the body.
func (c *Cluster) Do(ctx context.Context, q Request) (*http.Response, error) {
	var refused error
	for _, address := range c.addresses {
		resp, err := c.send(ctx, address, q)
		if err == nil {
			return resp, answerError(resp)
		}
		var op *net.OpError
		if !errors.As(err, &op) || op.Op != "dial" {
			if ctx.Err() == nil && (q.Method == http.MethodGet || q.Method == http.MethodHead) {
				refused = errors.Join(refused, err)
				continue // a read may be asked anywhere again
			}
			return nil, kv.Errorf(kv.Unknown, "%s did not answer: %v; the request may have been executed", address, err)
		}
		refused = errors.Join(refused, err)
	}
	return nil, fmt.Errorf("%w at %s: %w", ErrNoAnswer, strings.Join(c.addresses, ", "), refused)
}

func (c *Cluster) send(ctx context.Context, address string, q Request) (*http.Response, error) {
	u := "http://" + address + q.Path
	if len(q.Query) > 0 {
		u += "?" + q.Query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, q.Method, u, bytes.NewReader(q.Body))
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", address, err)
	}
	for name, values := range q.Header {
		r.Header[name] = values
	}
	if c.session != "" {
		r.Header.Set(doorhttp.HeaderSession, c.session)
	}
	resp, err := c.client.Do(r)
	if err != nil || c.learned == nil {
		return resp, err
	}
	if token := resp.Header.Get(doorhttp.HeaderSession); token != "" && token != c.session {
		c.session = token
		if err := c.learned(token); err != nil {
			resp.Body.Close()
			return nil, err
		}
	}
	return resp, nil
}

// answerError reads the error out of an answer that has one.
func answerError(resp *http.Response) error {
	if resp.StatusCode < 300 {
		return nil
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("status %s: %w", resp.Status, err)
	}
	var body doorhttp.ErrorBody
	if json.Unmarshal(b, &body) != nil || body.Error == "" {
		return fmt.Errorf("status %s, which is not how Gamut answers: %.200q", resp.Status, b)
	}
	if code, ok := doorhttp.CodeNamed(body.Error); ok {
		if body.Detail == code.String() {
			body.Detail = "" // the error says its code by itself
		}
		return &kv.Error{Code: code, Detail: body.Detail}
	}
	return errors.New(body.Detail)
}

// JSON sends the request and decodes the answer.
func (c *Cluster) JSON(ctx context.Context, q Request, into any) error {
	resp, err := c.Do(ctx, q)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("answer to %s: %w", q.Path, err)
	}
	return nil
}

// Keyspaces describes all keyspaces.
func (c *Cluster) Keyspaces(ctx context.Context) (list []kv.KeyspaceInfo, err error) {
	err = c.JSON(ctx, Request{Method: "GET", Path: "/v1/keyspaces"}, &list)
	return list, err
}

// Keyspace describes one keyspace.
func (c *Cluster) Keyspace(ctx context.Context, name string) (info kv.KeyspaceInfo, err error) {
	err = c.JSON(ctx, Request{Method: "GET", Path: "/v1/keyspaces/" + url.PathEscape(name)}, &info)
	return info, err
}

// CreateKeyspace makes a keyspace.
func (c *Cluster) CreateKeyspace(ctx context.Context, spec kv.CreateKeyspace) error {
	body, err := json.Marshal(spec)
	if err != nil {
		return fmt.Errorf("keyspace %q: %w", spec.Name, err)
	}
	return c.JSON(ctx, Request{Method: "POST", Path: "/v1/keyspaces", Body: body}, new(any))
}

// DropKeyspace removes a keyspace with all its keys; force does so although transactions with others may not have ended.
func (c *Cluster) DropKeyspace(ctx context.Context, name string, force bool) error {
	q := Request{Method: "DELETE", Path: "/v1/keyspaces/" + url.PathEscape(name)}
	if force {
		q.Query = url.Values{"force": {"true"}}
	}
	return c.JSON(ctx, q, new(any))
}

// SplitShard makes the keys from one on, to the end of their shard, a shard of their own.
func (c *Cluster) SplitShard(ctx context.Context, keyspace string, key []byte) error {
	return c.JSON(ctx, Request{Method: "POST", Path: "/v1/keyspaces/" + url.PathEscape(keyspace) + "/split", Body: key}, new(any))
}

// MergeShards makes the shard that begins at a key one with the shard before it.
func (c *Cluster) MergeShards(ctx context.Context, keyspace string, key []byte) error {
	return c.JSON(ctx, Request{Method: "POST", Path: "/v1/keyspaces/" + url.PathEscape(keyspace) + "/merge", Body: key}, new(any))
}

// DrainNode lets a node leave; RemoveNode ends its membership.
func (c *Cluster) DrainNode(ctx context.Context, node uint32) error {
	return c.JSON(ctx, Request{Method: "POST", Path: fmt.Sprintf("/v1/nodes/%d/drain", node)}, new(any))
}

// ReplaceNode lets a node leave whose disk is gone.
func (c *Cluster) ReplaceNode(ctx context.Context, node uint32) error {
	return c.JSON(ctx, Request{Method: "POST", Path: fmt.Sprintf("/v1/nodes/%d/replace", node)}, new(any))
}

// RemoveNode ends the membership of a drained and empty node.
func (c *Cluster) RemoveNode(ctx context.Context, node uint32) error {
	return c.JSON(ctx, Request{Method: "POST", Path: fmt.Sprintf("/v1/nodes/%d/remove", node)}, new(any))
}

// LoseNode ends the membership of a node that is lost for good.
func (c *Cluster) LoseNode(ctx context.Context, node uint32) error {
	return c.JSON(ctx, Request{Method: "POST", Path: fmt.Sprintf("/v1/nodes/%d/lose", node)}, new(any))
}

// UnsafeRecover makes the replicas on the nodes named, which must include the one that is asked, all that a group has.
func (c *Cluster) UnsafeRecover(ctx context.Context, group uint64, left string) error {
	return c.JSON(ctx, Request{Method: "POST", Path: fmt.Sprintf("/v1/groups/%d/unsafe-recover?left=%s", group, url.QueryEscape(left))}, new(any))
}

// Balance tells what is moving and what would move next.
func (c *Cluster) Balance(ctx context.Context) (plan kv.BalancePlan, err error) {
	err = c.JSON(ctx, Request{Method: "GET", Path: "/v1/balance"}, &plan)
	return plan, err
}

// Status is the view of the first node that answers.
func (c *Cluster) Status(ctx context.Context) (st kv.Status, err error) {
	err = c.JSON(ctx, Request{Method: "GET", Path: "/v1/status"}, &st)
	return st, err
}

// Ready is nil when the first node that answers can serve.
func (c *Cluster) Ready(ctx context.Context) error {
	resp, err := c.Do(ctx, Request{Method: "GET", Path: "/readyz"})
	if err == nil {
		resp.Body.Close()
	}
	return err
}

// Scan calls f with each record in key order; values tells whether they come with their values.
func (c *Cluster) Scan(ctx context.Context, keyspace string, query url.Values, header http.Header, f func(doorhttp.Record) error) (next []byte, err error) {
	resp, err := c.Do(ctx, Request{Method: "GET", Path: "/v1/keyspaces/" + url.PathEscape(keyspace) + "/keys", Query: query, Header: header})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	type line struct {
		doorhttp.Record
		doorhttp.Next
	}
	for lines := json.NewDecoder(resp.Body); ; {
		var l line
		if err := lines.Decode(&l); errors.Is(err, io.EOF) {
			return nil, nil
		} else if err != nil {
			return nil, fmt.Errorf("the scan broke off: %w", err)
		}
		if l.ErrorBody != nil {
			code, _ := doorhttp.CodeNamed(l.Error)
			return nil, &kv.Error{Code: code, Detail: "the scan broke off: " + l.Detail}
		}
		if next := l.NextKey(); next != nil {
			return next, nil
		}
		if err := f(l.Record); err != nil {
			return nil, err
		}
	}
}

// Node is one node and what it says of its own replicas.
type Node struct{ *Cluster }

func (n *Node) group(ctx context.Context, method string, group uint64, what string, query url.Values, into any) error {
	path := "/v1/groups/" + strconv.FormatUint(group, 10) + "/" + what
	return n.JSON(ctx, Request{Method: method, Path: path, Query: query}, into)
}

func decimal(n uint64) []string { return []string{strconv.FormatUint(n, 10)} }

// Checkpoint is kv.Admin's.
func (n *Node) Checkpoint(ctx context.Context, group uint64) (uint64, error) {
	var body doorhttp.CheckpointBody
	err := n.group(ctx, "POST", group, "checkpoint", nil, &body)
	return body.Index, err
}

// StatePage is kv.Admin's.
func (n *Node) StatePage(ctx context.Context, group, index uint64, from []byte, limit int) (page kv.StatePage, err error) {
	query := url.Values{"index": decimal(index), "from": {string(from)}, "limit": decimal(uint64(limit))}
	err = n.group(ctx, "GET", group, "state", query, &page)
	return page, err
}

// StateDigest is kv.Admin's.
func (n *Node) StateDigest(ctx context.Context, group, index uint64) (digest kv.StateDigest, err error) {
	err = n.group(ctx, "GET", group, "digest", url.Values{"index": decimal(index)}, &digest)
	return digest, err
}

// Repair is kv.Admin's.
func (n *Node) Repair(ctx context.Context, group uint64) error {
	return n.group(ctx, "POST", group, "repair", nil, new(any))
}

// Inspect is kv.Admin's.
func (n *Node) Inspect(ctx context.Context, group uint64, from []byte, one bool, limit int) (page kv.InspectPage, err error) {
	query := url.Values{"from": {string(from)}, "limit": decimal(uint64(limit))}
	if one {
		query = url.Values{"key": {string(from)}}
	}
	err = n.group(ctx, "GET", group, "inspect", query, &page)
	return page, err
}

// StoredValues is kv.Admin's.
func (n *Node) StoredValues(ctx context.Context, group uint64, from []byte, limit int) (page kv.StoredPage, err error) {
	query := url.Values{"from": {string(from)}, "limit": decimal(uint64(limit))}
	err = n.group(ctx, "GET", group, "values", query, &page)
	return page, err
}

// Blocks is kv.Admin's.
func (n *Node) Blocks(ctx context.Context, group, from uint64, limit int, payload bool) (blocks []kv.BlockInfo, err error) {
	query := url.Values{"from": decimal(from), "limit": decimal(uint64(limit)), "payload": {strconv.FormatBool(payload)}}
	err = n.group(ctx, "GET", group, "blocks", query, &blocks)
	return blocks, err
}
