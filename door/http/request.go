package http

import (
	"errors"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gamutdb/gamut/kv"
)

// splitKeyPath takes /v1/keyspaces/{keyspace}/keys/{key…} apart, still encoded. ok is false for any other path.
func splitKeyPath(path string) (keyspace, key string, ok bool) {
	rest, ok := strings.CutPrefix(path, "/v1/keyspaces/")
	if !ok {
		return "", "", false
	}
	keyspace, rest, ok = strings.Cut(rest, "/")
	if !ok || keyspace == "" {
		return "", "", false
	}
	key, ok = strings.CutPrefix(rest, "keys/")
	return keyspace, key, ok
}

// decodeKey decodes a key of a path.
func decodeKey(encoded string) ([]byte, error) {
	key, err := url.PathUnescape(encoded)
	if err != nil {
		return nil, invalid("the key in the path is not percent-encoded rightly: %v", err)
	}
	if len(key) > kv.KeyMax {
		return nil, invalid("the key has %d bytes; the limit is %d", len(key), kv.KeyMax)
	}
	return []byte(key), nil
}

func (s *Server) keyspace(name string) (*kv.Keyspace, error) {
	decoded, err := url.PathUnescape(name)
	if err != nil {
		return nil, invalid("the keyspace in the path is not percent-encoded rightly: %v", err)
	}
	if ks := s.db.Keyspace(decoded); ks != nil {
		return ks, nil
	}
	return nil, s.noKeyspace(decoded)
}

// noKeyspace is why there is none of this name. A node that is still starting has yet to learn which there are, and must not
// tell a client to make one.
func (s *Server) noKeyspace(name string) error {
	if err := s.admin.Ready(); err != nil {
		return kv.Errorf(kv.Unavailable, "this node is not ready, and keyspace %q is not known to it: %v", name, err)
	}
	return kv.Errorf(kv.NoKeyspace, "there is no keyspace %q; GET /v1/keyspaces lists them", name)
}

// setLevel says which level was met, whether it is so weak that what was acknowledged may be missed, and whether something is missing that a
// store has evicted.
func setLevel(h http.Header, ks *kv.Keyspace, r *kv.Result) {
	h.Set(HeaderLevel, r.Met(ks))
	if ks.Weak(r.Level) {
		h.Set(HeaderWeak, "true")
	}
	if r.Marks&kv.MarkEvicted != 0 {
		h.Set(HeaderEvicted, "true")
	}
}

// optionalNumber, behind the number of a request, says that it may be left aside where requests have none.
const optionalNumber = "; optional"

// parseSession reads Gamut-Request: 32 hex digits that name the client, "-", the number of its request counted from 1,
// optionally "-" and the number up to which all answers have arrived, and "; optional" if a keyspace without a table of requests
// is to leave it aside.
func parseSession(ks *kv.Keyspace, text string) (kv.Session, error) {
	text, optional := strings.CutSuffix(text, optionalNumber)
	if text == "" || optional && !ks.Tracked() {
		return kv.Session{}, nil
	}
	bad := invalid("%s is not <32 hex digits>-<number from 1>[-<acknowledged up to>]", HeaderRequest)
	number, acked := text, ""
	if at := strings.LastIndexByte(text, '-'); strings.Count(text, "-") == 2 {
		number, acked = text[:at], text[at+1:]
	}
	session, err := kv.ParseNumber(number)
	if err != nil {
		return kv.Session{}, bad
	}
	if number != text {
		if session.Acked, err = strconv.ParseUint(acked, 10, 64); err != nil || session.Acked >= session.Seq {
			return kv.Session{}, bad
		}
	}
	return session, nil
}

// parseTTL sets an operation's expiry: "" never, "keep", a Go duration, or whole seconds.
func parseTTL(op *kv.Op, text string) error {
	switch text {
	case "":
		op.Expiry = kv.ExpireNever
		return nil
	case "keep":
		op.Expiry = kv.ExpireKeep
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		seconds, serr := strconv.ParseInt(text, 10, 64)
		if serr != nil || seconds > math.MaxInt64/int64(time.Second) {
			return invalid("ttl %q is neither a duration such as 90s or 1h30m, nor whole seconds, nor keep", text)
		}
		d = time.Duration(seconds) * time.Second
	}
	if d < time.Millisecond {
		return invalid("ttl %q must be at least 1ms", text)
	}
	op.Expiry, op.Expire = kv.ExpireIn, d.Milliseconds()
	return nil
}

// parseVersion reads an entity tag that this door gave out: a version, quoted or not.
func parseVersion(text string) (uint64, error) {
	bare := strings.TrimSuffix(strings.TrimPrefix(text, `"`), `"`)
	v, err := strconv.ParseUint(bare, 10, 64)
	if err != nil {
		return 0, invalid("%q is not a version as %s gives it", text, HeaderVersion)
	}
	return v, nil
}

// parseConditions sets When from If-Match and If-None-Match.
func parseConditions(op *kv.Op, h http.Header) error {
	match, noneMatch := h.Get("If-Match"), h.Get("If-None-Match")
	switch {
	case match != "" && noneMatch != "":
		return invalid("If-Match and If-None-Match exclude each other")
	case match == "*":
		op.When = kv.IfPresent
	case match != "":
		v, err := parseVersion(match)
		if err != nil {
			return err
		}
		op.When, op.Version = kv.IfVersion, v
	case noneMatch == "*":
		op.When = kv.IfAbsent
	case noneMatch != "":
		return invalid("a write takes only If-None-Match: * (create, never replace)")
	}
	return nil
}

func parseFlags(text string) (uint32, error) {
	if text == "" {
		return 0, nil
	}
	flags, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, invalid("%s %q is not a number below 2^32", HeaderFlags, text)
	}
	return uint32(flags), nil
}

// number reads a query parameter; absent is fallback.
func number(query url.Values, name string, fallback, most uint64) (uint64, error) {
	text := query.Get(name)
	if text == "" {
		return fallback, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n > most {
		return 0, invalid("%s=%s is not a number from 0 to %d", name, text, most)
	}
	return n, nil
}

// body reads a request's body within the limits. release gives its bytes back once the command was answered.
func (s *Server) body(w http.ResponseWriter, r *http.Request) (body []byte, release func(), err error) {
	tooLarge := &problem{http.StatusRequestEntityTooLarge, "too_large", "the body is longer than the limit of " + strconv.Itoa(BodyMax) + " bytes (8 MiB)"}
	size := r.ContentLength
	if size > BodyMax {
		w.Header().Set("Connection", "close") // instead of reading on what nobody wants
		return nil, nil, tooLarge
	}
	if size < 0 {
		size = BodyMax
	}
	if err := s.hold(size); err != nil {
		return nil, nil, err
	}
	release = func() { s.release(size) }
	if r.ContentLength >= 0 {
		body = make([]byte, size)
		_, err = io.ReadFull(r.Body, body)
	} else {
		body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, BodyMax))
	}
	if err == nil {
		return body, release, nil
	}
	release()
	var limit *http.MaxBytesError
	if errors.As(err, &limit) {
		return nil, nil, tooLarge
	}
	return nil, nil, &problem{http.StatusBadRequest, "incomplete", "the body ended early: " + err.Error()}
}
