package kv

import (
	"encoding/base64"
	"slices"
)

// Sessions are what one client has seen, as the answers that it got said, a token for each keyspace that has sessions. The
// zero value is that of a client that has seen nothing.
type Sessions struct{ list []seenToken }

type seenToken struct {
	keyspace uint32
	token    []byte
}

func (s *Sessions) find(id uint32) int {
	return slices.IndexFunc(s.list, func(t seenToken) bool { return t.keyspace == id })
}

// Token goes with the client's next command to a keyspace; it must not be changed.
func (s *Sessions) Token(ks *Keyspace) []byte {
	if ks.MergeTokens == nil {
		return nil
	}
	if i := s.find(ks.ID); i >= 0 {
		return s.list[i].token
	}
	return nil
}

// Set makes a token that the client brought all that it has seen of a keyspace; an empty one begins anew.
func (s *Sessions) Set(ks *Keyspace, token []byte) {
	s.list = slices.DeleteFunc(s.list, func(t seenToken) bool { return t.keyspace == ks.ID })
	if len(token) > 0 {
		s.list = append(s.list, seenToken{ks.ID, slices.Clone(token)})
	}
}

// Learn takes note of an answer. A session that is lost was told so by this very answer, and begins anew.
func (s *Sessions) Learn(ks *Keyspace, r *Result) {
	switch {
	case ks.MergeTokens == nil:
	case r.Code == SessionLost:
		s.Set(ks, nil)
	case len(r.Token) > 0:
		s.Set(ks, ks.MergeTokens(s.Token(ks), r.Token))
	}
}

// FormatToken is a token as text.
func FormatToken(token []byte) string { return base64.RawURLEncoding.EncodeToString(token) }

// ParseContext reads the token of a read by which a write says what it replaces; the keyspace that it is for checks it.
func ParseContext(text string) ([]byte, error) {
	context, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(context) == 0 {
		return nil, Errorf(BadToken, "the context is not what a read of siblings gave")
	}
	return context, nil
}

// ParseToken reads a token of a keyspace as FormatToken wrote it; BadToken says what is wrong with it.
func ParseToken(ks *Keyspace, text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	if ks.CheckToken == nil {
		return nil, Errorf(BadToken, "keyspace %s is %s and has no sessions", ks.Name, ks.Consistency)
	}
	token, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, Errorf(BadToken, "the session token is not base64; begin a new session without one")
	}
	return token, ks.CheckToken(token)
}
