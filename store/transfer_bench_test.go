package store

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/transfer"
	"github.com/gamutdb/gamut/core/wire"
)

// BenchmarkTransfer carries a state of 100,000 records of 272 bytes from one group to another, as a replica that joins is filled, without
// the network: what it takes per byte bounds how fast a node catches up on one processor.
func BenchmarkTransfer(b *testing.B) {
	const records = 100_000
	d, _, err := Open(b.TempDir(), Identity{}, Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	var changes []core.Change
	for i := range records {
		key := binary.BigEndian.AppendUint64([]byte("d0000000"), uint64(i))
		changes = append(changes, core.Change{Kind: core.Put, Key: key, Value: bytes.Repeat([]byte{byte(i)}, 256)})
	}
	if err := d.Group(1).Apply(changes); err != nil {
		b.Fatal(err)
	}
	if err := d.Flush(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(records * 272)
	for b.Loop() {
		carry(b, d)
	}
}

func carry(b *testing.B, d *Disk) {
	s := transfer.Send(d.Group(1))
	defer s.Close()
	var to transfer.Staging[int]
	for {
		var w wire.Writer
		s.Part.AppendTo(&w)
		part := transfer.ReadPart(&wire.Reader{B: w.B})
		var out core.Effects
		whole := to.Take(&out, 1, 1, &part)
		if err := d.Group(2).Apply(out.State); err != nil {
			b.Fatal(err)
		}
		if whole {
			break
		}
		s.Next(to.Wanted)
	}
	if err := d.Group(2).Apply([]core.Change{{Kind: core.Install}}); err != nil {
		b.Fatal(err)
	}
}
