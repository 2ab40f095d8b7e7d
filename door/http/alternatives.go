package http

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/gamutdb/gamut/kv"
)

// merge is what a transaction does in a keyspace with a commit order where its conditions do not hold; nil: nothing.
func (t *Txn) merge(ks *kv.Keyspace) (*kv.Merge, error) {
	m, err := kv.ParseMerge(t.Merge)
	list := t.Alternatives
	if len(t.Else) > 0 {
		list = append(list[:len(list):len(list)], TxnAlternative{Operations: t.Else})
	}
	switch {
	case err != nil:
		return nil, err
	case len(list) == 0:
		return m, nil
	case m != nil:
		return nil, invalid("give a merge procedure or alternatives, not both")
	}
	m = &kv.Merge{Kind: kv.MergeAlternatives}
	for i := range list {
		part := Txn{Conditions: list[i].Conditions, Operations: list[i].Operations}
		var cmd kv.Command
		if err := part.command(&cmd); err != nil {
			return nil, inPlace("alternative", i+1, err)
		}
		if !part.alone(ks, &cmd) {
			return nil, kv.Errorf(kv.Unsupported, "alternative %d names another keyspace; all of a transaction is in %s, which has a commit order", i+1, ks.Name)
		}
		m.Alternatives = append(m.Alternatives, kv.Alternative{Conds: cmd.Conds, Ops: cmd.Ops})
	}
	return m, nil
}

// executed are the operations that a result speaks of, and which they are: then, else, alternative N or the merge procedure; nothing
// for a transaction that has but one way to go.
func (t *Txn) executed(res *kv.Result) (ops []TxnOperation, branch string) {
	digits, other := strings.CutPrefix(res.Detail, "alternative ")
	n, err := strconv.Atoi(digits)
	switch {
	case other && err == nil && n == len(t.Alternatives)+1:
		return t.Else, "else"
	case other && err == nil && n <= len(t.Alternatives):
		return t.Alternatives[n-1].Operations, fmt.Sprintf("alternative %d", n)
	case res.Detail != "":
		return t.Operations, res.Detail
	case len(t.Else)+len(t.Alternatives) > 0 || t.Merge != "":
		return t.Operations, "then"
	}
	return t.Operations, ""
}

// WaitBody is the answer to POST /v1/keyspaces/KEYSPACE/wait.
type WaitBody struct {
	// Level is what was waited for.
	Level string `json:"level"`
}

// awaitCommitted answers when all that a session has written to a keyspace with a commit order is committed.
func (s *Server) awaitCommitted(w http.ResponseWriter, r *http.Request) {
	ks, err := s.keyspace(r.PathValue("keyspace"))
	if err != nil {
		s.fail(w, err)
		return
	}
	token, err := kv.ParseToken(ks, r.Header.Get(HeaderSession))
	if err != nil {
		s.fail(w, err)
		return
	}
	s.do(ks, kv.LevelCommitted, func(c *kv.Call) {
		c.Command.Token = token
		c.Command.Ops = append(c.Command.Ops, kv.Op{})
	}, func(c *kv.Call) {
		if err := c.Result.Err(); err != nil {
			s.fail(w, err)
			return
		}
		setLevel(w.Header(), ks, &c.Result)
		writeJSON(w, http.StatusOK, WaitBody{Level: c.Result.Level.String()})
	})
}
