package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gamutdb/gamut/core"
)

// recovery reads the log's segments in order and judges what it finds.
//
// The judgement rests on the consecutive numbers of the batches alone. Unreadable bytes with no number missing behind them
// are a torn write or the rest of a recycled file: nothing that was acknowledged. A missing number is a loss, because each
// batch was durable before the next one was begun.
type recovery struct {
	Recovered
	durable func(core.GroupID) uint64
	// expected is the number of the next batch.
	expected uint64
	anyBegin bool // the first batch may have any number
	found    bool
	// last is where the last whole batch ended, for the reports.
	lastPath string
	lastEnd  int
	items    []Item // of the last batch
	// covered counts the bytes of a group's records in Groups that its durable state covers.
	covered map[core.GroupID]int
}

// coveredMax is how many bytes of records a group gets back although its durable state covers them: about what a replica
// keeps in memory while it runs. Up to twice as much is handed out.
const coveredMax = 8 << 20

// logMark is what the state knows about the log: a second witness, durable with each Flush.
type logMark struct {
	seq    uint64 // a batch that was durable
	oldest uint64 // the first batch of the oldest segment that was not deleted
}

// read reads the log and readies it for appending: a fresh segment is begun with the first batch. anyBegin says that nothing
// is known of where the log begins.
func (l *log) read(mark logMark, anyBegin bool, durable func(core.GroupID) uint64) (Recovered, error) {
	numbers, err := l.list()
	if err != nil {
		return Recovered{}, err
	}
	if err := l.syncTail(numbers); err != nil {
		return Recovered{}, err
	}
	r := &recovery{Recovered: newRecovered(), covered: map[core.GroupID]int{}, durable: remembered(durable), expected: max(mark.oldest, 1), anyBegin: anyBegin}
	var data []byte
	for _, n := range numbers {
		if data, err = readFile(l.fs, l.path(n), data); err != nil {
			r.unreadable(l.path(n), err)
			data = data[:0]
		}
		s := &segment{number: n, maxPos: map[core.GroupID]uint64{}}
		r.segment(s, l.path(n), l.tag, data)
		l.segments = append(l.segments, s)
		l.number = max(l.number, n)
	}
	l.seq = r.expected - 1
	if !r.found {
		l.seq = 0
	}
	l.previous, l.previousUnlisted = groupsOf(r.items)
	if l.seq < mark.seq {
		r.lose(l.seq+1, mark.seq, "but the state was flushed after them")
		l.seq, l.previousUnlisted = mark.seq, true
	}
	return r.Recovered, nil
}

// remembered asks f once per group.
func remembered(f func(core.GroupID) uint64) func(core.GroupID) uint64 {
	known := map[core.GroupID]uint64{}
	return func(g core.GroupID) uint64 {
		pos, ok := known[g]
		if !ok {
			pos = f(g)
			known[g] = pos
		}
		return pos
	}
}

// syncTail makes durable what a killed process left in the page cache: what is read now is acted upon, so it must not be
// lost by a later power cut. Older segments were synced when they were closed.
func (l *log) syncTail(numbers []uint64) error {
	if len(numbers) == 0 {
		return nil
	}
	path := l.path(numbers[len(numbers)-1])
	f, err := l.fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err == nil {
		err = syncFolder(l.fs, l.dir)
	}
	if err != nil {
		return fmt.Errorf("sync the log %s: %w", path, err)
	}
	return nil
}

func (r *recovery) segment(s *segment, path string, tag uint64, data []byte) {
	reader := segmentReader{data: data, number: uint32(s.number)}
	for {
		rec, _, end, ok := reader.next()
		if !ok {
			return
		}
		b, err := decodeBatch(rec)
		if err != nil || b.tag != tag {
			continue // its number will be missing
		}
		r.batch(s, &b)
		r.lastPath, r.lastEnd = path, end
	}
}

