package audit

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/gamutdb/gamut/kv"
)

// Key is what the replicas hold for one key.
type Key struct {
	Key  []byte
	Held []Held
	// Differs says that some replica holds another record than some other one. A deleted key and a missing one are the same.
	Differs bool
}

// Held is what one replica holds; a nil Item: nothing. Why says why it was not asked.
type Held struct {
	Node  uint32
	Item  *kv.InspectItem
	Hints []uint32
	Why   string
}

const inspectPage = 256

// SideBySide calls f with each key that some replica holds, in order, from a key on, or with that one.
func SideBySide(ctx context.Context, group Group, replicas []Replica, from []byte, one bool, f func(Key) error) error {
	reads := make([]*holdings, len(replicas))
	for i, r := range replicas {
		reads[i] = &holdings{replica: r, group: group.Group, from: from, one: one, more: r.Reader != nil}
	}
	for {
		var lowest []byte
		for _, h := range reads {
			if err := h.fill(ctx); err != nil {
				return fmt.Errorf("node %d: %w", h.replica.Node, err)
			}
			if len(h.items) > 0 && (lowest == nil || bytes.Compare(h.items[0].Key, lowest) < 0) {
				lowest = h.items[0].Key
			}
		}
		if lowest == nil {
			return nil
		}
		k := Key{Key: lowest}
		for _, h := range reads {
			k.Held = append(k.Held, h.take(lowest))
		}
		k.Differs = differs(k.Held)
		if err := f(k); err != nil {
			return err
		}
	}
}

// holdings reads what one replica holds in key order.
type holdings struct {
	replica Replica
	group   uint64
	from    []byte
	one     bool
	items   []kv.InspectItem
	hints   []uint32
	more    bool
}

func (h *holdings) fill(ctx context.Context) error {
	for len(h.items) == 0 && h.more {
		page, err := h.replica.Reader.Inspect(ctx, h.group, h.from, h.one, inspectPage)
		if err != nil {
			return err
		}
		h.items, h.hints, h.from, h.more = page.Items, page.Hints, page.Next, page.Next != nil
	}
	return nil
}

func (h *holdings) take(key []byte) Held {
	held := Held{Node: h.replica.Node, Hints: h.hints}
	switch {
	case h.replica.Reader == nil:
		held.Why = h.replica.Why
	case len(h.items) > 0 && bytes.Equal(h.items[0].Key, key):
		held.Item = &h.items[0]
		h.items = h.items[1:]
	}
	return held
}

func differs(list []Held) bool {
	var first *Held
	for i := range list {
		switch {
		case list[i].Why != "":
		case first == nil:
			first = &list[i]
		case !same(first.Item, list[i].Item):
			return true
		}
	}
	return false
}

// same reports whether two replicas hold the same for a key. A tombstone that one of them has let go is no difference.
func same(a, b *kv.InspectItem) bool {
	if a == nil || b == nil {
		return (a == nil || a.Deleted) && (b == nil || b.Deleted)
	}
	return a.Stamp == b.Stamp && a.Version == b.Version && a.Deleted == b.Deleted && a.ExpireAt == b.ExpireAt && a.Flags == b.Flags &&
		bytes.Equal(a.Value, b.Value)
}

// ApartReport is what Apart found.
type ApartReport struct {
	Group
	Keys      int64       `json:"keys"`
	Replicas  int         `json:"replicas"`
	Unchecked []Unchecked `json:"unchecked,omitempty"`
	// Apart counts keys on which replicas differ that are still to be made equal: by a hint, a read, or a comparison.
	Apart int64 `json:"apart"`
	// Example is one of them.
	Example string `json:"example,omitempty"`
	// Finding is a key for which two replicas hold different records of one stamp: nothing would ever make them equal.
	Finding *Finding `json:"finding,omitempty"`
	// Values are those that the replicas keep in stores; nil: there are none, or nobody asked for them.
	Values *ValuesReport `json:"values,omitempty"`
}

// apartWait is how long a key is looked at again that differs: it may have been on its way.
const apartWait, apartTries = 300 * time.Millisecond, 5

// Apart compares what the replicas of a group without a leader hold, key by key, while they go on.
func Apart(ctx context.Context, group Group, replicas []Replica) (ApartReport, error) {
	report := ApartReport{Group: group}
	for _, r := range replicas {
		if r.Reader == nil {
			report.Unchecked = append(report.Unchecked, Unchecked{r.Node, r.Why})
		} else {
			report.Replicas++
		}
	}
	tries := apartTries
	err := SideBySide(ctx, group, replicas, nil, false, func(k Key) error {
		report.Keys++
		for ; k.Differs && tries > 0; tries-- {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(apartWait):
			}
			again := Key{Key: k.Key}
			if err := SideBySide(ctx, group, replicas, k.Key, true, func(one Key) error { again = one; return nil }); err != nil {
				return err
			}
			k = again
		}
		if k.Differs {
			report.judge(k)
		}
		return nil
	})
	return report, err
}

func (r *ApartReport) judge(k Key) {
	f := &Finding{Key: strconv.Quote(string(k.Key))}
	torn := false
	for i, h := range k.Held {
		if h.Why != "" {
			continue
		}
		f.Who = append(f.Who, Witness{h.Node, describeItem(h.Item)})
		for _, o := range k.Held[:i] {
			torn = torn || h.Item != nil && o.Item != nil && h.Item.Stamp == o.Item.Stamp && !same(h.Item, o.Item)
		}
	}
	if torn {
		f.Problem = "key " + f.Key + " has two records of one stamp"
		if r.Finding == nil {
			r.Finding = f
		}
		return
	}
	f.Problem = "key " + f.Key
	if r.Apart++; r.Example == "" {
		r.Example = f.String()
	}
}

func describeItem(item *kv.InspectItem) string {
	switch {
	case item == nil:
		return "nothing"
	case item.Deleted:
		return "deleted at " + item.Stamp
	}
	return fmt.Sprintf("%s, %d bytes: %.40q", item.Stamp, len(item.Value), item.Value)
}
