package bayou

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

// A write may say on what its client relied: its conditions, which Bayou calls a dependency check. They are judged at the write's
// place, by every replica, and again when that place changes. If they do not hold there, the write's merge procedure says what is done
// instead: it is part of the write, and knows nothing but the records before it, so it does the same everywhere.

// executeChecked executes a command on the board: as it is, or as its merge procedure wants it. How says which of them was, if not the
// first.
func (b *board) executeChecked(m *machine.Machine, w *Write, encoded []byte) kv.Result {
	res := b.execute(m, w.Stamp, encoded)
	if res.Code != kv.ConditionFailed || len(res.Items) > 0 {
		return res
	}
	var c kv.Command
	if kv.DecodeCommand(encoded, &c) != nil || c.Merge == nil || conditionOfOp(&c, &res) {
		return res
	}
	if c.Merge.Kind != kv.MergeAlternatives {
		return b.merge(m, w, &c)
	}
	if b.backwards {
		slices.Reverse(c.Merge.Alternatives)
	}
	for i, a := range c.Merge.Alternatives {
		one := kv.Command{Conds: a.Conds, Ops: a.Ops}
		if other := b.execute(m, w.Stamp, kv.AppendCommand(nil, &one)); other.Code != kv.ConditionFailed || len(a.Conds) == 0 {
			other.Detail = fmt.Sprintf("alternative %d", i+1)
			return other
		}
	}
	return res
}

// conditionOfOp says that it was the condition of a single operation which did not hold, and not those of the command.
func conditionOfOp(c *kv.Command, res *kv.Result) bool {
	return len(c.Conds) == 0 || len(c.Ops) == 1 && (res.Existed || res.Version != 0)
}

// merge sets each key to what the merge procedure makes of its present value and the one that was to be set.
func (b *board) merge(m *machine.Machine, w *Write, c *kv.Command) kv.Result {
	merged := kv.Command{}
	for i := range c.Ops {
		o := c.Ops[i]
		if c.Merge.Kind == kv.MergeCopy {
			o.Key = copyKey(o.Key, w.Dot)
		} else if present := b.at(o.Key).now; present != nil {
			record, err := machine.DecodeRecord(present)
			if err != nil {
				panic(fmt.Sprintf("bayou: the record at key %q cannot be decoded: %v", o.Key, err))
			}
			var code kv.Code
			if o.Value, code = mergeValues(c.Merge.Kind, record.Value, o.Value); code != kv.OK {
				return kv.Result{Code: code, Existed: true, AsOf: w.Stamp.UnixMilli()}
			}
		}
		merged.Ops = append(merged.Ops, o)
	}
	res := b.execute(m, w.Stamp, kv.AppendCommand(nil, &merged))
	res.Detail = "merge procedure " + c.Merge.Kind.String()
	return res
}

// copyKey is where MergeCopy keeps a value beside the one that is there.
func copyKey(key []byte, d Dot) []byte { return append(append(bytes.Clone(key), '~'), d.String()...) }

// mergeValues is what a merge procedure makes of a present value and one that was to be set.
func mergeValues(kind kv.MergeKind, present, value []byte) ([]byte, kv.Code) {
	if kind == kv.MergeAppend {
		if len(present)+1+len(value) > kv.ValueMax {
			return nil, kv.TooLong
		}
		return append(append(bytes.Clone(present), '\n'), value...), kv.OK
	}
	a, ok := parseInteger(present)
	n, numeric := parseInteger(value)
	if !ok || !numeric {
		return nil, kv.NotInteger
	}
	switch kind {
	case kv.MergeMax:
		n = max(a, n)
	case kv.MergeMin:
		n = min(a, n)
	case kv.MergeSum:
		if n > 0 && a > math.MaxInt64-n || n < 0 && a < math.MinInt64-n {
			return nil, kv.Overflow
		}
		n += a
	}
	return strconv.AppendInt(nil, n, 10), kv.OK
}
