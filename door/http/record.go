package http

import (
	"encoding/base64"
	"unicode/utf8"

	"github.com/gamutdb/gamut/kv"
)

// Record is a key with what belongs to it, as JSON. JSON's strings hold only Unicode, and keys and values are any bytes:
// what is not valid UTF-8 stands in the fields that end in 64, in standard base64.
type Record struct {
	Key     string  `json:"key,omitempty"`
	Key64   string  `json:"key64,omitempty"`
	Value   *string `json:"value,omitempty"`
	Value64 string  `json:"value64,omitempty"`
	Version uint64  `json:"version,omitempty"`
	Flags   uint32  `json:"flags,omitempty"`
	Expires string  `json:"expires,omitempty"`
}

// RecordOf makes the JSON form of a scanned item.
func RecordOf(item *kv.Result, values bool) Record {
	r := Record{Version: item.Version, Flags: item.Flags, Expires: FormatExpiry(item.ExpireAt)}
	r.Key, r.Key64 = textOr64(item.Key)
	if !values {
		return r
	}
	text, coded := textOr64(item.Value)
	if r.Value64 = coded; coded == "" {
		r.Value = &text
	}
	return r
}

func textOr64(b []byte) (text, coded string) {
	if utf8.Valid(b) {
		return string(b), ""
	}
	return "", base64.StdEncoding.EncodeToString(b)
}

// KeyBytes is the key, whichever field holds it.
func (r *Record) KeyBytes() ([]byte, error) { return bytesOf(&r.Key, r.Key64) }

// ValueBytes is the value, whichever field holds it.
func (r *Record) ValueBytes() ([]byte, error) { return bytesOf(r.Value, r.Value64) }

func bytesOf(text *string, coded string) ([]byte, error) {
	switch {
	case coded == "" && text != nil:
		return []byte(*text), nil
	case coded == "":
		return nil, nil
	case text != nil && *text != "":
		return nil, invalid("text %q and its base64 form exclude each other", *text)
	}
	b, err := base64.StdEncoding.DecodeString(coded)
	if err != nil {
		return nil, invalid("%q is not standard base64: %v", coded, err)
	}
	return b, nil
}
