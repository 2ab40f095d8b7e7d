package twophase

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/core/transfer"
	"github.com/gamutdb/gamut/kv"
)

// sampleBatch is a batch of two commands.
func sampleBatch() []byte {
	raw := make([]byte, batchHeader)
	for _, value := range []string{"v", ""} {
		command := kv.AppendCommand(nil, &kv.Command{Ops: []kv.Op{{Kind: kv.OpSet, Key: []byte("k"), Value: []byte(value)}}})
		raw = append(append(raw, byte(len(command))), command...)
	}
	return newBatch(commands, 77, raw).raw
}

var sampleConfig = Config{Epoch: 3, Coordinator: 12, Members: []core.ReplicaID{11, 12}, Joiners: []core.ReplicaID{13}, MinMembers: 2}

func sampleMessages() []core.Message {
	return []core.Message{
		Fence{sampleConfig},
		FenceOK{Epoch: 3, Resolved: 7, Time: 1 << 60, Open: []OpenSlot{{N: 8, Digest: 9}, {N: 10, Aborted: true}}},
		Prepare{Epoch: 3, N: 8, Resolved: 7, Batch: sampleBatch()},
		Vote{Epoch: 3, N: 8, Yes: true},
		Abort{Epoch: 3, N: 8},
		AbortOK{Epoch: 3, N: 8},
		Heartbeat{Epoch: 3, Resolved: 7, Applied: 6, Sum: 1 << 63},
		Resolved{Epoch: 3, UpTo: 8},
		Alive{Epoch: 3, Resolved: 7, Joined: true},
		Alive{Epoch: 3, Sick: true},
		SnapshotChunk{3, position{7, 8, 9}, transfer.Part{N: 2, Done: true, Pairs: []transfer.Pair{{Key: []byte("k"), Value: []byte("v")}, {Key: []byte("l"), Value: []byte{}}}}},
		SnapshotReply{Epoch: 3, N: 2},
		Feed{Epoch: 3, N: 8, Batch: sampleBatch()},
		Feed{Epoch: 3, N: 9, Batch: []byte{}},
	}
}

func TestMessagesSurviveTheirEncoding(t *testing.T) {
	for _, m := range sampleMessages() {
		encoded := m.AppendTo(nil)
		got, err := DecodeMessage(encoded)
		if err != nil {
			t.Errorf("%T: %v", m, err)
			continue
		}
		if diff := cmp.Diff(m, got, cmp.AllowUnexported(position{})); diff != "" {
			t.Errorf("%T: %s", m, diff)
		}
		for cut := range encoded {
			if got, err := DecodeMessage(encoded[:cut]); err == nil {
				t.Errorf("%T cut to %d bytes was read as %v", m, cut, got)
			}
		}
		if got, err := DecodeMessage(append(encoded, 0)); err == nil {
			t.Errorf("%T with a byte behind it was read as %v", m, got)
		}
	}
}

func TestConfigsThatNobodyCanMean(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no member":                 func(c *Config) { c.Members = nil },
		"a coordinator from beside": func(c *Config) { c.Coordinator = 13 },
		"a member twice":            func(c *Config) { c.Members = append(c.Members, 11) },
		"a member that joins":       func(c *Config) { c.Joiners = append(c.Joiners, 11) },
		"epoch 0":                   func(c *Config) { c.Epoch = 0 },
		"nobody":                    func(c *Config) { c.Joiners = append(c.Joiners, 0) },
	} {
		c := sampleConfig
		c.Members, c.Joiners = append([]core.ReplicaID{}, c.Members...), append([]core.ReplicaID{}, c.Joiners...)
		change(&c)
		if got, err := DecodeConfig(c.AppendTo(nil)); err == nil {
			t.Errorf("%s was read as %v", name, got)
		}
	}
	if got, err := DecodeConfig(sampleConfig.AppendTo(nil)); err != nil || cmp.Diff(sampleConfig, got) != "" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestRecordsSurviveTheirEncoding(t *testing.T) {
	for _, h := range []hard{{11, true, 3, sampleConfig}, {self: 11}} {
		got, err := decodeHard(appendHard(nil, h))
		if diff := cmp.Diff(h, got, cmp.AllowUnexported(hard{})); err != nil || diff != "" {
			t.Errorf("%v %s", err, diff)
		}
	}
	body := appendSlot(nil, era{11, 3}, 7, sampleBatch())
	s, e, resolved, err := decodeSlot(core.Record{Kind: recordPrepared, Pos: 8, Body: body})
	if err != nil || e != (era{11, 3}) || resolved != 7 || s.n != 8 || !bytes.Equal(s.batch.raw, sampleBatch()) {
		t.Errorf("%v %v %d %v", s, e, resolved, err)
	}
}

func FuzzDecodeMessage(f *testing.F) {
	for _, m := range sampleMessages() {
		f.Add(m.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := DecodeMessage(b)
		if err != nil {
			return
		}
		again, err := DecodeMessage(m.AppendTo(nil))
		if err != nil || cmp.Diff(m, again, cmp.AllowUnexported(position{})) != "" {
			t.Errorf("%v is not %v: %v", again, m, err)
		}
	})
}

func FuzzDecodeRecords(f *testing.F) {
	f.Add(byte(recordHard), appendHard(nil, hard{11, true, 3, sampleConfig}))
	f.Add(byte(recordPrepared), appendSlot(nil, era{11, 3}, 7, sampleBatch()))
	f.Add(byte(recordAborted), appendSlot(nil, era{11, 3}, 7, nil))
	f.Fuzz(func(_ *testing.T, kind byte, b []byte) {
		_, _ = decodeHard(b)
		_, _, _, _ = decodeSlot(core.Record{Kind: kind, Pos: 1, Body: b})
	})
}
