package kv

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	key, longKey := []byte("k"), bytes.Repeat([]byte("k"), KeyMax+1)
	longValue := make([]byte, ValueMax+1)
	// As many of the longest keys as a command may have, and half as many operations with two each.
	renames, conds := make([]Op, OpsMax/2), make([]Cond, OpsMax)
	for i := range renames {
		renames[i] = Op{Kind: OpRename, Key: longKey[1:], Key2: longKey[1:]}
	}
	for i := range conds {
		conds[i] = Cond{Kind: CondPresent, Key: longKey[1:]}
	}
	one := func(o Op) Command { return Command{Ops: []Op{o}} }
	cases := []struct {
		name    string
		command Command
		code    Code
		says    string
	}{
		{"a set", one(Op{Kind: OpSet, Key: key}), OK, ""},
		{"the longest key", one(Op{Kind: OpGet, Key: longKey[1:]}), OK, ""},
		{"the longest value", one(Op{Kind: OpSet, Key: key, Value: longValue[1:]}), OK, ""},
		{"an empty key", one(Op{Kind: OpSet}), OK, ""},
		{"a scan", one(Op{Kind: OpScan, Key: longKey}), OK, ""},
		{"nothing", Command{}, Invalid, "at least one"},
		{"too many operations", Command{Ops: make([]Op, OpsMax+1)}, Invalid, "4097"},
		{"too many conditions", Command{Conds: make([]Cond, OpsMax+1), Ops: make([]Op, 1)}, Invalid, "4097"},
		{"a key too long", one(Op{Kind: OpGet, Key: longKey}), Invalid, "key of"},
		{"a condition's key too long", Command{Conds: []Cond{{Key: longKey}}, Ops: make([]Op, 1)}, Invalid, "key of"},
		{"a target too long", one(Op{Kind: OpRename, Key: key, Key2: longKey}), Invalid, "key of"},
		{"a value too long", one(Op{Kind: OpSet, Key: key, Value: longValue}), Invalid, "value of"},
		{"an expectation too long", one(Op{Kind: OpSet, Key: key, Expect: longValue}), Invalid, "value of"},
		{"a range that ends too late", one(Op{Kind: OpSetRange, Key: key, Offset: ValueMax, Value: []byte("x")}), Invalid, "range ends"},
		{"an offset near the end of numbers", one(Op{Kind: OpSetRange, Key: key, Offset: 1<<32 - 1, Value: []byte("x")}), Invalid, "range ends"},
		{"a command too long", Command{Ops: []Op{{Kind: OpSet, Value: longValue[1:]}, {Kind: OpSet, Value: longValue[1:]}, {Kind: OpSet, Value: key}}}, Invalid, "command of"},
		{"the longest keys", Command{Ops: renames}, OK, ""},
		{"too long keys", Command{Conds: conds[:1], Ops: renames}, Invalid, "bytes of keys"},
		{"too long keys of conditions", Command{Conds: conds, Ops: renames[:1]}, Invalid, "bytes of keys"},
		{"a scan among others", Command{Ops: []Op{{Kind: OpScan}, {Kind: OpGet}}}, Unsupported, "scan"},
		{"an unknown operation", one(Op{Kind: opKinds}), Invalid, "not known"},
		{"an unknown condition", one(Op{When: IfValue + 1}), Invalid, "not known"},
		{"an unknown expiry", one(Op{Expiry: ExpireIn + 1}), Invalid, "not known"},
		{"an unknown condition of expiry", one(Op{ExpireWhen: 250}), Invalid, "not known"},
	}
	for _, c := range cases {
		err := c.command.Validate()
		if c.code == OK {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		var e *Error
		if !errors.As(err, &e) || e.Code != c.code || !strings.Contains(e.Detail, c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestCodes(t *testing.T) {
	for c := range 256 {
		code := Code(c)
		if code.Refused() && !code.Definite() {
			t.Errorf("%v is refused and not definite", code)
		}
	}
	for _, c := range []struct {
		code              Code
		definite, refused bool
		fails             bool
	}{{OK, true, false, false}, {NotFound, true, false, false}, {TooLong, true, false, false}, {Unavailable, true, true, true},
		{NotLeader, true, true, true}, {Exists, true, true, true}, {Unknown, false, false, true}} {
		r := Result{Code: c.code}
		if c.code.Definite() != c.definite || c.code.Refused() != c.refused || (r.Err() != nil) != c.fails {
			t.Errorf("%v: definite %t, refused %t, error %v", c.code, c.code.Definite(), c.code.Refused(), r.Err())
		}
	}
	if r := Failed(errors.New("disk on fire")); r.Code != Unknown {
		t.Errorf("an error of unknown kind is %v", r.Code)
	}
	if r := Failed(Errorf(Busy, "%d waiting", 3)); r.Code != Busy || r.Detail != "3 waiting" {
		t.Errorf("%+v", r)
	}
}
