package maelstrom

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/kv"
)

// Codes of Maelstrom's errors. All but crash are definite: the request was not executed, and never will be.
const (
	notSupported           = 10
	temporarilyUnavailable = 11
	malformedRequest       = 12
	crash                  = 13
	keyDoesNotExist        = 20
	keyAlreadyExists       = 21
	preconditionFailed     = 22
)

// body is what clients and Maelstrom itself may say.
type body struct {
	Type    string   `json:"type"`
	MsgID   *int64   `json:"msg_id,omitempty"`
	NodeID  string   `json:"node_id,omitempty"`
	NodeIDs []string `json:"node_ids,omitempty"`

	Key               json.RawMessage `json:"key,omitempty"`
	Value             json.RawMessage `json:"value,omitempty"`
	From              json.RawMessage `json:"from,omitempty"`
	To                json.RawMessage `json:"to,omitempty"`
	CreateIfNotExists bool            `json:"create_if_not_exists,omitempty"`
}

// answer is what a client is told.
type answer struct {
	Type      string          `json:"type"`
	InReplyTo int64           `json:"in_reply_to"`
	Value     json.RawMessage `json:"value,omitempty"`
	Code      int             `json:"code,omitempty"`
	Text      string          `json:"text,omitempty"`
}

// request is one that has not been answered.
type request struct {
	from  string
	msgID int64
	kind  string // read, write or cas
}

// receive takes one line.
func (n *node) receive(e envelope) error {
	var b body
	if err := json.Unmarshal(e.Body, &b); err != nil {
		return fmt.Errorf("a line whose body is not Maelstrom's: %w: %.200q", err, e.Body)
	}
	if strings.HasPrefix(b.Type, "gamut_") {
		if n.host == nil {
			return nil // it came before init: the network may lose it as well
		}
		return n.peer(e)
	}
	if b.MsgID == nil {
		return nil // nobody waits for an answer
	}
	r := request{from: e.Src, msgID: *b.MsgID, kind: b.Type}
	switch {
	case b.Type == "init" && n.host == nil:
		if err := n.begin(b.NodeID, b.NodeIDs); err != nil {
			return err
		}
		n.send(e.Src, answer{Type: "init_ok", InReplyTo: r.msgID})
	case n.host == nil:
		n.refuse(r, temporarilyUnavailable, "this node was not told yet who it is")
	default:
		n.ask(r, &b)
	}
	return nil
}

func (n *node) refuse(r request, code int, text string) {
	n.send(r.from, answer{Type: "error", InReplyTo: r.msgID, Code: code, Text: text})
}

// ask hands a client's request to the host.
func (n *node) ask(r request, b *body) {
	op := kv.Op{}
	wants := []*json.RawMessage{&b.Key}
	switch b.Type {
	case "read":
		op.Kind = kv.OpGet
	case "write":
		op.Kind = kv.OpSet
		wants = append(wants, &b.Value)
	case "cas":
		if b.CreateIfNotExists {
			n.refuse(r, notSupported, "cas does not create keys; write them")
			return
		}
		op.Kind, op.When = kv.OpSet, kv.IfValue
		wants = append(wants, &b.From, &b.To)
	default:
		n.refuse(r, notSupported, fmt.Sprintf("there is no %q here; this node knows read, write and cas", b.Type))
		return
	}
	for _, w := range wants {
		if len(*w) == 0 {
			n.refuse(r, malformedRequest, fmt.Sprintf("the %s lacks a part", b.Type))
			return
		}
	}
	op.Key, op.Value, op.Expect = canonical(b.Key), canonical(b.Value), canonical(b.From)
	if b.Type == "cas" {
		op.Value = canonical(b.To)
	}
	n.submit(r, kv.Command{Ops: []kv.Op{op}})
}

func (n *node) submit(r request, c kv.Command) {
	n.token++
	n.waiting[n.token] = r
	now := n.now()
	n.host.Submit(now, host.Command{Token: n.token, Group: n.group, Encoded: kv.AppendCommand(nil, &c), Read: c.ReadOnly(), Deadline: now.Mono + patience})
}

// canonical is a JSON value without blanks: what is compared and stored.
func canonical(v json.RawMessage) []byte {
	var b bytes.Buffer
	if len(v) == 0 || json.Compact(&b, v) != nil {
		return nil
	}
	return b.Bytes()
}

// Reply is host.Port's.
func (n *node) Reply(token uint64, result kv.Result) {
	r := n.waiting[token]
	delete(n.waiting, token)
	if code := codeOf(result.Code); code != 0 {
		text := result.Code.String()
		if result.Detail != "" {
			text += ": " + result.Detail
		}
		n.refuse(r, code, text)
		return
	}
	a := answer{Type: r.kind + "_ok", InReplyTo: r.msgID}
	if r.kind == "read" {
		a.Value = result.Value
	}
	n.send(r.from, a)
}

// codeOf is Maelstrom's error for an outcome; 0: none.
func codeOf(c kv.Code) int {
	switch {
	case c == kv.OK:
		return 0
	case c == kv.NotFound:
		return keyDoesNotExist
	case c == kv.ConditionFailed:
		return preconditionFailed
	case c == kv.Exists:
		return keyAlreadyExists
	case c == kv.Unsupported:
		return notSupported
	case c == kv.Invalid || c == kv.TooLong:
		return malformedRequest
	case c.Refused():
		return temporarilyUnavailable
	}
	return crash
}
