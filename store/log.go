package store

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gamutdb/gamut/core"
)

const (
	segmentSuffix = ".log"
	spareSuffix   = ".spare"
	sparesMax     = 2
	// encodeKeep is the largest encode buffer that is kept from one batch to the next.
	encodeKeep = 4 << 20
)

// segment is what the log remembers of one file.
type segment struct {
	number   uint64
	firstSeq uint64 // 0: it holds no batch
	// maxPos is how far a group's durable state must reach before the file can go. Records with Pos 0 do not count: they
	// are superseded by the head of the next segment.
	maxPos map[core.GroupID]uint64
}

func (s *segment) add(b *loggedBatch) {
	if s.firstSeq == 0 {
		s.firstSeq = b.seq
	}
	for i := range b.items {
		it := &b.items[i]
		if it.Record.Pos > s.maxPos[it.Group] {
			s.maxPos[it.Group] = it.Record.Pos
		}
	}
}

// log is the node's log: a list of segments, of which the last is written.
type log struct {
	fs   vfs.FS
	dir  string
	tag  uint64
	size int64 // at which a segment is full
	step int64

	// mu guards segments, spares and the counters: Append and Flush may run at the same time.
	mu       sync.Mutex
	segments []*segment
	spares   []string
	blanks   uint64 // the highest number that a blank file has had
	begun    bool   // a segment was begun since opening
	batches  int64
	bytes    int64 // appended
	seq      uint64
	syncs    int64 // one per batch; files and folders come on top

	// The rest belongs to the one caller of append.
	number           uint64       // of the newest segment
	file             *segmentFile // nil until the first Roll
	previous         []core.GroupID
	previousUnlisted bool
	encoded          []byte
	err              error // final: a log that failed once never takes another batch
}

func (l *log) path(number uint64) string {
	return l.fs.PathJoin(l.dir, fmt.Sprintf("%06d%s", number, segmentSuffix))
}

// parseSegmentName returns the number in a file name of the given suffix.
func parseSegmentName(name, suffix string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil && n > 0
}

// full says that the next batch should begin a segment; so it is after opening.
func (l *log) full() bool { return l.file == nil || l.file.written >= l.size }

// append makes b durable.
func (l *log) append(b *loggedBatch) error {
	if l.err == nil {
		l.err = l.tryAppend(b)
	}
	return l.err
}

func (l *log) tryAppend(b *loggedBatch) error {
	if b.roll {
		if err := l.roll(); err != nil {
			return l.explain(err)
		}
	}
	if l.file == nil {
		return errors.New("append to the log: the first batch after opening must have Roll set, behind the protocols' Roll records")
	}
	b.tag, b.seq, b.previous, b.previousUnlisted = l.tag, l.seq+1, l.previous, l.previousUnlisted
	l.encoded = appendBatch(l.encoded[:0], b)
	if err := l.file.append(l.encoded); err != nil {
		return l.explain(err)
	}
	l.remember(b)
	return nil
}

func (l *log) remember(b *loggedBatch) {
	l.previous, l.previousUnlisted = appendGroups(l.previous[:0], b.items)
	l.mu.Lock()
	l.segments[len(l.segments)-1].add(b)
	l.seq = b.seq
	l.batches++
	l.bytes += int64(len(l.encoded))
	l.syncs++
	l.mu.Unlock()
	if cap(l.encoded) > encodeKeep {
		l.encoded = nil
	}
}

// groupsOf lists the groups of a batch for the head of the next, unless they are too many.
func groupsOf(items []Item) (list []core.GroupID, unlisted bool) { return appendGroups(nil, items) }

func appendGroups(list []core.GroupID, items []Item) ([]core.GroupID, bool) {
	for i := range items {
		if g := items[i].Group; !slices.Contains(list, g) {
			if len(list) == previousMax {
				return list[:0], true
			}
			list = append(list, g)
		}
	}
	return list, false
}

// explain says what a failed write means for the node.
func (l *log) explain(err error) error {
	where := l.path(l.number)
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("write the log %s: the disk is full; make room and start the node again: %w", where, err)
	}
	return fmt.Errorf("write the log %s: what was written may not be on disk, so this node must stop; check the disk and start it again: %w", where, err)
}

// roll ends the segment and begins the next.
func (l *log) roll() error {
	if l.file != nil {
		if err := l.file.Close(); err != nil {
			return err
		}
		l.file = nil
	}
	number := l.number + 1
	file, err := l.newFile(number)
	if err != nil {
		return err
	}
	l.number, l.file = number, file
	l.mu.Lock()
	l.segments = append(l.segments, &segment{number: number, maxPos: map[core.GroupID]uint64{}})
	l.begun = true
	l.mu.Unlock()
	return nil
}

