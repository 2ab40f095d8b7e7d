package node

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"slices"
	"sync"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

const (
	// checkpointsMax is how many states of one group are kept at a time; a newer one replaces the oldest.
	checkpointsMax = 4
	// checkpointAge is how long a state is kept after it was read last: it holds disk space.
	checkpointAge = core.Time(60 * time.Second)
	// pageItems and pageBytes bound one page.
	pageItems = 1000
	pageBytes = 4 << 20
)

// checkpoints are the states that are kept for comparison among replicas.
type checkpoints struct {
	mu     sync.Mutex
	kept   map[core.GroupID][]*checkpoint
	closed bool
}

// checkpoint is one kept state. users counts its readers and the list itself: who is last closes it.
type checkpoint struct {
	index    uint64
	since    core.Time
	snapshot core.Snapshot
	users    int
}

// keep takes over a snapshot.
func (c *checkpoints) keep(g core.GroupID, index uint64, s core.Snapshot, now core.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		s.Close()
		return
	}
	if c.kept == nil {
		c.kept = map[core.GroupID][]*checkpoint{}
	}
	list := append(c.kept[g], &checkpoint{index: index, since: now, snapshot: s, users: 1})
	for len(list) > checkpointsMax {
		c.release(list[0])
		list = list[1:]
	}
	c.kept[g] = list
}

// release gives back one use; c.mu is held.
func (c *checkpoints) release(p *checkpoint) {
	if p.users--; p.users == 0 {
		p.snapshot.Close()
	}
}

// expire lets go of what is older than its time.
func (c *checkpoints) expire(now core.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for g, list := range c.kept {
		list = slices.DeleteFunc(list, func(p *checkpoint) bool {
			old := now-p.since > checkpointAge
			if old {
				c.release(p)
			}
			return old
		})
		if c.kept[g] = list; len(list) == 0 {
			delete(c.kept, g)
		}
	}
}

func (c *checkpoints) drop(g core.GroupID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.kept[g] {
		c.release(p)
	}
	delete(c.kept, g)
}

// close lets go of all; readers that are under way must have ended.
func (c *checkpoints) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for g, list := range c.kept {
		for _, p := range list {
			c.release(p)
		}
		delete(c.kept, g)
	}
}

// read calls f with a kept state. A page of the disk that cannot be read is an error, not the end of the node.
func (c *checkpoints) read(g core.GroupID, index uint64, now core.Time, f func(core.View)) (err error) {
	c.mu.Lock()
	var found *checkpoint
	for _, p := range c.kept[g] {
		if p.index == index {
			found = p
			p.users++
			p.since = now
			break
		}
	}
	c.mu.Unlock()
	if found == nil {
		return kv.Errorf(kv.NotFound, "group %d has no state kept at %d here; it may be a minute old, or this replica behind", g, index)
	}
	defer func() {
		c.mu.Lock()
		c.release(found)
		c.mu.Unlock()
	}()
	return guarded(func() { f(found.snapshot) })
}

// page reads records from a key on.
func page(v core.View, from []byte, limit int) (out kv.StatePage) {
	if limit <= 0 || limit > pageItems {
		limit = pageItems
	}
	bytes := 0
	machine.EachRecord(v, from, func(key, record []byte) bool {
		if len(out.Items) == limit || bytes > pageBytes {
			out.Next = append([]byte{}, key...)
			return false
		}
		out.Items = append(out.Items, kv.StateItem{Key: append([]byte{}, key...), Record: append([]byte{}, record...)})
		bytes += len(key) + len(record)
		return true
	})
	return out
}

// digest sums up the state: SHA-256 over each key and value, their lengths first.
func digest(v core.View, stop func() bool) (out kv.StateDigest, ok bool) {
	records, rest := sha256.New(), sha256.New()
	seen := 0
	ok = true
	visible := machine.Visible(v)
	v.Scan(nil, nil, func(key, value []byte) bool {
		switch {
		case !visible(key): // a split has left it behind for the child
		case key[0] == machine.DataKind:
			writeSized(records, key[1:])
			writeSized(records, value)
			out.Keys++
			out.Bytes += int64(len(key) - 1 + len(value))
		default:
			writeSized(rest, key)
			writeSized(rest, value)
		}
		seen++
		ok = seen%4096 != 0 || !stop()
		return ok
	})
	out.Digest, out.Rest = hex.EncodeToString(records.Sum(nil)), hex.EncodeToString(rest.Sum(nil))
	return out, ok
}

func writeSized(h hash.Hash, b []byte) {
	var size [binary.MaxVarintLen64]byte
	h.Write(size[:binary.PutUvarint(size[:], uint64(len(b)))])
	h.Write(b)
}
