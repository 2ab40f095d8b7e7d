package quorum

import (
	"encoding/binary"
	"math/bits"

	"github.com/cespare/xxhash/v2"
)

// buckets is into how many the keys of a replica are sorted by their hash, to find out what differs from another's.
const buckets = 4096

// sum is the sum of the hashes of a bucket's records: a change of one record changes it without a look at the others.
type sum [2]uint64

func (s *sum) add(o sum) { s[0] += o[0]; s[1] += o[1] }
func (s *sum) sub(o sum) { s[0] -= o[0]; s[1] -= o[1] }

// bucketOf is where the record of a key counts that has such a hash.
func bucketOf(key uint64) int { return int(key >> (64 - 12)) }

// hashOf sums up a key and its record, by the hash of each.
func hashOf(k, r uint64) sum {
	h := (k ^ bits.RotateLeft64(r, 31)) * 0x9e3779b97f4a7c15
	l := (r ^ bits.RotateLeft64(k, 17)) * 0xc2b2ae3d27d4eb4f
	return sum{h ^ h>>29, l ^ l>>32}
}

// tree is a Merkle tree of two levels over the state: a root over the buckets. Tombstones are in it until they are purged.
type tree struct {
	leaves [buckets]sum
	tally  tally
	// built says that all records are in it.
	built bool
}

// tally counts what a replica holds.
type tally struct{ Keys, Tombstones, Bytes int64 }

// change replaces the record of a key that has such a hash.
func (t *tree) change(key uint64, old, record gist) {
	leaf := &t.leaves[bucketOf(key)]
	if !old.none() {
		leaf.sub(hashOf(key, old.hash))
		t.tally.count(&old, -1)
	}
	if !record.none() {
		leaf.add(hashOf(key, record.hash))
		t.tally.count(&record, 1)
	}
}

func (t *tally) count(g *gist, sign int64) {
	if g.deleted {
		t.Tombstones += sign
	} else {
		t.Keys += sign
	}
	t.Bytes += sign * int64(g.size)
}

// root sums up the buckets; 0 stands for a tree that is not built.
func (t *tree) root() uint64 {
	if !t.built {
		return 0
	}
	h := xxhash.New()
	var b [16]byte
	for i := range t.leaves {
		binary.BigEndian.PutUint64(b[:], t.leaves[i][0])
		binary.BigEndian.PutUint64(b[8:], t.leaves[i][1])
		h.Write(b[:])
	}
	return max(h.Sum64(), 1)
}

// differing is a bitmap of the buckets whose sums are not the peer's.
func (t *tree) differing(theirs []sum) []byte {
	m := make([]byte, buckets/8)
	for i := range theirs {
		if t.leaves[i] != theirs[i] {
			m[i/8] |= 1 << (i % 8)
		}
	}
	return m
}

// in reports whether a key lies in the buckets of a bitmap; an empty one has all.
func in(bitmap, key []byte) bool {
	if len(bitmap) == 0 {
		return true
	}
	b := bucketOf(xxhash.Sum64(key))
	return bitmap[b/8]&(1<<(b%8)) != 0
}
