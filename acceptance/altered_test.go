package acceptance

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/store"
)

// fill writes keys with values of a size.
func (c *cluster) fill(keys, size int) {
	c.t.Helper()
	client := c.redis(c.leader(), 10*time.Second)
	for at := 0; at < keys; at += 200 {
		pairs := []any{}
		for i := at; i < min(at+200, keys); i++ {
			pairs = append(pairs, fmt.Sprintf("key %05d", i), fmt.Sprintf("value %05d %s", i, strings.Repeat("x", size)))
		}
		if err := client.MSet(c.t.Context(), pairs...).Err(); err != nil {
			c.t.Fatal(err)
		}
	}
}

// mustFind runs audit or verify, which must say that a promise is broken, and where.
func (c *cluster) mustFind(command string, words ...string) {
	c.t.Helper()
	code, out := c.gamut(command)
	if code != 6 {
		c.t.Errorf("gamut %s exits with %d, not 6", command, code)
	}
	for _, word := range words {
		if !strings.Contains(out, word) {
			c.t.Errorf("gamut %s does not name %q", command, word)
		}
	}
	if c.t.Failed() {
		c.t.Log(out)
	}
}

// group is the number of the keyspace default's only group.
func (c *cluster) group() core.GroupID {
	c.t.Helper()
	g, err := c.replica(1, "default")
	if err != nil {
		c.t.Fatal(err)
	}
	return core.GroupID(g.Group)
}

// TestVerifyNamesAnAlteredValue changes one value in the state of one node, behind its back and with right checksums.
func TestVerifyNamesAnAlteredValue(t *testing.T) {
	c := newCluster(t)
	c.fill(300, 20)
	group := c.group()
	c.checkReplicas()
	c.killFlushed()
	c.alterState(2, group, "key 00123", "value 00123", "value 66666")
	c.startAll()
	c.mustFind("verify", fmt.Sprintf("group %d", group), `"key 00123"`, "node 2", "value 66666")
}

// alterState replaces text in the record of a key.
func (c *cluster) alterState(id int, group core.GroupID, key, from, to string) {
	c.t.Helper()
	disk, _, err := store.Open(c.nodes[id].dir, store.Identity{}, store.Options{})
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() {
		if err := disk.Close(); err != nil {
			c.t.Fatal(err)
		}
	}()
	var changes []core.Change
	disk.Group(group).Scan(nil, nil, func(k, v []byte) bool {
		if bytes.HasSuffix(k, []byte(key)) && bytes.Contains(v, []byte(from)) {
			changes = append(changes, core.Change{Kind: core.Put, Key: bytes.Clone(k), Value: bytes.Replace(v, []byte(from), []byte(to), 1)})
		}
		return true
	})
	if len(changes) != 1 {
		c.t.Fatalf("%d records of %q with %q", len(changes), key, from)
	}
	if err := disk.Group(group).Apply(changes); err != nil {
		c.t.Fatal(err)
	}
}

// TestVerifySaysWhoCannotRead flips bytes in the files of one node's state.
func TestVerifySaysWhoCannotRead(t *testing.T) {
	c := newCluster(t)
	c.fill(3000, 1000)
	c.checkReplicas()
	c.killFlushed()
	c.flipInFiles(filepath.Join(c.nodes[2].dir, "state"), ".sst")
	for id := 1; id <= 3; id++ {
		c.start(id)
	}
	c.awaitReady(1, 3)
	await(t, patience, func() error {
		code, out := c.gamut("verify", "--keyspace", "default")
		if strings.Contains(out, "BROKEN") {
			t.Fatalf("verify calls it a broken promise, and it is a broken disk: exit %d:\n%s", code, out)
		}
		if !strings.Contains(out, "not checked: node 2: ") {
			return fmt.Errorf("verify does not say that node 2 cannot be read: exit %d:\n%s", code, out)
		}
		return nil
	})
	for _, id := range []int{1, 3} {
		c.get(id, "key 02999", fmt.Sprintf("value 02999 %s", strings.Repeat("x", 1000)))
	}
	if got, err := c.redis(2, 5*time.Second).Get(t.Context(), "key 01500").Result(); err == nil && !strings.HasPrefix(got, "value 01500 ") {
		t.Errorf("node 2 serves %.40q from a damaged file", got)
	}
}

