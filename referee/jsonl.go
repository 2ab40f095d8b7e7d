package referee

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/gamutdb/gamut/kv"
)

// A run is exported as lines of JSON: first the run itself, {"run": ...}, then one operation a line, then the events,
// {"event": ...}, then what was left, {"final": ...} and {"replica": ...}. A history alone is lines of operations.

// Export writes the history, an operation a line, as JSON.
func (h History) Export(w io.Writer) error {
	return exportLines(w, func(e *json.Encoder) error { return h.encode(e) })
}

func (h History) encode(e *json.Encoder) error {
	for i := range h {
		if err := e.Encode(&h[i]); err != nil {
			return err
		}
	}
	return nil
}

func exportLines(w io.Writer, write func(e *json.Encoder) error) error {
	b := bufio.NewWriter(w)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := write(e); err != nil {
		return err
	}
	return b.Flush()
}

// Export writes the run so that Import reads it back.
func (r *Run) Export(w io.Writer) error {
	return exportLines(w, func(e *json.Encoder) error {
		if err := e.Encode(map[string]*Run{"run": r}); err != nil {
			return err
		}
		if err := r.History.encode(e); err != nil {
			return err
		}
		for i := range r.Events {
			if err := e.Encode(&r.Events[i]); err != nil {
				return err
			}
		}
		if r.Final != nil {
			if err := e.Encode(map[string]Final{"final": r.Final}); err != nil {
				return err
			}
		}
		for i := range r.Replicas {
			if err := e.Encode(map[string]*Replica{"replica": &r.Replicas[i]}); err != nil {
				return err
			}
		}
		return nil
	})
}

// Import reads what Run.Export or History.Export wrote, and checks that it makes sense.
func Import(r io.Reader) (*Run, error) {
	run := &Run{}
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 64<<10), lineMax)
	for n := 1; s.Scan(); n++ {
		if len(bytes.TrimSpace(s.Bytes())) == 0 {
			continue
		}
		if err := run.line(s.Bytes()); err != nil {
			return nil, fmt.Errorf("line %d of the history: %w", n, err)
		}
	}
	return run, s.Err()
}

// lineMax bounds a line: two values of the greatest size as JSON escapes them, and the records of a replica.
const lineMax = 256 << 20

func (r *Run) line(b []byte) error {
	var which struct {
		Run     json.RawMessage `json:"run"`
		Event   json.RawMessage `json:"event"`
		Final   Final           `json:"final"`
		Replica json.RawMessage `json:"replica"`
	}
	if err := json.Unmarshal(b, &which); err != nil {
		return err
	}
	switch {
	case which.Run != nil:
		return strict(which.Run, r)
	case which.Event != nil:
		var e Event
		err := strict(b, &e)
		r.Events = append(r.Events, e)
		return err
	case which.Final != nil:
		r.Final = which.Final
		return nil
	case which.Replica != nil:
		var p Replica
		err := strict(which.Replica, &p)
		r.Replicas = append(r.Replicas, p)
		return err
	}
	var o Op
	if err := strict(b, &o); err != nil {
		return err
	}
	r.History = append(r.History, o)
	return o.validate()
}

// strict refuses fields that we do not know: a history that says more than we judge would be judged wrongly.
func strict(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

func (o *Op) validate() error {
	switch {
	case o.Outcome != Done && o.Outcome != Refused && o.Outcome != Unknown:
		return fmt.Errorf("unknown outcome %q", o.Outcome)
	case o.Outcome != Unknown && o.Return < o.Call:
		return fmt.Errorf("it returns at %d, before its call at %d", o.Return, o.Call)
	case o.Kind == Txn && len(o.Subs) == 0:
		return fmt.Errorf("a txn without subs")
	case o.Kind == Txn:
		for i := range o.Subs {
			if !slices.Contains(kinds, o.Subs[i].Kind) {
				return fmt.Errorf("unknown kind %q in a txn", o.Subs[i].Kind)
			}
		}
	case !slices.Contains(kinds, o.Kind):
		return fmt.Errorf("unknown kind %q", o.Kind)
	case len(o.Subs) > 0:
		return fmt.Errorf("a %s with subs; only a txn has them", o.Kind)
	}
	return nil
}

var kinds = []Kind{Get, Set, Create, Cas, Delete, Incr, Append, Include, Exclude, Members}

type plainOp Op

// MarshalJSON writes the code as its name.
func (o Op) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		*plainOp
		Code string `json:"code"`
	}{(*plainOp)(&o), o.Code.String()})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (o *Op) UnmarshalJSON(b []byte) (err error) {
	with := struct {
		*plainOp
		Code string `json:"code"`
	}{plainOp: (*plainOp)(o)}
	if err := strict(b, &with); err != nil {
		return err
	}
	o.Code, err = codeNamed(with.Code)
	return err
}

type plainSub Sub

// MarshalJSON writes the code as its name.
func (s Sub) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		plainSub
		Code string `json:"code,omitempty"`
	}{plainSub(s), s.Code.String()})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *Sub) UnmarshalJSON(b []byte) (err error) {
	with := struct {
		*plainSub
		Code string `json:"code"`
	}{plainSub: (*plainSub)(s)}
	if err := strict(b, &with); err != nil {
		return err
	}
	s.Code, err = codeNamed(with.Code)
	return err
}

// codes are the names of all codes. They are numbered in a byte, and a number without a name is called by its number.
var codes = func() map[string]kv.Code {
	m := map[string]kv.Code{"": kv.OK}
	for i := range 256 {
		m[kv.Code(i).String()] = kv.Code(i)
	}
	return m
}()

func codeNamed(name string) (kv.Code, error) {
	c, ok := codes[name]
	if !ok {
		return 0, fmt.Errorf("unknown code %q", name)
	}
	return c, nil
}
