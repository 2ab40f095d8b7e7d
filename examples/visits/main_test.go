package main

import (
	"bytes"
	"testing"

	"github.com/gamutdb/gamut/internal/trial"
	"github.com/gamutdb/gamut/kv"
)

func TestCount(t *testing.T) {
	c, err := trial.Start(3)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Create(kv.CreateKeyspace{Name: "default", Consistency: kv.Linearizable}); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := count(t.Context(), &out, c.Addresses(), "default", []string{"ada", "bob", "ada"}); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "ada: 1\nbob: 1\nada: 2\n"; got != want {
		t.Errorf("%q, not %q", got, want)
	}
}
