package audit

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gamutdb/gamut/kv"
)

// ValuesReport is what the stores have of the values that a group's replicas keep there.
type ValuesReport struct {
	// Values and Bytes are how much was read, of all replicas together.
	Values int64 `json:"values"`
	Bytes  int64 `json:"bytes"`
	// Stores are those that lack something.
	Stores []StoreFaults `json:"stores,omitempty"`
	// Lost are keys whose value no replica has, at most lostMax of them, and LostCount how many there are.
	Lost      []string `json:"lost,omitempty"`
	LostCount int      `json:"lostCount,omitempty"`
}

// StoreFaults counts what is wrong with the store of one node: values that are missing, or other than they were, or could not be asked for.
type StoreFaults struct {
	Node     uint32 `json:"node"`
	Missing  int    `json:"missing,omitempty"`
	Damaged  int    `json:"damaged,omitempty"`
	NotAsked int    `json:"notAsked,omitempty"`
}

// String reads as a part of a line.
func (s *StoreFaults) String() string {
	var parts []string
	for _, x := range []struct {
		n    int
		what string
	}{{s.Missing, "missing"}, {s.Damaged, "damaged"}, {s.NotAsked, "not asked, since the store does not answer"}} {
		if x.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", x.n, x.what))
		}
	}
	return fmt.Sprintf("node %d: %s", s.Node, strings.Join(parts, ", "))
}

// lostMax is how many lost keys are named.
const lostMax = 10

// storedPage is how many values one question asks for.
const storedPage = 256

// Pace keeps readers to so many bytes a second; 0: as fast as they can.
type Pace struct {
	Rate  int64
	bytes int64
	since time.Time
}

// after waits until what was read so far, with some bytes more, has taken its time.
func (p *Pace) after(ctx context.Context, bytes int64) error {
	if p.Rate == 0 {
		return ctx.Err()
	}
	if p.since.IsZero() {
		p.since = time.Now()
	}
	p.bytes += bytes
	due := time.Duration(float64(p.bytes) / float64(p.Rate) * float64(time.Second))
	select {
	case <-time.After(due - time.Since(p.since)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// storedValue is one value of one key.
type storedValue struct{ key, sum string }

// Values reads all values that the replicas of a group keep in their stores, at a pace. What one store lacks is had from others: it is
// lost if all replicas lack it.
func Values(ctx context.Context, group Group, replicas []Replica, pace *Pace) (report ValuesReport, err error) {
	lacking, asked := map[storedValue]int{}, 0
	for _, r := range replicas {
		if r.Reader == nil {
			continue
		}
		asked++
		faults := StoreFaults{Node: r.Node}
		for from, more := []byte(nil), true; more; {
			page, err := r.Reader.StoredValues(ctx, group.Group, from, storedPage)
			if err != nil {
				return report, fmt.Errorf("values of node %d: %w", r.Node, err)
			}
			report.Values, report.Bytes = report.Values+int64(page.Values), report.Bytes+page.Bytes
			for _, bad := range page.Bad {
				faults.count(bad.Fault)
				lacking[storedValue{string(bad.Key), bad.Sum}]++
			}
			if err := pace.after(ctx, page.Bytes); err != nil {
				return report, err
			}
			from, more = page.Next, page.Next != nil
		}
		if faults != (StoreFaults{Node: r.Node}) {
			report.Stores = append(report.Stores, faults)
		}
	}
	if asked < len(replicas) {
		return report, nil // the others may have it
	}
	return report, report.judge(ctx, group, replicas, lacking)
}

func sortedValues(set map[storedValue]int) []storedValue {
	return slices.SortedFunc(maps.Keys(set), func(a, b storedValue) int {
		return cmp.Or(strings.Compare(a.key, b.key), strings.Compare(a.sum, b.sum))
	})
}

func (s *StoreFaults) count(fault kv.StoreFault) {
	switch fault {
	case kv.ValueMissing:
		s.Missing++
	case kv.ValueDamaged:
		s.Damaged++
	default:
		s.NotAsked++
	}
}

// judge looks once more for what no replica seemed to have: it may have moved, or been written, while the others were read.
func (r *ValuesReport) judge(ctx context.Context, group Group, replicas []Replica, lacking map[storedValue]int) error {
	for v, n := range lacking {
		if n < len(replicas) {
			delete(lacking, v)
		}
	}
	for _, v := range sortedValues(lacking) {
		everywhere := true
		for _, one := range replicas {
			page, err := one.Reader.StoredValues(ctx, group.Group, []byte(v.key), 1)
			if err != nil {
				return fmt.Errorf("values of node %d: %w", one.Node, err)
			}
			lost := len(page.Bad) > 0 && string(page.Bad[0].Key) == v.key && page.Bad[0].Sum == v.sum && page.Bad[0].Fault != kv.ValueNotAsked
			if everywhere = lost; !everywhere {
				break
			}
		}
		if everywhere {
			if r.LostCount++; len(r.Lost) < lostMax {
				r.Lost = append(r.Lost, strconv.Quote(v.key))
			}
		}
	}
	return nil
}