func (r *recovery) batch(s *segment, b *loggedBatch) {
	if r.anyBegin && !r.found {
		r.expected = b.seq
	}
	switch {
	case b.seq > r.expected && b.seq == r.expected+1 && r.found && !b.previousUnlisted:
		r.report(r.expected, r.expected, fmt.Sprintf("it held records of the groups %v", b.previous))
		for _, g := range b.previous {
			r.Suspect[g] = true
		}
	case b.seq > r.expected:
		r.lose(r.expected, b.seq-1, "though a later one can")
	case b.seq < r.expected && r.found:
		r.Reports = append(r.Reports, fmt.Sprintf("the log %s: batch %d stands behind batch %d", r.lastPath, b.seq, r.expected-1))
		r.AllSuspect = true
		return
	}
	s.add(b)
	r.found, r.expected, r.items = true, b.seq+1, b.items
	r.HLCUpper = max(r.HLCUpper, b.upper)
	if b.roll {
		r.supersede()
	}
	r.keep(b.items)
}

// supersede lets go of the records that lived until the next Roll.
func (r *recovery) supersede() {
	for g, records := range r.Groups {
		r.Groups[g] = slices.DeleteFunc(records, func(rec core.Record) bool { return rec.Pos == 0 })
	}
}

// keep copies the records, so that the buffer of the segment can be used again: all that the durable state does not cover,
// and the latest of what it does. A node that was stopped cleanly would otherwise know no block of its past, and would have
// to send a peer that lacks the last one its whole state.
func (r *recovery) keep(items []Item) {
	for i := range items {
		g, rec := items[i].Group, items[i].Record
		rec.Body = bytes.Clone(rec.Body)
		r.Groups[g] = append(r.Groups[g], rec)
		if r.covers(g, rec) {
			r.covered[g] += len(rec.Body)
			r.forget(g)
		}
	}
}

func (r *recovery) covers(g core.GroupID, rec core.Record) bool {
	return rec.Pos != 0 && rec.Pos <= r.durable(g)
}

// forget lets go of the oldest covered records, when they are so many that it pays.
func (r *recovery) forget(g core.GroupID) {
	if r.covered[g] <= 2*coveredMax {
		return
	}
	r.Groups[g] = slices.DeleteFunc(r.Groups[g], func(rec core.Record) bool {
		old := r.covered[g] > coveredMax && r.covers(g, rec)
		if old {
			r.covered[g] -= len(rec.Body)
		}
		return old
	})
}

// lose says that batches are gone of which nothing is known.
func (r *recovery) lose(from, to uint64, why string) {
	r.report(from, to, why+"; any group may have lost records")
	r.AllSuspect = true
}

func (r *recovery) report(from, to uint64, why string) {
	where := "the log begins too late"
	if r.lastPath != "" {
		where = fmt.Sprintf("the log %s is damaged at or behind offset %d", r.lastPath, r.lastEnd)
	}
	batches := fmt.Sprintf("batch %d cannot be read", from)
	if to > from {
		batches = fmt.Sprintf("batches %d to %d cannot be read", from, to)
	}
	r.Reports = append(r.Reports, fmt.Sprintf("%s: %s, %s", where, batches, why))
}

func (r *recovery) unreadable(path string, err error) {
	r.Reports = append(r.Reports, fmt.Sprintf("the log %s cannot be read: %v; any group may have lost records", path, err))
	r.AllSuspect = true
}

// readFile reads a whole file into buf.
func readFile(fs vfs.FS, path string, buf []byte) ([]byte, error) {
	f, err := fs.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return buf, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return buf, err
	}
	buf = slices.Grow(buf[:0], int(info.Size()))[:info.Size()]
	if _, err := io.ReadFull(f, buf); err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		return buf, err
	}
	return buf, nil
}

// syncFolder makes the names in a folder durable.
func syncFolder(fs vfs.FS, dir string) error {
	f, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// makeFolder makes a folder, and its name durable: the parent of every folder made is synced, and of the last one even if
// it was there. Without that, whole databases vanish with the power.
func makeFolder(fs vfs.FS, dir string) error {
	parent := fs.PathDir(dir)
	if parent == dir {
		return nil
	}
	if _, err := fs.Stat(parent); oserror.IsNotExist(err) {
		if err := makeFolder(fs, parent); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return errors.Join(syncFolder(fs, dir), syncFolder(fs, parent))
}

func firstError(first, second error) error {
	if first != nil {
		return first
	}
	return second
}
