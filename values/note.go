package values

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
)

// What is still to be done about values is noted in the anteroom, beside those that wait, before the state changes that call for it: what
// is to be removed from the Store, what is to be fetched, and that any value of the group may be missing. So a crash forgets none of it.
const (
	doomedNote byte = 1
	wantedNote byte = 2
	anewNote   byte = 3
)

// noteKey is where something is noted of a value. What waits has keys of clients' records, and these begin otherwise.
func noteKey(kind byte, p *Place) []byte { return append([]byte{kind}, spillKey(p)...) }

func note(kind byte, p *Place) core.Change {
	return core.Change{Kind: core.Put, Key: noteKey(kind, p), Value: binary.AppendUvarint(nil, p.Ref.Size)}
}

var anewKey = []byte{anewNote}

func noteAnew() core.Change { return core.Change{Kind: core.Put, Key: anewKey, Value: []byte{1}} }

// notes are what an Apply leaves to be done.
func (t *translation) notes(anew bool) (list []core.Change) {
	for i := range t.doomed {
		list = append(list, note(doomedNote, &t.doomed[i]))
	}
	for i := range t.wanted {
		list = append(list, note(wantedNote, &t.wanted[i]))
	}
	if anew {
		list = append(list, noteAnew())
	}
	return list
}

// forgetNote takes a note back when what it says is done.
func (g *Group) forgetNote(key []byte) error {
	if _, noted := g.anteroom.Get(key); !noted {
		return nil
	}
	return g.changeAnteroom([]core.Change{{Kind: core.Delete, Key: key}})
}

// left is what lay in an anteroom when the node ended.
type left struct {
	waiting, wanted []Place
	doomed          []dated
	anew            bool
}

// recall reads the anteroom. What is doomed has its time of grace anew.
func (g *Group) recall() (l left) {
	at := g.keeper.options.Now() + g.keeper.options.Grace
	g.anteroom.Scan(nil, nil, func(key, value []byte) bool {
		kind := key[0]
		if kind == anewNote {
			l.anew = true
			return true
		}
		size := uint64(len(value))
		if kind != dataKind {
			size, _ = binary.Uvarint(value)
			key = key[1:]
		}
		cut := len(key) - sha256.Size
		if cut <= 0 {
			return true
		}
		p := Place{g.id, string(key[:cut]), kv.Reference{Size: size, Sum: [sha256.Size]byte(key[cut:])}}
		switch kind {
		case dataKind:
			l.waiting = append(l.waiting, p)
		case wantedNote:
			l.wanted = append(l.wanted, p)
		case doomedNote:
			l.doomed = append(l.doomed, dated{p, at})
		}
		return true
	})
	return l
}
