package paxos

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/transfer"
)

// chain is a short log of blocks.
func chain(n int) []*Block {
	prev := position{Hash: Hash{9}}
	var list []*Block
	for range n {
		raw := append(make([]byte, headerSize), "\x03abc"...)
		b := newBlock(prev, Ballot{1, 2}, prev.Time+10, Commands, raw)
		list, prev = append(list, b), b.position()
	}
	return list
}

// messages is one of each kind.
func messages() []core.Message {
	a, b := Ballot{3, 1}, Ballot{300, 70_000}
	return []core.Message{
		Nominate{a, b, 7}, NominateReply{a, true, b}, Prepare{a, b, 7, b},
		Promise{a, true, b, a, 1 << 50, Hash{1}, 1 << 63}, Fetch{a, 1, 2}, Blocks{a, chain(2)}, Blocks{Ballot: a},
		Accept{a, 3, Hash{4}, 5, 6, chain(3)}, Accepted{a, true, 2, b, 3, true}, Heartbeat{a, 1, 2, FreshPoint{3, 4}},
		HeartbeatReply{a, true, b, 3, true, true}, HandoffNow{a},
		SnapshotChunk{a, position{5, b, 6, Hash{7}}, transfer.Part{N: 3, Done: true, Pairs: []transfer.Pair{{Key: []byte("k"), Value: []byte("v")}, {Key: []byte{}, Value: []byte{}}}}},
		SnapshotReply{a, 3, true, 4}, Cured{a, 9},
		TimedHeartbeat{Heartbeat{a, 1, 2, FreshPoint{3, 4}}, 1 << 60, SafeTime{3, 4}}, TimedReply{HeartbeatReply{a, true, b, 3, true, true}, 1 << 60},
	}
}

func TestMessagesSurviveTheirEncoding(t *testing.T) {
	for _, m := range messages() {
		encoded := m.AppendTo(nil)
		got, err := DecodeMessage(encoded)
		if err != nil {
			t.Errorf("%T: %v", m, err)
			continue
		}
		if diff := cmp.Diff(m, got, cmp.AllowUnexported(Block{}, SnapshotChunk{}, position{})); diff != "" {
			t.Errorf("%T: %s", m, diff)
		}
		for n := range encoded {
			if _, err := DecodeMessage(encoded[:n]); err == nil {
				t.Errorf("%T: the first %d of %d bytes were taken for a message", m, n, len(encoded))
			}
		}
		if _, err := DecodeMessage(append(encoded, 0)); err == nil {
			t.Errorf("%T: a byte too many was taken", m)
		}
	}
}

func TestDamagedBlocksAreRefused(t *testing.T) {
	raw := chain(1)[0].raw
	for i := headerSize; i < len(raw); i++ {
		bad := bytes.Clone(raw)
		bad[i] ^= 1
		if _, err := DecodeBlock(bad); err == nil {
			t.Errorf("byte %d of the payload was changed and nobody noticed", i)
		}
	}
	whole, err := DecodeBlock(raw)
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < headerSize; i++ {
		bad := bytes.Clone(raw)
		bad[i] ^= 1
		if b, err := DecodeBlock(bad); err == nil && b.Hash == whole.Hash {
			t.Errorf("byte %d of the header was changed and the hash is the same", i)
		}
	}
	if _, err := DecodeBlock(raw[:headerSize-1]); err == nil {
		t.Error("half a header was taken for a block")
	}
}

func TestConfigSurvivesItsEncoding(t *testing.T) {
	c := Config{Voters: []core.ReplicaID{1, 2, 70_000}, Preferred: 2, LeaseMillis: 900, Identity: []byte("cluster/group")}
	got, err := DecodeConfig(c.AppendTo(nil))
	if err != nil || cmp.Diff(c, got) != "" {
		t.Error(err, cmp.Diff(c, got))
	}
	for n := range 22 {
		if _, err := DecodeConfig(c.AppendTo(nil)[:n]); err == nil {
			t.Errorf("the first %d bytes were taken for a configuration", n)
		}
	}
}

func TestEachCommandRefusesLengthsBeyondThePayload(t *testing.T) {
	for _, payload := range []string{"\x05abc", "\xff", "\x01a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"} {
		if err := EachCommand([]byte(payload), func(int, []byte) {}); err == nil {
			t.Errorf("%q was taken for commands", payload)
		}
	}
}

func FuzzDecodeMessage(f *testing.F) {
	for _, m := range messages() {
		f.Add(m.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := DecodeMessage(b)
		if err != nil {
			return
		}
		// Numbers have several encodings, of which we write the shortest: what we write must be stable.
		once := m.AppendTo(nil)
		again, err := DecodeMessage(once)
		if err != nil || !bytes.Equal(again.AppendTo(nil), once) {
			t.Fatalf("%T: %x becomes %x, then %v", m, b, once, err)
		}
	})
}

func FuzzDecodeBlock(f *testing.F) {
	f.Add(chain(1)[0].raw)
	f.Add(bytes.Repeat([]byte{1}, headerSize))
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := DecodeBlock(raw)
		if err != nil {
			return
		}
		prev := position{Index: b.Index - 1, Hash: b.Prev}
		again := newBlock(prev, b.Ballot, b.Time, b.Kind, append(make([]byte, headerSize), b.Payload...))
		if !bytes.Equal(again.raw, raw) || again.Hash != b.Hash || !b.Intact() {
			t.Fatalf("%x is built again as %x", raw, again.raw)
		}
		_ = EachCommand(b.Payload, func(int, []byte) {})
	})
}

func FuzzDecodeHard(f *testing.F) {
	f.Add(appendHard(nil, hard{Ballot{3, 2}, true, 7}))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := decodeHard(b)
		if err != nil {
			return
		}
		again, err := decodeHard(appendHard(nil, h))
		if err != nil || again != h {
			t.Fatalf("%x: %v becomes %v, %v", b, h, again, err)
		}
	})
}
