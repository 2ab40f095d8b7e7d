package audit

import (
	"context"
	"fmt"

	"github.com/gamutdb/gamut/kv"
)

// ChainReport is what Chain found.
type ChainReport struct {
	Group
	// From and To bound the indexes at which at least two replicas were compared; 0 if there are none.
	From      uint64      `json:"from"`
	To        uint64      `json:"to"`
	Ranges    []Range     `json:"ranges"`
	Unchecked []Unchecked `json:"unchecked,omitempty"`
	Finding   *Finding    `json:"finding,omitempty"`
}

// Range is the run of blocks that one replica still holds and that were checked one by one.
type Range struct {
	Node uint32 `json:"node"`
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

const blockPage = 256

// Chain walks the logs of all replicas side by side up to the first thing that is wrong.
func Chain(ctx context.Context, group Group, replicas []Replica) ChainReport {
	report := ChainReport{Group: group}
	var walks []*walk
	for _, r := range replicas {
		if r.Reader == nil {
			report.Unchecked = append(report.Unchecked, Unchecked{r.Node, r.Why})
			continue
		}
		walks = append(walks, &walk{ctx: ctx, group: group.Group, replica: r})
	}
	for report.Finding == nil {
		index, at := next(walks)
		if len(at) == 0 {
			break
		}
		if report.Finding = compare(index, at); report.Finding == nil && len(at) > 1 {
			if report.From == 0 {
				report.From = index
			}
			report.To = index
		}
		for _, w := range at {
			w.advance()
		}
	}
	for _, w := range walks {
		if w.to != 0 {
			report.Ranges = append(report.Ranges, Range{w.replica.Node, w.from, w.to})
		}
		if w.err != nil {
			report.Unchecked = append(report.Unchecked, Unchecked{w.replica.Node, fmt.Sprintf("not after index %d: %v", w.to, w.err)})
		}
	}
	return report
}

// next finds the lowest index at which a walk stands, and those that stand there.
func next(walks []*walk) (index uint64, at []*walk) {
	for _, w := range walks {
		b := w.block()
		switch {
		case b == nil:
		case len(at) == 0 || b.Index < index:
			index, at = b.Index, append(at[:0:0], w)
		case b.Index == index:
			at = append(at, w)
		}
	}
	return index, at
}

// compare judges the blocks at one index.
func compare(index uint64, at []*walk) *Finding {
	for _, w := range at {
		if problem := w.broken(); problem != "" {
			return &Finding{Index: index, Problem: fmt.Sprintf("block %d %s", index, problem), Who: []Witness{{w.replica.Node, short(w.block())}}}
		}
	}
	var first *walk
	for _, w := range at {
		if index > w.replica.Commit {
			continue // a leader that lost its place may hold blocks that never were committed
		}
		if first == nil {
			first = w
		}
		if w.block().Hash == first.block().Hash {
			continue
		}
		f := &Finding{Index: index, Problem: fmt.Sprintf("block %d is committed and not the same everywhere", index)}
		for _, w := range at {
			f.Who = append(f.Who, Witness{w.replica.Node, short(w.block())})
		}
		return f
	}
	return nil
}

func short(b *kv.BlockInfo) string {
	return fmt.Sprintf("hash %.16s (ballot %s, %d bytes)", b.Hash, b.Ballot, b.Bytes)
}

// walk reads the blocks of one replica in order.
type walk struct {
	ctx     context.Context
	group   uint64
	replica Replica

	page []kv.BlockInfo
	end  bool
	err  error
	// last is the block before the present one, if that was seen.
	last     kv.BlockInfo
	seen     bool
	newPage  bool
	from, to uint64
}

// block is where the walk stands; nil at the end.
func (w *walk) block() *kv.BlockInfo {
	if len(w.page) == 0 && !w.end {
		from := uint64(0)
		if w.seen {
			from = w.last.Index + 1
		}
		w.page, w.err = w.replica.Reader.Blocks(w.ctx, w.group, from, blockPage, false)
		w.newPage = true
		w.end = w.err != nil || len(w.page) == 0
	}
	if len(w.page) == 0 {
		return nil
	}
	return &w.page[0]
}

func (w *walk) advance() {
	w.last, w.seen, w.newPage = w.page[0], true, false
	if w.to = w.last.Index; w.from == 0 {
		w.from = w.to
	}
	w.page = w.page[1:]
}

// broken says what is wrong with the block where the walk stands, as far as this replica alone can tell.
func (w *walk) broken() string {
	b := w.block()
	switch {
	case !b.Intact:
		return "is not what its hash says: it was altered"
	case !w.seen:
		return ""
	case b.Index != w.last.Index+1:
		if w.newPage && b.Index > w.last.Index {
			return "" // old blocks were dropped while we walked
		}
		return fmt.Sprintf("follows block %d", w.last.Index)
	case b.Prev != w.last.Hash:
		return fmt.Sprintf("links to %.16s, and block %d has hash %.16s", b.Prev, w.last.Index, w.last.Hash)
	}
	return ""
}
