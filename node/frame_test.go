package node

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/kv"
)

// word is a message that is its own encoding.
type word string

func (w word) AppendTo(b []byte) []byte { return append(b, w...) }

func decodeWord(g core.GroupID, b []byte) (core.Message, error) {
	if g == 404 {
		return nil, nil
	}
	if len(b) == 0 {
		return nil, errors.New("empty")
	}
	return word(b), nil
}

func testParcels() (frame []byte, want []parcel) {
	m := host.Envelope{Group: 7, From: 1, To: 300, Message: word("hello")}
	f := host.Forward{ID: 1<<40 | 5, Group: 9, Encoded: []byte("command"), Read: true, Within: 5e9}
	r := kv.Result{Code: kv.NotFound, Value: []byte("v"), Detail: "d"}
	frame = make([]byte, frameHead)
	frame = appendMessage(frame, m)
	frame = appendMessage(frame, host.Envelope{Group: 404, From: 1, To: 1, Message: word("for nobody")})
	frame = appendForward(frame, f)
	frame = appendReturn(frame, 77, &r)
	return frame, []parcel{{kind: parcelMessage, envelope: m}, {kind: parcelForward, forward: f}, {kind: parcelReturn, id: 77, result: r}}
}

func TestFramesOfTooManyParcelsAreRefused(t *testing.T) {
	if list, err := readParcels(nil, make([]byte, (parcelsMax+1)*parcelHead), decodeWord); err == nil || cap(list) > 0 {
		t.Errorf("%v, and a list for %d", err, cap(list))
	}
}

