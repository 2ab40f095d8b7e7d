package kv

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRequestIDsSurviveTheirText(t *testing.T) {
	for _, id := range []RequestID{
		{"default", []byte("greeting"), Session{Client: [16]byte{1, 2, 255}, Seq: 1}},
		{"a-b_c", []byte("\x00\xff./ %"), Session{Seq: 1<<64 - 1}},
		{"k", []byte{}, Session{Seq: 7}},
	} {
		got, err := ParseRequestID(id.String())
		if diff := cmp.Diff(id, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", id, err, diff)
		}
		if IsTxID(id.String()) || strings.ContainsAny(id.String(), "%/ '\"?&#+=") {
			t.Errorf("%s needs quotes somewhere, or is taken for a transaction's", id)
		}
	}
	if id := (TxID{Age: 1}); !IsTxID(id.String()) {
		t.Errorf("%s is not taken for a transaction's", id)
	}
}

func TestBadRequestIDsAreRefused(t *testing.T) {
	number := Session{Seq: 1}.Number()
	for _, text := range []string{"", "k", "k.Yw", "k.Yw." + number + ".x", ".Yw." + number, "k.!." + number, "k.Yw.1-1", "k.Yw." + number[:33] + "0", "k.Yw." + number[:33],
		"k.Yw." + strings.Repeat("g", 32) + "-1", "k." + strings.Repeat("YWFh", KeyMax) + "." + number} {
		if id, err := ParseRequestID(text); err == nil {
			t.Errorf("%.80q is %+v", text, id)
		}
	}
}

func FuzzRequestID(f *testing.F) {
	f.Add("default.Z3JlZXRpbmc.01a200388ec5104dc2acd5a425f0763e-2")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := ParseRequestID(text)
		if err != nil {
			return
		}
		again, err := ParseRequestID(id.String())
		if diff := cmp.Diff(id, again); err != nil || diff != "" {
			t.Errorf("%q: %v %s", text, err, diff)
		}
	})
}
