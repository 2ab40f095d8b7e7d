package http

import (
	"encoding/base64"
	"slices"
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
	// Stamp is the version in words where replicas give their own: milliseconds, counter and replica.
	Stamp string `json:"stamp,omitempty"`
	// Set are the members of a set; those that are not valid UTF-8 stand in Set64.
	Set   []string `json:"set,omitempty"`
	Set64 []string `json:"set64,omitempty"`
}

// RecordOf makes the JSON form of a scanned item.
func RecordOf(item *kv.Result, values bool) Record {
	r := Record{Version: item.Version, Flags: item.Flags, Expires: FormatExpiry(item.ExpireAt)}
	r.Key, r.Key64 = textOr64(item.Key)
	if !values {
		return r
	}
	if item.Marks&kv.MarkSet != 0 {
		for i := range item.Items {
			if text, coded := textOr64(item.Items[i].Value); coded != "" {
				r.Set64 = append(r.Set64, coded)
			} else {
				r.Set = append(r.Set, text)
			}
		}
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

// Members are those of a set in byte order, whichever fields hold them.
func (r *Record) Members() (list []string, err error) {
	list = append(list, r.Set...)
	for _, coded := range r.Set64 {
		member, err := bytesOf(nil, coded)
		if err != nil {
			return nil, err
		}
		list = append(list, string(member))
	}
	slices.Sort(list)
	return list, nil
}

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
