package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/machine"
)

// StateReport is what State found.
type StateReport struct {
	Group
	// Index is the position of the log as of which the states were compared.
	Index   uint64           `json:"index"`
	Digests []kv.StateDigest `json:"digests"`
	// Unchecked are replicas that were not compared.
	Unchecked []Unchecked `json:"unchecked,omitempty"`
	Finding   *Finding    `json:"finding,omitempty"`
	// Values are those that the replicas keep in stores; nil: there are none, or nobody asked for them.
	Values *ValuesReport `json:"values,omitempty"`
}

// Compared is how many replicas were held against each other.
func (r *StateReport) Compared() int { return len(r.Digests) }

// catchUp is how long a replica that lags behind is waited for.
const (
	catchUp     = 10 * time.Second
	catchUpStep = 50 * time.Millisecond
	statePage   = 256
)

// State compares the states of all replicas as of one position of the log, up to the first key that differs.
func State(ctx context.Context, group Group, replicas []Replica) (StateReport, error) {
	report := StateReport{Group: group}
	var asked []Replica
	for _, r := range replicas {
		if r.Reader == nil {
			report.Unchecked = append(report.Unchecked, Unchecked{r.Node, r.Why})
			continue
		}
		asked = append(asked, r)
	}
	index, err := checkpoint(ctx, group.Group, asked)
	if err != nil {
		return report, fmt.Errorf("checkpoint of group %d: %w", group.Group, err)
	}
	report.Index = index
	var compared []Replica
	for _, r := range asked {
		digest, err := digestOf(ctx, group.Group, index, r.Reader)
		if err != nil {
			report.Unchecked = append(report.Unchecked, Unchecked{r.Node, err.Error()})
			continue
		}
		digest.Node = r.Node
		report.Digests = append(report.Digests, digest)
		compared = append(compared, r)
	}
	report.Finding, err = compareStates(ctx, group.Group, index, report.Digests, compared)
	return report, err
}

// compareStates holds the digests against each other, and looks for the key if they differ.
func compareStates(ctx context.Context, group, index uint64, digests []kv.StateDigest, replicas []Replica) (*Finding, error) {
	records, rest := false, false
	for _, d := range digests {
		records = records || d.Digest != digests[0].Digest || d.Keys != digests[0].Keys
		rest = rest || d.Rest != digests[0].Rest
	}
	switch {
	case records:
		found, err := difference(ctx, group, index, replicas)
		if found == nil && err == nil {
			found = witnessed(index, "the digests differ, and page by page the states do not: what the nodes read changes", digests,
				func(d kv.StateDigest) string { return fmt.Sprintf("%d keys, digest %.16s", d.Keys, d.Digest) })
		}
		return found, err
	case rest:
		return witnessed(index, "what clients do not see differs: sessions, expiry or the configuration", digests,
			func(d kv.StateDigest) string { return fmt.Sprintf("digest %.16s", d.Rest) }), nil
	}
	return nil, nil
}

func witnessed(index uint64, problem string, digests []kv.StateDigest, has func(kv.StateDigest) string) *Finding {
	f := &Finding{Index: index, Problem: problem}
	for _, d := range digests {
		f.Who = append(f.Who, Witness{d.Node, has(d)})
	}
	return f
}

// checkpoint asks one replica after the other: only the one that leads can place the mark.
func checkpoint(ctx context.Context, group uint64, replicas []Replica) (index uint64, err error) {
	refused := errors.New("no replica can be asked")
	leadersFirst := slices.Clone(replicas)
	slices.SortStableFunc(leadersFirst, leads)
	for _, r := range leadersFirst {
		if index, err = r.Reader.Checkpoint(ctx, group); err == nil {
			return index, nil
		}
		refused = fmt.Errorf("node %d: %w", r.Node, err)
	}
	return 0, refused
}

// leads orders replicas that lead before the others.
func leads(a, b Replica) int {
	switch {
	case a.Leads == b.Leads:
		return 0
	case a.Leads:
		return -1
	}
	return 1
}

// digestOf waits for a replica that has yet to reach the checkpoint.
func digestOf(ctx context.Context, group, index uint64, r Reader) (kv.StateDigest, error) {
	ctx, cancel := context.WithTimeout(ctx, catchUp)
	defer cancel()
	for {
		digest, err := r.StateDigest(ctx, group, index)
		if err == nil {
			return digest, nil
		}
		select {
		case <-ctx.Done():
			return digest, fmt.Errorf("it did not reach index %d within %v: %w", index, catchUp, err)
		case <-time.After(catchUpStep):
		}
	}
}

// difference pages through all states and names the first key at which they differ.
func difference(ctx context.Context, group, index uint64, replicas []Replica) (*Finding, error) {
	reads := make([]*pairs, len(replicas))
	for i, r := range replicas {
		reads[i] = &pairs{reader: r.Reader, group: group, index: index, more: true}
	}
	for {
		var lowest []byte
		for i, p := range reads {
			key, err := p.key(ctx)
			if err != nil {
				return nil, fmt.Errorf("state of node %d: %w", replicas[i].Node, err)
			}
			if key != nil && (lowest == nil || bytes.Compare(key, lowest) < 0) {
				lowest = key
			}
		}
		if lowest == nil {
			return nil, nil
		}
		records := make([]*kv.StateItem, len(reads))
		same := true
		for i, p := range reads {
			records[i] = p.take(lowest)
			same = same && (records[i] != nil) == (records[0] != nil) && (records[i] == nil || bytes.Equal(records[i].Record, records[0].Record))
		}
		if same {
			continue
		}
		key := strconv.Quote(string(lowest))
		f := &Finding{Index: index, Key: key, Problem: "key " + key + " differs"}
		for i, item := range records {
			f.Who = append(f.Who, Witness{replicas[i].Node, describe(item)})
		}
		return f, nil
	}
}

// pairs reads one replica's state in key order.
type pairs struct {
	reader       Reader
	group, index uint64
	items        []kv.StateItem
	next         []byte
	more         bool
}

// key is the key where it stands; nil at the end.
func (p *pairs) key(ctx context.Context) ([]byte, error) {
	for len(p.items) == 0 && p.more {
		page, err := p.reader.StatePage(ctx, p.group, p.index, p.next, statePage)
		if err != nil {
			return nil, err
		}
		p.items, p.next, p.more = page.Items, page.Next, page.Next != nil
	}
	if len(p.items) == 0 {
		return nil, nil
	}
	return p.items[0].Key, nil
}

// take returns the pair at the key and steps over it; nil if it has none.
func (p *pairs) take(key []byte) *kv.StateItem {
	if len(p.items) == 0 || !bytes.Equal(p.items[0].Key, key) {
		return nil
	}
	item := &p.items[0]
	p.items = p.items[1:]
	return item
}

func describe(item *kv.StateItem) string {
	if item == nil {
		return "nothing"
	}
	r, err := machine.DecodeRecord(item.Record)
	if err != nil {
		return fmt.Sprintf("a malformed record of %d bytes: %.40q", len(item.Record), item.Record)
	}
	return fmt.Sprintf("version %d, %d bytes: %.40q", r.Version, len(r.Value), r.Value)
}