// flipInFiles inverts a byte in each 16 KiB of every file of a kind.
func (c *cluster) flipInFiles(dir, suffix string) {
	c.t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil || len(paths) == 0 {
		c.t.Fatalf("no files *%s in %s: %v", suffix, dir, err)
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			c.t.Fatal(err)
		}
		// The first and last blocks stay: a table that cannot be opened at all is easy to notice.
		for at := 8 << 10; at < len(b)-64<<10; at += 16 << 10 {
			b[at] ^= 0xff
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
}

// TestFlippedBitInTheLogIsCured flips a bit in the middle of the log that a killed node will need. Alone it must not trust
// itself; with its peers it is made whole.
func TestFlippedBitInTheLogIsCured(t *testing.T) {
	c := newCluster(t)
	c.restartAll() // the catalog is in the state now: what follows is only in the log
	c.fill(2000, 100)
	c.killAll()
	path, b := c.lastSegment(2)
	used := len(bytes.TrimRight(b, "\x00"))
	b[used/2] ^= 0x10
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	c.start(2)
	c.awaitSuspect(2, true)
	if reports := c.nodes[2].log.grep(filepath.Base(path)); len(reports) == 0 {
		t.Errorf("node 2 does not name the damaged file %s", filepath.Base(path))
	}
	c.start(1)
	c.start(3)
	c.awaitReady(1, 2, 3)
	c.awaitSuspect(2, false)
	c.get(2, "key 01000", fmt.Sprintf("value 01000 %s", strings.Repeat("x", 100)))
	c.checkReplicas()
}

// awaitSuspect waits until a node says that it does, or does not, trust its replica of default.
func (c *cluster) awaitSuspect(id int, want bool) {
	c.t.Helper()
	await(c.t, patience, func() error {
		g, err := c.replica(id, "default")
		if err == nil && g.Suspect != want {
			err = fmt.Errorf("node %d: suspect %v", id, g.Suspect)
		}
		return err
	})
}

// lastSegment is the file of a stopped node's log that was written last.
func (c *cluster) lastSegment(id int) (path string, content []byte) {
	c.t.Helper()
	paths, err := filepath.Glob(filepath.Join(c.nodes[id].dir, "log", "*.log"))
	if err != nil || len(paths) == 0 {
		c.t.Fatalf("node %d has no log: %v", id, err)
	}
	slices.Sort(paths)
	path = paths[len(paths)-1]
	if content, err = os.ReadFile(path); err != nil {
		c.t.Fatal(err)
	}
	return path, content
}

// A block's header in the log: the payload's hash is its end (see package paxos).
const (
	headerBytes = 94
	hashBytes   = sha256.Size
)

// TestAlteredBlockIsFound changes what a block in one node's log says, with right checksums throughout.
func TestAlteredBlockIsFound(t *testing.T) {
	t.Run("payload only", func(t *testing.T) {
		// The block's own hash does not cover it any more: the replica must not trust itself, and its peers cure it.
		c := newCluster(t)
		c.restartAll()
		c.put(1, "victim", "what was written")
		c.killAll()
		c.alterBlock(2, false)
		c.start(2)
		c.awaitSuspect(2, true)
		c.start(1)
		c.start(3)
		c.awaitReady(1, 2, 3)
		c.awaitSuspect(2, false)
		c.get(2, "victim", "what was written")
		c.checkReplicas()
	})
	t.Run("payload with its hash", func(t *testing.T) {
		// It is a whole block, but not the one that the others have. While they live, they are right.
		c := newCluster(t)
		c.restartAll()
		c.handOver(others(2)[0])
		c.put(1, "victim", "what was written")
		c.caughtUp(2)
		c.kill(2)
		index := c.alterBlock(2, true)
		c.start(2)
		c.awaitReady(2)
		await(t, patience, func() error {
			code, out := c.gamut("audit", "--keyspace", "default")
			cured := code == 0 && !strings.Contains(out, "not checked")
			named := code == 6 && strings.Contains(out, fmt.Sprint("block ", index)) && strings.Contains(out, "node 2")
			if !cured && !named {
				return fmt.Errorf("audit neither finds block %d of node 2 nor three equal chains: exit %d:\n%s", index, code, out)
			}
			t.Logf("exit %d: %s", code, out)
			return nil
		})
		for id := 1; id <= 3; id++ {
			c.get(id, "victim", "what was written")
		}
	})
}

// restartAll stops and starts all nodes in order.
func (c *cluster) restartAll() {
	c.t.Helper()
	c.stopAll()
	c.startAll()
}

// killFlushed leaves all records in the states, so that no log writes them again; and since all nodes are killed when they
// have the same log, none gets its state from another one when they start, which would cure what a test alters.
func (c *cluster) killFlushed() {
	c.t.Helper()
	c.restartAll()
	c.leader()
	for id := 1; id <= 3; id++ {
		c.caughtUp(id)
	}
	c.killAll()
}

// handOver makes a node lead the keyspace default.
func (c *cluster) handOver(to int) {
	c.t.Helper()
	await(c.t, patience, func() error {
		leader := c.leader()
		if leader == to {
			return nil
		}
		url := fmt.Sprintf("http://%s/v1/groups/%d/handoff?to=%d", c.addr(leader, httpDoor), c.group(), to)
		if resp, err := httpClient.Post(url, "", nil); err == nil {
			resp.Body.Close()
		}
		return fmt.Errorf("node %d leads, not yet %d", leader, to)
	})
}

// caughtUp waits until a node has applied what its leader has.
func (c *cluster) caughtUp(id int) {
	c.t.Helper()
	await(c.t, patience, func() error {
		led, err := c.replica(c.leader(), "default")
		if err != nil {
			return err
		}
		g, err := c.replica(id, "default")
		if err == nil && g.Applied < led.Commit {
			err = fmt.Errorf("node %d has applied %d of %d", id, g.Applied, led.Commit)
		}
		return err
	})
}

func (c *cluster) killAll() {
	c.t.Helper()
	for id := 1; id <= 3; id++ {
		c.kill(id)
	}
}

// The log's files as package store writes them: chunks that end at 32 KiB, each checksum, length, kind and file number before
// its payload; a batch is one chunk here, and ends with a checksum of its own.
const (
	logBlockBytes = 32 << 10
	chunkHead     = 4 + 2 + 1 + 4
	wholeChunk    = 5
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// alterBlock changes the block in a node's log that wrote "what was written"; with its hash, if told so, so that the block
// is whole, and another. It returns the block's index.
func (c *cluster) alterBlock(id int, withHash bool) (index uint64) {
	c.t.Helper()
	path, file := c.lastSegment(id)
	found := 0
	for at := 0; at+chunkHead < len(file); {
		if room := logBlockBytes - at%logBlockBytes; room < chunkHead {
			at += room
			continue
		}
		chunk := file[at:]
		size := chunkHead + int(binary.LittleEndian.Uint16(chunk[4:]))
		if chunk[6] == 0 || size > len(chunk) {
			break // zeros behind the last batch
		}
		chunk = chunk[:size]
		if batch := chunk[chunkHead:]; chunk[6] == wholeChunk && bytes.Contains(batch, []byte("what was written")) {
			found++
			index = alterBatch(c.t, batch, withHash)
			sum := crc32.Checksum(chunk[6:], castagnoli)
			binary.LittleEndian.PutUint32(chunk, (sum>>15|sum<<17)+0xa282ead8)
		}
		at += size
	}
	if found != 1 {
		c.t.Fatalf("%d batches of %s hold the block", found, path)
	}
	if err := os.WriteFile(path, file, 0o600); err != nil {
		c.t.Fatal(err)
	}
	return index
}

// alterBatch changes the value in a batch's block and makes the checksums right again.
func alterBatch(t *testing.T, batch []byte, withHash bool) (index uint64) {
	t.Helper()
	header, end := blockIn(t, batch)
	payload := batch[header+headerBytes : end]
	copy(payload[bytes.Index(payload, []byte("what was written")):], "what was forged!")
	if withHash {
		sum := sha256.Sum256(payload)
		copy(batch[header+headerBytes-hashBytes:], sum[:])
	}
	body := batch[:len(batch)-4]
	binary.LittleEndian.PutUint32(batch[len(body):], crc32.Checksum(body, castagnoli))
	return binary.BigEndian.Uint64(batch[header+1:])
}

// blockIn finds the block that holds the value, by the one thing that cannot be a coincidence: its payload's hash.
func blockIn(t *testing.T, batch []byte) (header, end int) {
	t.Helper()
	value := bytes.Index(batch, []byte("what was written"))
	for header = 0; header+headerBytes <= value; header++ {
		for end = value; end <= len(batch)-4; end++ {
			sum := sha256.Sum256(batch[header+headerBytes : end])
			if bytes.Equal(sum[:], batch[header+headerBytes-hashBytes:header+headerBytes]) {
				return header, end
			}
		}
	}
	t.Fatal("no block with a right hash around the value")
	return 0, 0
}
