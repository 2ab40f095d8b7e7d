package store

import (
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestAFolderOfAnotherNodeIsRefused(t *testing.T) {
	fs := vfs.NewMem()
	d, _ := open(t, fs)
	d.Close()
	newer := testIdentity
	newer.Format = FormatVersion + 1
	tests := []struct {
		name   string
		want   Identity
		change func()
		texts  []string
	}{
		{"another cluster", Identity{Cluster: [16]byte{9}, Node: 3}, nil, []string{"0100", "0900", "give the node its own folder"}},
		{"another node", Identity{Cluster: [16]byte{1}, Node: 2}, nil, []string{"belongs to node 3, this is node 2", "its own folder"}},
		{"a newer format", testIdentity, func() { write(t, fs, "data/node3/IDENTITY", newer.encode()) },
			[]string{"format 2", "up to 1", "start a newer program"}},
		{"damaged", testIdentity, func() { write(t, fs, "data/node3/IDENTITY", []byte("gamut store\n")) }, []string{"IDENTITY", "damaged"}},
		{"missing", testIdentity, func() { fs.Remove("data/node3/IDENTITY") }, []string{"but no IDENTITY", "use an empty folder"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.change != nil {
				test.change()
			}
			_, _, err := Open("data/node3", test.want, small(fs))
			if err == nil {
				t.Fatal("opened")
			}
			for _, text := range append(test.texts, "data/node3") {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q does not say %q", err, text)
				}
			}
		})
	}
}

func TestIdentityEncoding(t *testing.T) {
	id := Identity{Cluster: [16]byte{1, 2}, Node: 7, Store: [16]byte{3}, Boot: 12, Format: FormatVersion}
	data := id.encode()
	if got, err := decodeIdentity(data); err != nil || got != id {
		t.Fatalf("%+v, %v", got, err)
	}
	for i := range data {
		data[i] ^= 1
		if got, err := decodeIdentity(data); err == nil {
			t.Fatalf("with byte %d changed it reads as %+v", i, got)
		}
		data[i] ^= 1
	}
}

func FuzzDecodeIdentity(f *testing.F) {
	f.Add(testIdentity.encode())
	f.Fuzz(func(t *testing.T, data []byte) { decodeIdentity(data) })
}
