package show

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestFormats(t *testing.T) {
	type row struct {
		Key string `json:"key"`
		N   int    `json:"n"`
	}
	for _, c := range []struct {
		format string
		rows   int
		want   string
	}{
		{"table", 0, ""},
		{"table", 2, "KEY      N\nk        1\n\"k\\x1b\"  2\n"},
		{"raw", 2, "k\t1\nk\x1b\t2\n"},
		{"jsonl", 2, "{\"key\":\"k\",\"n\":1}\n{\"key\":\"k\\u001b\",\"n\":2}\n"},
		{"json", 0, "[]\n"},
		{"json", 1, "[\n{\"key\":\"k\",\"n\":1}\n]\n"},
		{"json", 2, "[\n{\"key\":\"k\",\"n\":1},\n{\"key\":\"k\\u001b\",\"n\":2}\n]\n"},
	} {
		var b strings.Builder
		p, err := New(&b, c.format, "KEY", "N")
		if err != nil {
			t.Fatal(err)
		}
		for i := range c.rows {
			key := []string{"k", "k\x1b"}[i]
			if err := p.Row(row{key, i + 1}, key, []string{"1", "2"}[i]); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if b.String() != c.want {
			t.Errorf("%s of %d rows: %q, want %q", c.format, c.rows, b.String(), c.want)
		}
		if c.format == "json" && !json.Valid([]byte(b.String())) {
			t.Errorf("%q is not JSON", b.String())
		}
	}
	if _, err := New(nil, "xml"); err == nil {
		t.Error("xml was accepted")
	}
}

func TestOnlyIsOneObject(t *testing.T) {
	var b strings.Builder
	p, _ := New(&b, "json", "N")
	p.Only(map[string]int{"n": 1}, "1")
	p.Close()
	if b.String() != "{\"n\":1}\n" {
		t.Errorf("%q", b.String())
	}
}
