package txn

import (
	"testing"

	"github.com/gamutdb/gamut/kv"
)

func TestEachGroupForgetsTogether(t *testing.T) {
	var sends []Send
	asked := map[uint64][]kv.TxID{}
	for i := range uint64(2 * forgetMax) {
		id, group := kv.TxID{Nonce: i}, 1+i%3%2 // two thirds go to the first group
		asked[group] = append(asked[group], id)
		sends = append(sends, Send{Group: group, Command: kv.Command{Tx: &kv.Tx{Step: kv.TxForget, ID: id, Commit: true}}})
	}
	sends = append(sends, Send{Group: 9, Command: kv.Command{Tx: &kv.Tx{Step: kv.TxForget, Commit: true}}})
	list := Together(sends)
	if len(list) != 4 {
		t.Fatalf("%d commands", len(list))
	}
	for _, s := range list {
		tx := s.Command.Tx
		if want := map[bool]kv.TxStep{true: kv.TxForgetMany, false: kv.TxForget}[len(tx.Others) > 0]; tx.Step != want || !tx.Commit {
			t.Errorf("step %d for %d others, commit %t", tx.Step, len(tx.Others), tx.Commit)
		}
		for _, id := range append([]kv.TxID{tx.ID}, tx.Others...) {
			if s.Group != 9 && id != asked[s.Group][0] {
				t.Fatalf("group %d is asked to forget %s, not %s", s.Group, id, asked[s.Group][0])
			}
			asked[s.Group] = asked[s.Group][min(1, len(asked[s.Group])):]
		}
	}
	if len(asked[1])+len(asked[2]) > 0 {
		t.Errorf("%d are left out", len(asked[1])+len(asked[2]))
	}
	for _, s := range sends {
		if s.Command.Tx.Step != kv.TxForget || s.Command.Tx.Others != nil {
			t.Fatal("what was handed over has changed")
		}
	}
}
