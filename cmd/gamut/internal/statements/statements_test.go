package statements

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"get a": `{"operations":[{"op":"get","key":"a"}]}`,
		"# money\nif a is 10\n\nif b version 7\nincr a -5 # five\n incr b\n": `{"conditions":[{"key":"a","value":"10"},{"key":"b","version":7}],` +
			`"operations":[{"op":"incr","key":"a","by":-5},{"op":"incr","key":"b"}]}`,
		"if x absent\nin other\nif \"two words\" present\nput \"k\\n\" \"v w\" ttl 1h\nelse\nget x": `{"conditions":[{"key":"x","absent":true},` +
			`{"keyspace":"other","key":"two words","present":true}],"operations":[{"keyspace":"other","op":"put","key":"k\n","value":"v w","ttl":"1h"}],` +
			`"else":[{"keyspace":"other","op":"get","key":"x"}]}`,
		"if x absent\nput x a\nor\nif y absent\nput y a\nor\nput z a": `{"conditions":[{"key":"x","absent":true}],"operations":[{"op":"put","key":"x","value":"a"}],` +
			`"alternatives":[{"conditions":[{"key":"y","absent":true}],"operations":[{"op":"put","key":"y","value":"a"}]},{"operations":[{"op":"put","key":"z","value":"a"}]}]}`,
		"if x version 3\nput x 7\nmerge max": `{"conditions":[{"key":"x","version":3}],"operations":[{"op":"put","key":"x","value":"7"}],"merge":"max"}`,
		"append a b\nprepend a c\nexpire a 5s\npersist a\ndelete a": `{"operations":[{"op":"append","key":"a","value":"b"},{"op":"prepend","key":"a","value":"c"},` +
			`{"op":"expire","key":"a","ttl":"5s"},{"op":"persist","key":"a"},{"op":"delete","key":"a"}]}`,
		`{"keyspace":"ks","operations":[{"op":"get","key":"a"}]}`: `{"keyspace":"ks","operations":[{"op":"get","key":"a"}]}`,
	} {
		got, err := Parse([]byte(text), "")
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		expected, err := parseJSON([]byte(want), "")
		if err != nil {
			t.Fatal(err)
		}
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(expected)
		if string(a) != string(b) {
			t.Errorf("%s\n got %s\nwant %s", text, a, b)
		}
	}
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "at least one",
		"if a absent":            "at least one",
		"get a\nif a absent":     "line 2: conditions stand before",
		"get a\nelse\nget b":     "line 2: else stands alone",
		"dance a":                `line 1: "dance" is not a statement`,
		"get":                    "line 1: get takes a key",
		"put a":                  "line 1: put takes a key",
		"put a b for 5s":         "put KEY VALUE ttl TIME",
		"put a b ttl never":      `"never" is not a time to live`,
		"incr a x":               `"x" is not a 64-bit integer`,
		"if a like b\nget a":     "a condition is",
		"if a version x\nget a":  `version "x" is not a number`,
		`get "a`:                 "is not a quoted word",
		"in\nget a":              "in names one keyspace",
		`{"operation":[]}`:       "unknown field",
		"get a b":                "get takes a key and 0 to 0",
		"if a absent x\nput a b": "a condition is",
	} {
		if _, err := Parse([]byte(text), ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, not %q", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("if a is 1\nput a 2 ttl 1s\nelse\nget a"))
	f.Add([]byte("if a absent\nput a 2\nor\nif b absent\nput b 2\nelse\nget a"))
	f.Add([]byte("if a version 1\nput a 2\nmerge max"))
	f.Add([]byte(`{"operations":[]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if txn, err := Parse(text, "ks"); err == nil && txn == nil {
			t.Error("neither a transaction nor an error")
		}
	})
}
