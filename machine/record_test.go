package machine

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var records = []Record{
	{Version: 1, Value: []byte{}},
	{Version: 1 << 60, ExpireAt: 1, Flags: 1 << 31, Stale: true, Sent: true, Value: []byte("value")},
	{Version: 200, Flags: 1, Value: []byte("v")},
	{Version: 300, ExpireAt: 1 << 47, Stale: true, Value: []byte{0}},
}

func TestRecordsSurviveTheirEncoding(t *testing.T) {
	for i, r := range records {
		got, err := DecodeRecord(appendRecord(nil, &r))
		if diff := cmp.Diff(r, got); err != nil || diff != "" {
			t.Errorf("record %d: %v %s", i, err, diff)
		}
	}
	for _, b := range []string{"", "\x01\x00", "\x02\x00\x01", "\x01\xff\x01", "\x01\x01\x01abc", "\x01\x02\x01abc", "\x01\x00\xff"} {
		if r, err := DecodeRecord([]byte(b)); err == nil {
			t.Errorf("%q was taken for %+v", b, r)
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	for _, r := range records {
		f.Add(appendRecord(nil, &r))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := DecodeRecord(b)
		if err != nil {
			return
		}
		once := appendRecord(nil, &r)
		again, err := DecodeRecord(once)
		if err != nil || !bytes.Equal(appendRecord(nil, &again), once) {
			t.Fatalf("%x becomes %x, then %v", b, once, err)
		}
	})
}
