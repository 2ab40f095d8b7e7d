package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// A batch in the log: version, flags, store tag, sequence, clock bound, the groups of the batch before it, items, crc32c.
const (
	batchVersion  = 1
	batchHeadSize = 1 + 1 + 8 + 8 + 8

	flagRoll     = 1 // the items are the head of a segment
	flagUnlisted = 2 // the batch before had more groups than are worth listing
	flagsKnown   = flagRoll | flagUnlisted

	// previousMax bounds the list of the previous batch's groups: a Roll has all groups of the node, and when it is lost
	// nearly all of them are suspect anyway.
	previousMax = 256
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errBatch = errors.New("not a batch of the log")

// loggedBatch is a batch as it stands in the log.
type loggedBatch struct {
	tag   uint64 // of the store that wrote it: a segment copied from another disk is no segment
	seq   uint64 // consecutive over all segments
	upper kv.HLC
	roll  bool
	// previous are the groups of the batch before: when that one is lost, they are what it may have held.
	previous         []core.GroupID
	previousUnlisted bool
	items            []Item
}

// appendBatch encodes b behind buf, which it may grow.
func appendBatch(buf []byte, b *loggedBatch) []byte {
	start := len(buf)
	var flags byte
	if b.roll {
		flags |= flagRoll
	}
	if b.previousUnlisted {
		flags |= flagUnlisted
	}
	buf = append(buf, batchVersion, flags)
	buf = binary.LittleEndian.AppendUint64(buf, b.tag)
	buf = binary.LittleEndian.AppendUint64(buf, b.seq)
	buf = binary.LittleEndian.AppendUint64(buf, uint64(b.upper))
	buf = binary.AppendUvarint(buf, uint64(len(b.previous)))
	for _, g := range b.previous {
		buf = binary.AppendUvarint(buf, uint64(g))
	}
	buf = binary.AppendUvarint(buf, uint64(len(b.items)))
	for i := range b.items {
		it := &b.items[i]
		buf = binary.AppendUvarint(buf, uint64(it.Group))
		buf = append(buf, it.Record.Kind)
		buf = binary.AppendUvarint(buf, it.Record.Pos)
		buf = binary.AppendUvarint(buf, uint64(len(it.Record.Body)))
		buf = append(buf, it.Record.Body...)
	}
	return binary.LittleEndian.AppendUint32(buf, crc32.Checksum(buf[start:], castagnoli))
}

// decodeBatch reads what appendBatch wrote. The bodies alias p.
func decodeBatch(p []byte) (b loggedBatch, err error) {
	if len(p) < batchHeadSize+4 {
		return b, fmt.Errorf("%w: %d bytes", errBatch, len(p))
	}
	body, sum := p[:len(p)-4], binary.LittleEndian.Uint32(p[len(p)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return b, fmt.Errorf("%w: checksum", errBatch)
	}
	if body[0] != batchVersion || body[1]&^flagsKnown != 0 {
		return b, fmt.Errorf("%w: version %d, flags %#x", errBatch, body[0], body[1])
	}
	b.roll, b.previousUnlisted = body[1]&flagRoll != 0, body[1]&flagUnlisted != 0
	b.tag = binary.LittleEndian.Uint64(body[2:])
	b.seq = binary.LittleEndian.Uint64(body[10:])
	b.upper = kv.HLC(binary.LittleEndian.Uint64(body[18:]))
	d := batchDecoder{rest: body[batchHeadSize:]}
	for n := d.count(1); n > 0; n-- {
		b.previous = append(b.previous, core.GroupID(d.uvarint()))
	}
	n := d.count(4)
	b.items = slices.Grow(b.items, n)
	for ; n > 0; n-- {
		b.items = append(b.items, d.item())
	}
	if d.bad || len(d.rest) != 0 {
		return loggedBatch{}, fmt.Errorf("%w: %d bytes left over", errBatch, len(d.rest))
	}
	return b, nil
}

type batchDecoder struct {
	rest []byte
	bad  bool
}

func (d *batchDecoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.bad, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// count reads how many things of at least size bytes follow; a count that cannot be true is 0 and bad.
func (d *batchDecoder) count(size int) int {
	v := d.uvarint()
	if v > uint64(len(d.rest)/size) {
		d.bad = true
		return 0
	}
	return int(v)
}

func (d *batchDecoder) bytes(n uint64) []byte {
	if n > uint64(len(d.rest)) {
		d.bad, d.rest = true, nil
		return nil
	}
	p := d.rest[:n:n]
	d.rest = d.rest[n:]
	return p
}

func (d *batchDecoder) item() Item {
	it := Item{Group: core.GroupID(d.uvarint())}
	if k := d.bytes(1); len(k) == 1 {
		it.Record.Kind = k[0]
	}
	it.Record.Pos = d.uvarint()
	it.Record.Body = d.bytes(d.uvarint())
	return it
}
