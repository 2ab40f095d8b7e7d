package http

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/gamutdb/gamut/kv"
)

// Headers of this door.
const (
	HeaderVersion = "Gamut-Version"
	HeaderFlags   = "Gamut-Flags"
	HeaderExpires = "Gamut-Expires"
	HeaderTTL     = "Gamut-TTL"
	HeaderLevel   = "Gamut-Level"
	HeaderSession = "Gamut-Session"
	HeaderRequest = "Gamut-Request"
	HeaderOutcome = "Gamut-Outcome"
	// HeaderOutcomeID is, of an answer of unknown outcome, the id under which GET /v1/outcome/ID tells it.
	HeaderOutcomeID = "Gamut-Outcome-ID"
	HeaderNext      = "Gamut-Next"
	HeaderTxn       = "Gamut-Txn"
	// HeaderContext is, of a read where siblings are kept, what a write of the same header replaces; HeaderSiblings is how many values
	// the key has beside the one that is answered.
	HeaderContext  = "Gamut-Context"
	HeaderSiblings = "Gamut-Siblings"
	// HeaderReceipt asks with "on" that the answer say how it was given, in the headers below beside HeaderLevel (the level
	// met), HeaderVersion and HeaderSession.
	HeaderReceipt   = "Gamut-Receipt"
	HeaderAsked     = "Gamut-Asked"
	HeaderWeak      = "Gamut-Weak"
	HeaderEvicted   = "Gamut-Evicted"
	HeaderGroup     = "Gamut-Group"
	HeaderGroups    = "Gamut-Groups"
	HeaderKeyspaces = "Gamut-Keyspaces"
	HeaderStamp     = "Gamut-Stamp"
	HeaderPosition  = "Gamut-Position"
	HeaderAsOf      = "Gamut-As-Of"
)

// ErrorBody is the JSON of every answer that is not a success.
type ErrorBody struct {
	// Error is the code in one word, see the table of codes.
	Error  string `json:"error"`
	Detail string `json:"detail"`
	// Outcome is "definite" or "unknown": whether the request may have happened, or may happen yet.
	Outcome string `json:"outcome"`
}

type answer struct {
	name       string
	status     int
	retryAfter int // seconds; 0: retrying alone will not help
}

// answers maps every outcome that is not a success. This is the only place that does.
var answers = map[kv.Code]answer{
	kv.NotFound:        {"not_found", http.StatusNotFound, 0},
	kv.ConditionFailed: {"condition_failed", http.StatusPreconditionFailed, 0},
	kv.Aborted:         {"aborted", http.StatusConflict, 0},
	kv.NotInteger:      {"not_integer", http.StatusConflict, 0},
	kv.NotFloat:        {"not_float", http.StatusConflict, 0},
	kv.Overflow:        {"overflow", http.StatusConflict, 0},
	kv.WrongType:       {"wrong_type", http.StatusConflict, 0},
	kv.TooLong:         {"too_long", http.StatusRequestEntityTooLarge, 0},
	kv.Unavailable:     {"unavailable", http.StatusServiceUnavailable, 1},
	kv.Busy:            {"busy", http.StatusTooManyRequests, 1},
	kv.NotLeader:       {"not_leader", http.StatusServiceUnavailable, 1},
	kv.Sealed:          {"sealed", http.StatusServiceUnavailable, 1},
	kv.TooOld:          {"too_old", http.StatusConflict, 0},
	kv.ClockSkew:       {"clock_skew", http.StatusServiceUnavailable, 1},
	kv.Unsupported:     {"unsupported", http.StatusBadRequest, 0},
	kv.BehindSession:   {"behind_session", http.StatusServiceUnavailable, 1},
	kv.SessionLost:     {name: "session_lost", status: http.StatusGone},
	kv.BadToken:        {"bad_token", http.StatusBadRequest, 0},
	kv.Invalid:         {"invalid", http.StatusBadRequest, 0},
	kv.NoKeyspace:      {"no_keyspace", http.StatusNotFound, 0},
	kv.CrossShard:      {"cross_shard", http.StatusBadRequest, 0},
	kv.DiskFull:        {"disk_full", http.StatusInsufficientStorage, 5},
	kv.Locked:          {"locked", http.StatusServiceUnavailable, 1},
	kv.Moved:           {"moved", http.StatusServiceUnavailable, 1},
	kv.ValueLost:       {name: "value_lost", status: http.StatusGone},
	kv.Fenced:          {"fenced", http.StatusConflict, 0},
	kv.Exists:          {"exists", http.StatusConflict, 0},
	kv.Unknown:         {"unknown", http.StatusGatewayTimeout, 0},
}

// CodeNamed is the outcome behind the "error" of an ErrorBody; ok is false for names that are the door's own.
func CodeNamed(name string) (code kv.Code, ok bool) {
	for c, a := range answers {
		if a.name == name {
			return c, true
		}
	}
	return 0, false
}

// problem is an answer of the door itself: the request never became a command.
type problem struct {
	status int
	name   string
	detail string
}

func (p *problem) Error() string { return p.detail }

func invalid(format string, args ...any) error { return kv.Errorf(kv.Invalid, format, args...) }

// fail answers an error.
func (s *Server) fail(w http.ResponseWriter, err error) {
	var p *problem
	if errors.As(err, &p) {
		writeError(w, answer{name: p.name, status: p.status}, p.detail, true)
		return
	}
	var e *kv.Error
	if !errors.As(err, &e) {
		// A method of kv.Admin said something of its own: it is not a command, so nothing is left open.
		writeError(w, answer{name: "error", status: http.StatusInternalServerError}, err.Error(), true)
		return
	}
	s.failCode(w, e.Code, e.Detail)
}

func (s *Server) failCode(w http.ResponseWriter, code kv.Code, detail string) {
	a, ok := answers[code]
	if !ok {
		a = answer{name: "code_" + strconv.Itoa(int(code)), status: http.StatusInternalServerError}
	}
	if detail == "" {
		detail = code.String()
	}
	writeError(w, a, detail, code.Definite())
}

func writeError(w http.ResponseWriter, a answer, detail string, definite bool) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	body := ErrorBody{Error: a.name, Detail: detail, Outcome: "definite"}
	if !definite {
		body.Outcome = "unknown"
	}
	h.Set(HeaderOutcome, body.Outcome)
	if a.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(a.retryAfter))
	}
	w.WriteHeader(a.status)
	json.NewEncoder(w).Encode(body) // the client may be gone: nobody is left to tell
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // as above
}
