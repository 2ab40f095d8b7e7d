package client

import (
	"encoding/base64"
	"sync"

	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
)

// Session is what a client has seen, as the answers that it got said: a token for each keyspace that has sessions. Operations
// of one session keep its guarantees on all nodes. It may be shared by clients, and moved to another process by its tokens.
type Session struct {
	mu     sync.Mutex
	tokens map[string]string
}

// NewSession is a session that has seen nothing.
func NewSession() *Session { return &Session{tokens: map[string]string{}} }

// Token is what the session has seen of a keyspace; empty: nothing.
func (s *Session) Token(keyspace string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens[keyspace]
}

// Restore makes a token all that the session has seen of a keyspace; an empty one begins anew. Whether it is one is for the
// cluster to say, with the next operation.
func (s *Session) Restore(keyspace, token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[keyspace] = token
}

// learn takes note of an answer. Several operations may be under way, so tokens are merged, never replaced.
func (s *Session) learn(name string, c kv.Consistency, token string) {
	if token == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[name] = merged(c, s.tokens[name], token)
}

// merged is what holds both tokens. What is no token is given to the cluster to refuse.
func merged(c kv.Consistency, before, token string) string {
	merge := keyspace.MergeTokens(c)
	a, err := base64.RawURLEncoding.DecodeString(before)
	if before == "" || merge == nil || err != nil {
		return token
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return token
	}
	return kv.FormatToken(merge(a, b))
}
