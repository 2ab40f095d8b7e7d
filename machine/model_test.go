package machine

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/gamutdb/gamut/kv"
)

// modelled is what the model knows of a key.
type modelled struct {
	value string
	ends  int64 // 0: never
}

// model is the plainest thing that a keyspace could be.
type model struct {
	keys map[string]modelled
	now  int64
}

func (m *model) get(k string) (modelled, bool) {
	v, ok := m.keys[k]
	return v, ok && (v.ends == 0 || v.ends > m.now)
}

// apply does what a handful of operations mean, and says what they answer.
func (m *model) apply(o *kv.Op) string {
	k := string(o.Key)
	old, ok := m.get(k)
	switch o.Kind {
	case kv.OpSet:
		v := modelled{value: string(o.Value)}
		if o.Expiry == kv.ExpireIn {
			v.ends = m.now + o.Expire
		}
		if o.When == kv.IfAbsent && ok {
			return "condition failed"
		}
		m.keys[k] = v
	case kv.OpDelete:
		if !ok {
			return "not found"
		}
		delete(m.keys, k)
	case kv.OpAppend:
		if !ok {
			old = modelled{}
		}
		old.value += string(o.Value)
		m.keys[k] = old
	case kv.OpRename:
		if !ok {
			return "not found"
		}
		delete(m.keys, k)
		m.keys[string(o.Key2)] = old
	case kv.OpClear:
		clear(m.keys)
	case kv.OpGet:
		if !ok {
			return "not found"
		}
		return fmt.Sprintf("ok %q", old.value)
	case kv.OpScan:
		var found []string
		for k := range m.keys {
			if v, ok := m.get(k); ok && k >= string(o.Key) {
				found = append(found, fmt.Sprintf("%s=%s", k, v.value))
			}
		}
		slices.Sort(found)
		return fmt.Sprint(found)
	}
	return "ok"
}

// answer is a result in the words of the model.
func answer(o *kv.Op, r *kv.Result) string {
	switch {
	case o.Kind == kv.OpScan:
		var found []string
		for _, item := range r.Items {
			found = append(found, fmt.Sprintf("%s=%s", item.Key, item.Value))
		}
		return fmt.Sprint(found)
	case o.Kind == kv.OpGet && r.Code == kv.OK:
		return fmt.Sprintf("ok %q", r.Value)
	}
	return r.Code.String()
}

// TestMachineIsTheModel applies random entries of random commands to the machine and to the model, and after each entry
// holds reads without a place in the log against logged ones.
func TestMachineIsTheModel(t *testing.T) {
	names := rapid.SampledFrom([]string{"a", "ab", "b", "c", ""})
	rapid.Check(t, func(t *rapid.T) {
		w, m := newWorld(), &model{keys: map[string]modelled{}}
		for range rapid.IntRange(1, 12).Draw(t, "entries") {
			w.now += rapid.Int64Range(0, 30).Draw(t, "pass")
			m.now = w.now
			if rapid.IntRange(0, 4).Draw(t, "sweep") == 0 {
				w.expire() // changes nothing that anybody can see
			}
			var ops []kv.Op
			for range rapid.IntRange(1, 6).Draw(t, "commands") {
				ops = append(ops, drawOp(t, names))
			}
			for i, r := range w.do(ops...) {
				if got, want := answer(&ops[i], &r), m.apply(&ops[i]); got != want {
					t.Fatalf("operation %+v of %d: %s, not %s", ops[i], i, got, want)
				}
			}
			compareReads(t, w, names)
		}
	})
}

func drawOp(t *rapid.T, names *rapid.Generator[string]) kv.Op {
	o := kv.Op{Key: key(names.Draw(t, "key")), Key2: key(names.Draw(t, "target")), Value: key(rapid.StringN(0, 3, 3).Draw(t, "value"))}
	o.Kind = rapid.SampledFrom([]kv.OpKind{kv.OpSet, kv.OpSet, kv.OpSet, kv.OpDelete, kv.OpAppend, kv.OpRename, kv.OpClear,
		kv.OpGet, kv.OpScan}).Draw(t, "kind")
	switch o.Kind {
	case kv.OpSet:
		o.When = rapid.SampledFrom([]kv.When{kv.Always, kv.IfAbsent}).Draw(t, "when")
		if rapid.Bool().Draw(t, "ends") {
			o.Expiry, o.Expire = kv.ExpireIn, rapid.Int64Range(1, 60).Draw(t, "in")
		}
	case kv.OpScan:
		o.Value = nil
	}
	return o
}

// compareReads reads all keys, one by one and together, with and without the log.
func compareReads(t *rapid.T, w *world, names *rapid.Generator[string]) {
	several := kv.Command{Ops: []kv.Op{get("a"), get("b")}}
	commands := []kv.Command{{Ops: []kv.Op{{Kind: kv.OpScan, Key: key(names.Draw(t, "from"))}}}, several}
	for _, k := range []string{"a", "ab", "b", "c", ""} {
		commands = append(commands, kv.Command{Ops: []kv.Op{get(k)}})
	}
	for i := range commands {
		read, needsLog := Read(w, &commands[i], w.stamp())
		logged := w.entry(commands[i])[0]
		if needsLog {
			t.Fatalf("the log is at the reader's time, and still has to be asked: %+v", commands[i])
		}
		if diff := cmp.Diff(logged, read, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%+v: %s", commands[i], diff)
		}
	}
}
