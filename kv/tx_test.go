package kv

import (
	"bytes"
	"testing"
)

func TestTxIDSurvivesItsText(t *testing.T) {
	id := TxID{Age: 1<<63 + 5, Anchor: 7, Nonce: 1 << 60, Attempt: 9}
	got, err := ParseTxID(id.String())
	if err != nil || got != id {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "x", id.String()[1:], id.String() + "00"} {
		if _, err := ParseTxID(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestTxIDsAreInOrderOfAge(t *testing.T) {
	old, young := TxID{Age: 255, Nonce: 9}, TxID{Age: 256, Nonce: 1}
	if !young.Younger(old) || old.Younger(young) || old.Younger(old) {
		t.Error("age does not count")
	}
	if bytes.Compare(old.AppendTo(nil), young.AppendTo(nil)) >= 0 {
		t.Error("the older id does not come first")
	}
	retry := old
	retry.Attempt++
	if retry.Younger(old) || old.Younger(retry) {
		t.Error("attempts of one transaction are not equally old")
	}
}

func TestNegation(t *testing.T) {
	for kind := CondAbsent; kind <= CondOtherValue; kind++ {
		c := Cond{Kind: kind, Version: 3}
		n := c.Negation()
		if n.Kind == kind || n.Version != 3 || n.Negation().Kind != kind {
			t.Errorf("kind %d: %+v", kind, n)
		}
	}
}