// newFile makes the file of a segment, from a spare one if there is any. Its name is durable on return.
func (l *log) newFile(number uint64) (*segmentFile, error) {
	file := &segmentFile{number: uint32(number), step: l.step}
	l.mu.Lock()
	spare := ""
	if n := len(l.spares); n > 0 {
		spare, l.spares = l.spares[n-1], l.spares[:n-1]
	}
	l.mu.Unlock()
	var err error
	if spare != "" {
		file.File, err = l.fs.ReuseForWrite(l.fs.PathJoin(l.dir, spare), l.path(number), vfs.WriteCategoryUnspecified)
	} else {
		file.File, err = l.fs.Create(l.path(number), vfs.WriteCategoryUnspecified)
	}
	if err != nil {
		return nil, err
	}
	if info, err := file.Stat(); err == nil {
		file.size = info.Size()
	}
	if file.size == 0 {
		// Only a wish: a file system without it still works. The step keeps within what was reserved.
		_ = file.Preallocate(0, l.size)
	}
	return file, syncFolder(l.fs, l.dir)
}

// deletable counts the oldest segments that no group needs. Only a prefix may go: the numbers of the batches must stay
// consecutive, or a deleted segment would look like a lost one.
func (l *log) deletable(durable func(core.GroupID) uint64) (count int, oldestSeq uint64) {
	l.mu.Lock()
	candidates := make([]segment, 0, len(l.segments))
	for _, s := range l.segments {
		candidates = append(candidates, segment{firstSeq: s.firstSeq, maxPos: maps.Clone(s.maxPos)})
	}
	begun := l.begun
	l.mu.Unlock()
	if n := len(candidates); n == 0 || candidates[n-1].firstSeq == 0 || !begun {
		return 0, 0 // the head that supersedes the older records with Pos 0 is not durable yet
	}
	durable = remembered(durable)
	for count < len(candidates)-1 && candidates[count].reached(durable) {
		count++
	}
	for _, s := range candidates[count:] {
		if s.firstSeq != 0 {
			return count, s.firstSeq
		}
	}
	return 0, 0
}

// oldest is the first batch that is there, or 0.
func (l *log) oldest() uint64 {
	for _, s := range l.segments {
		if s.firstSeq != 0 {
			return s.firstSeq
		}
	}
	return 0
}

// reached says whether the durable state of every group covers the segment's records.
func (s *segment) reached(durable func(core.GroupID) uint64) bool {
	for g, pos := range s.maxPos {
		if durable(g) < pos {
			return false
		}
	}
	return true
}

// deleteOldest removes segments, the oldest first, each durably before the next, so that a crash leaves no hole.
func (l *log) deleteOldest(count int) error {
	for ; count > 0; count-- {
		l.mu.Lock()
		number, spares := l.segments[0].number, len(l.spares)
		l.mu.Unlock()
		spare, err := "", error(nil)
		if spares < sparesMax {
			spare = fmt.Sprintf("%06d%s", number, spareSuffix)
			err = l.fs.Rename(l.path(number), l.fs.PathJoin(l.dir, spare))
		} else {
			err = l.fs.Remove(l.path(number))
		}
		if err == nil {
			err = syncFolder(l.fs, l.dir)
		}
		if err != nil {
			return fmt.Errorf("delete the log %s: %w", l.path(number), err)
		}
		l.mu.Lock()
		l.segments = l.segments[1:]
		if spare != "" {
			l.spares = append(l.spares, spare)
		}
		l.mu.Unlock()
	}
	return nil
}

// drop forgets that a group needs any segment.
func (l *log) drop(g core.GroupID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.segments {
		delete(s.maxPos, g)
	}
}

// close writes an empty batch, so that damage to the last real one is found when the log is read, and closes the file.
func (l *log) close() error {
	if l.file == nil {
		return nil
	}
	err := l.append(&loggedBatch{})
	if l.file != nil {
		err = errors.Join(err, l.file.Close())
		l.file = nil
	}
	if l.err == nil {
		l.err = errors.New("append to the log: it is closed")
	}
	return err
}

// list reads the folder: segments in order, and spare files, of which more than are kept are removed.
func (l *log) list() ([]uint64, error) {
	names, err := l.fs.List(l.dir)
	if err != nil {
		return nil, fmt.Errorf("list the log: %w", err)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	var numbers []uint64
	for _, name := range names {
		if n, ok := parseSegmentName(name, segmentSuffix); ok {
			numbers = append(numbers, n)
			continue
		}
		n, spare := parseSegmentName(name, spareSuffix)
		m, blank := parseSegmentName(name, blankSuffix)
		if spare || blank {
			l.number, l.blanks = max(l.number, n), max(l.blanks, m)
			if len(l.spares) < sparesMax {
				l.spares = append(l.spares, name)
			} else if err := l.fs.Remove(l.fs.PathJoin(l.dir, name)); err != nil {
				return nil, fmt.Errorf("remove a spare file of the log: %w", err)
			}
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}
