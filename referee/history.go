package referee

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/gamutdb/gamut/kv"
)

// Kind is what an operation did. The words stand in exported histories.
type Kind string

// Kinds of operation. Cas stores Value if the present value is Expect; Create stores it if the key is missing.
const (
	Get    Kind = "get"
	Set    Kind = "set"
	Create Kind = "create"
	Cas    Kind = "cas"
	Delete Kind = "delete"
	Incr   Kind = "incr"
	Append Kind = "append"
)

// Writes reports whether the operation may change its key.
func (k Kind) Writes() bool { return k != Get }

// Outcome is how certain an answer is.
type Outcome string

// Outcomes. Done: executed, with the result that its Code names. Refused: certainly not executed, now or later.
// Unknown: perhaps executed, perhaps later.
const (
	Done    Outcome = "done"
	Refused Outcome = "refused"
	Unknown Outcome = "unknown"
)

// Op is one operation of one client.
type Op struct {
	ID     int    `json:"id"`
	Client int    `json:"client"`
	Key    string `json:"key"`
	Kind   Kind   `json:"kind"`
	Value  string `json:"value,omitempty"`
	Expect string `json:"expect,omitempty"`
	Delta  int64  `json:"delta,omitempty"`
	// Call and Return are nanoseconds on one clock. The Return of an unknown outcome says when the client gave up, no more.
	Call    int64   `json:"call"`
	Return  int64   `json:"return"`
	Outcome Outcome `json:"outcome"`
	// Code and what follows are the result of a done operation.
	Code    kv.Code `json:"code"`
	Got     string  `json:"got,omitempty"`
	Int     int64   `json:"int,omitempty"`
	Version uint64  `json:"version,omitempty"`
	// Where tells people which node was asked, in which way.
	Where string `json:"where,omitempty"`
}

// Answer takes the result of an operation over: its outcome, and what it says.
func (o *Op) Answer(at int64, r *kv.Result) {
	o.Return, o.Code = at, r.Code
	switch {
	case r.Code == kv.Unknown:
		o.Outcome = Unknown
	case r.Code.Refused():
		o.Outcome = Refused
	default:
		o.Outcome, o.Got, o.Int, o.Version = Done, string(r.Value), r.Int, r.Version
	}
}

// end is the time after which the operation cannot take effect any more.
func (o *Op) end() int64 {
	if o.Outcome == Unknown {
		return math.MaxInt64
	}
	return o.Return
}

// String is the operation in a line.
func (o Op) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "#%d client %d %s %s", o.ID, o.Client, o.Kind, o.Key)
	switch o.Kind {
	case Set, Create, Append:
		fmt.Fprintf(&b, " %q", o.Value)
	case Cas:
		fmt.Fprintf(&b, " %q -> %q", o.Expect, o.Value)
	case Incr:
		fmt.Fprintf(&b, " by %d", o.Delta)
	}
	fmt.Fprintf(&b, " [%.6fs, ", float64(o.Call)/1e9)
	switch o.Outcome {
	case Unknown:
		b.WriteString("open) unknown")
	case Refused:
		fmt.Fprintf(&b, "%.6fs] refused: %s", float64(o.Return)/1e9, o.Code)
	default:
		fmt.Fprintf(&b, "%.6fs] %s", float64(o.Return)/1e9, o.Code)
		if o.Kind == Get && o.Code == kv.OK {
			fmt.Fprintf(&b, " %q", o.Got)
		}
		if o.Kind == Incr && o.Code == kv.OK {
			fmt.Fprintf(&b, " %d", o.Int)
		}
		if o.Version != 0 {
			fmt.Fprintf(&b, " version %d", o.Version)
		}
	}
	if o.Where != "" {
		fmt.Fprintf(&b, " (%s)", o.Where)
	}
	return b.String()
}

// History is what all clients did.
type History []Op

// Sort orders the operations by their calls and numbers them.
func (h History) Sort() {
	slices.SortStableFunc(h, func(a, b Op) int {
		switch {
		case a.Call < b.Call:
			return -1
		case a.Call > b.Call:
			return 1
		}
		return a.Client - b.Client
	})
	for i := range h {
		h[i].ID = i
	}
}

// keys are the keys of the history, each with its operations in order.
func (h History) keys() (names []string, ops map[string]History) {
	ops = map[string]History{}
	for _, o := range h {
		if _, ok := ops[o.Key]; !ok {
			names = append(names, o.Key)
		}
		ops[o.Key] = append(ops[o.Key], o)
	}
	slices.Sort(names)
	return names, ops
}

// Export writes the history, an operation a line, as JSON.
func (h History) Export(w io.Writer) error {
	b := bufio.NewWriter(w)
	e := json.NewEncoder(b)
	for i := range h {
		if err := e.Encode(&h[i]); err != nil {
			return err
		}
	}
	return b.Flush()
}

// Import reads what Export wrote.
func Import(r io.Reader) (h History, err error) {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	for {
		var o Op
		if err := d.Decode(&o); err == io.EOF {
			return h, nil
		} else if err != nil {
			return nil, fmt.Errorf("operation %d of the history: %w", len(h)+1, err)
		}
		if err := o.validate(); err != nil {
			return nil, fmt.Errorf("operation %d of the history: %w", len(h)+1, err)
		}
		h = append(h, o)
	}
}

func (o *Op) validate() error {
	if !slices.Contains([]Kind{Get, Set, Create, Cas, Delete, Incr, Append}, o.Kind) {
		return fmt.Errorf("unknown kind %q", o.Kind)
	}
	if o.Outcome != Done && o.Outcome != Refused && o.Outcome != Unknown {
		return fmt.Errorf("unknown outcome %q", o.Outcome)
	}
	if o.Outcome != Unknown && o.Return < o.Call {
		return fmt.Errorf("it returns at %d, before its call at %d", o.Return, o.Call)
	}
	return nil
}