func TestSmallFramesLeaveTogether(t *testing.T) {
	p := &peer{id: 2, wake: make(chan struct{}, 1)}
	p.opened(nil, [16]byte{})
	here, _ := net.Pipe()
	p.out = here
	sizes := []int{10, frameJoin, 20, frameJoin + 1, 30, frameFill, 40}
	var want []parcel
	for _, n := range sizes {
		m := host.Envelope{Group: 7, From: 1, To: 2, Message: word(strings.Repeat("x", n))}
		want = append(want, parcel{kind: parcelMessage, envelope: m})
		p.grew(appendMessage(p.frame(), m))
		p.flush()
	}
	var got []parcel
	frames := p.take(nil)
	for _, f := range frames {
		var err error
		if got, err = readParcels(got, f[frameHead:], decodeWord); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(parcel{}), cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	if len(frames) >= len(sizes) {
		t.Errorf("%d frames", len(frames))
	}
	if p.recycle(frames); p.queued.Load() != 0 {
		t.Errorf("%d bytes wait in an empty queue", p.queued.Load())
	}
}

func TestFramesComeBackAsTheyWere(t *testing.T) {
	frame, want := testParcels()
	sent := times{wall: 1_700_000_000_123, sent: 1 << 50, echo: 3, held: 4}
	sealFrame(frame, sent)
	n, err := frameLength(frame)
	if err != nil || n != len(frame)-frameHead {
		t.Fatalf("length %d, %v", n, err)
	}
	got, err := openFrame(frame[:frameHead], frame[frameHead:])
	if err != nil || got != sent {
		t.Fatalf("times %+v, %v", got, err)
	}
	parcels, err := readParcels(nil, frame[frameHead:], decodeWord)
	if diff := cmp.Diff(want, parcels, cmp.AllowUnexported(parcel{}), cmpopts.EquateEmpty()); err != nil || diff != "" {
		t.Fatal(err, diff)
	}
}

func TestEveryFlippedBitOfAFrameIsFound(t *testing.T) {
	frame, _ := testParcels()
	sealFrame(frame, times{wall: 1, sent: 2})
	for at := 4; at < len(frame); at++ {
		for bit := range 8 {
			bad := bytes.Clone(frame)
			bad[at] ^= 1 << bit
			if _, err := openFrame(bad[:frameHead], bad[frameHead:]); !errors.Is(err, errChecksum) {
				t.Fatalf("byte %d, bit %d: %v", at, bit, err)
			}
		}
	}
}

func TestFrameLimits(t *testing.T) {
	head := make([]byte, frameHead)
	binary.BigEndian.PutUint32(head, frameMax+1)
	if _, err := frameLength(head); err == nil {
		t.Error("a frame beyond the limit was accepted")
	}
	// The largest command that passes its checks must fit a frame that has just not been closed.
	c := kv.Command{Session: kv.Session{Seq: math.MaxUint64, Acked: math.MaxUint64}, Conds: make([]kv.Cond, kv.OpsMax)}
	key, value := make([]byte, kv.KeyMax/2), make([]byte, 2*kv.ValueMax/kv.OpsMax)
	for range kv.OpsMax {
		c.Ops = append(c.Ops, kv.Op{Kind: kv.OpSet, Key: key, Key2: key, Value: value, Old: true, Flags: math.MaxUint32,
			Version: math.MaxUint64, NewVersion: math.MaxUint64, Expire: math.MaxInt64, Delta: math.MinInt64,
			Magnitude: math.MaxUint64, Initial: math.MaxUint64, Float: 0.1, Limit: math.MaxUint32})
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	largest := host.Forward{Encoded: kv.AppendCommand(nil, &c)}
	if n := len(appendForward(make([]byte, frameFill+frameJoin), largest)); n > frameMax {
		t.Errorf("the largest command makes a frame of %d bytes", n)
	}
	huge := kv.Result{Value: make([]byte, frameMax/2)}
	parcels, err := readParcels(nil, appendReturn(nil, 5, &huge), decodeWord)
	if err != nil || len(parcels) != 1 || parcels[0].id != 5 || parcels[0].result.Code != kv.Unknown {
		t.Errorf("an answer beyond the limit became %+v, %v", parcels, err)
	}
}

func TestMalformedParcelsAreRefused(t *testing.T) {
	forward := appendForward(nil, host.Forward{ID: 1, Group: 1, Encoded: []byte("x"), Within: 1})
	for name, b := range map[string][]byte{
		"short head":      {0, 0, 0},
		"beyond the end":  {0, 0, 0, 9, parcelForward, 1},
		"unknown kind":    {0, 0, 0, 1, 9, 1},
		"empty message":   {0, 0, 0, 3, parcelMessage, 1, 1, 1},
		"cut message":     {0, 0, 0, 1, parcelMessage, 1},
		"no result":       {0, 0, 0, 1, parcelReturn, 1},
		"flag 2":          bytes.Replace(forward, []byte{1, 1, 1, 0}, []byte{1, 1, 1, 2}, 1),
		"waits for ever":  appendForward(nil, host.Forward{ID: 1, Group: 1, Within: forwardMax + 1}),
		"return and more": append([]byte{0, 0, 0, 40, parcelReturn}, make([]byte, 40)...),
	} {
		if _, err := readParcels(nil, b, decodeWord); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func FuzzReadParcels(f *testing.F) {
	frame, _ := testParcels()
	f.Add(frame[frameHead:])
	f.Add([]byte{0, 0, 0, 1, parcelReturn, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := readParcels(nil, b, decodeWord)
		if err != nil {
			return
		}
		// What was understood says the same again.
		var again []byte
		for i := range list {
			switch p := &list[i]; p.kind {
			case parcelMessage:
				again = appendMessage(again, p.envelope)
			case parcelForward:
				again = appendForward(again, p.forward)
			case parcelReturn:
				again = appendReturn(again, p.id, &p.result)
			}
		}
		second, err := readParcels(nil, again, decodeWord)
		if err != nil || len(second) != len(list) {
			t.Fatalf("%d parcels, then %d, %v", len(list), len(second), err)
		}
	})
}

func FuzzDecodeHello(f *testing.F) {
	h := hello{version: 1, node: 2, boot: 3}
	f.Add(h.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := decodeHello(b); err == nil && !bytes.Equal(h.append(nil), b) {
			t.Fatalf("%x became %x", b, h.append(nil))
		}
	})
}
