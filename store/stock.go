package store

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// blankSuffix names spare files that were never a segment. They have numbers of their own: a segment's number must not be
// taken by a file that comes before it.
const blankSuffix = ".blank"

// NeedsStock says that Stock has something to do. A node that writes next to nothing never needs it.
func (d *Disk) NeedsStock() bool {
	l := d.log
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.begun && l.bytes >= l.size/2 && len(l.segments)+len(l.spares) <= sparesMax
}

// Stock makes one spare file for the log, filled with zeros and durable, so that no batch has to wait while the file that it
// goes to is filled. Once there are enough, old segments are used again. It may run beside Append, not beside itself or
// Flush. A failure costs nothing but time: the log goes on without the file.
func (d *Disk) Stock() error {
	d.flushMu.Lock()
	defer d.flushMu.Unlock()
	return d.log.stock()
}

func (l *log) stock() error {
	name := l.blankName()
	path := l.fs.PathJoin(l.dir, name)
	if err := l.fill(path); err != nil {
		return errors.Join(fmt.Errorf("make the spare file %s: %w", path, err), l.fs.Remove(path))
	}
	l.mu.Lock()
	l.spares = append(l.spares, name)
	l.mu.Unlock()
	return nil
}

// blankName is a name that no spare file has, nor had since opening: one that a roll has just taken may still be under its
// old name, and to make it anew would empty the segment that it is about to be.
func (l *log) blankName() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.blanks++
	return fmt.Sprintf("%06d%s", l.blanks, blankSuffix)
}

// fill writes a file of zeros and makes it durable, step by step, so that the syncs of the log do not wait for all of it.
func (l *log) fill(path string) (err error) {
	file, err := l.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	_ = file.Preallocate(0, l.size) // only a wish, as for a new segment
	for at := int64(0); at < l.size; {
		n := min(l.step, l.size-at)
		if _, err := file.WriteAt(zeros[:n], at); err != nil {
			return err
		}
		if err := file.SyncData(); err != nil {
			return err
		}
		at += n
	}
	return file.Sync()
}
