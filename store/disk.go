package store

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gamutdb/gamut/core"
)

// Names in a node's folder. IdentityName is there once the folder belongs to a node.
const (
	IdentityName = "IDENTITY"
	lockName     = "LOCK"
	logName      = "log"
	stateName    = "state"
	stagingName  = "staging"
)

// Options of a disk. The zero value means the defaults.
type Options struct {
	// FS is the file system; default: the machine's own.
	FS vfs.FS
	// SegmentBytes is the size at which a segment of the log is full; default 32 MiB.
	SegmentBytes int64
	// FlushBytes is how much log may be appended before NeedsFlush says so; default 64 MiB.
	FlushBytes int64
	// MemTableBytes is the state's write buffer; up to two of them are in memory. Default 8 MiB; a node chooses by its number.
	MemTableBytes uint64
	// CacheBytes is the block cache of the state; default 64 MiB, since a read that misses it costs five times as much. Only
	// replicas that are read fill it.
	CacheBytes int64
	// Logger is told what an operator should know, in plain words; default: nobody.
	Logger func(string)
	// OnDamage is told, once, that the state is damaged: the disk is marked, and the next opening begins a fresh state. It
	// may be called from any goroutine, before the read that met the damage returns, and must not call the disk.
	OnDamage func(error)
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = 32 << 20
	}
	if o.FlushBytes <= 0 {
		o.FlushBytes = 64 << 20
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = 8 << 20
	}
	if o.CacheBytes <= 0 {
		o.CacheBytes = 64 << 20
	}
	if o.Logger == nil {
		o.Logger = func(string) {}
	}
	return o
}

// step is how far ahead of the writer a new segment is filled with zeros.
func (o Options) step() int64 { return min(o.SegmentBytes, stepMax) }

// Disk is the store on a file system.
type Disk struct {
	dir      string
	identity Identity
	opts     Options
	lock     io.Closer
	log      *log
	state    *state

	flushMu sync.Mutex // one Flush at a time
	flushed int64      // bytes of the log at the last Flush, under log.mu
	oldest  uint64     // the first batch that was not deleted, under flushMu

	damageMu sync.Mutex
	damage   *DamageError // found since the opening
	opened   bool
}

var _ Store = (*Disk)(nil)

// Open opens a node's folder, or formats an empty one. In want, a zero Cluster or Node accepts any and a zero Store lets a
// new one be drawn; Boot and Format are ignored. The first Append must have Roll set.
func Open(dir string, want Identity, opts Options) (*Disk, Recovered, error) {
	d := &Disk{dir: dir, opts: opts.withDefaults()}
	recovered, err := d.open(want)
	if err != nil {
		return nil, Recovered{}, errors.Join(err, d.release())
	}
	for _, r := range recovered.Reports {
		d.opts.Logger(r)
	}
	return d, recovered, nil
}

func (d *Disk) open(want Identity) (Recovered, error) {
	fs := d.opts.FS
	if err := makeFolder(fs, d.dir); err != nil {
		return Recovered{}, fmt.Errorf("make the folder %s: %w", d.dir, err)
	}
	var err error
	if d.lock, err = fs.Lock(d.path(lockName)); err != nil {
		return Recovered{}, fmt.Errorf("lock the folder %s: another process uses it: %w", d.dir, err)
	}
	if d.identity, err = claimFolder(fs, d.dir, want); err != nil {
		return Recovered{}, err
	}
	recovered, err := d.read()
	if d.damaged() != nil {
		// What is damaged is marked now, so reading again begins a fresh state.
		_ = d.closeState()
		d.damage = nil
		recovered, err = d.read()
	}
	if err != nil {
		return Recovered{}, err
	}
	d.damageMu.Lock()
	defer d.damageMu.Unlock()
	d.opened = true
	if d.damage != nil {
		return Recovered{}, d.damage
	}
	return recovered, nil
}

// read opens the state, or a fresh one instead of one that is marked as damaged, and reads the log by its light.
func (d *Disk) read() (Recovered, error) {
	fs := d.opts.FS
	phase, text := d.readMark()
	if phase == markDamaged {
		if err := d.replaceState(text); err != nil {
			return Recovered{}, err
		}
		phase, text = d.readMark()
	}
	for _, name := range []string{logName, stateName} {
		if err := makeFolder(fs, d.path(name)); err != nil {
			return Recovered{}, fmt.Errorf("make the folder %s: %w", d.path(name), err)
		}
	}
	if err := d.openState(); err != nil {
		return Recovered{}, err
	}
	d.log = &log{fs: fs, dir: d.path(logName), tag: d.identity.tag(), size: d.opts.SegmentBytes, step: d.opts.step()}
	r, err := d.recover(phase != "")
	if err != nil {
		return Recovered{}, err
	}
	if phase != "" {
		r.Reports = append(r.Reports, "this node's replicas are refilled from peers, because of damage that was found at "+text)
	}
	return r, nil
}

func (d *Disk) openState() error {
	// A program that is too old for the state must not take it for damaged.
	_, err := pebble.Peek(d.path(stateName), d.opts.FS)
	if err != nil {
		return fmt.Errorf("open the state in %s: %w", d.path(stateName), err)
	}
	if d.state, err = openState(d.opts, d.path(stateName), d.path(stagingName), false, d.found); err != nil && isOpenDamage(err) {
		d.mark(err)
	}
	return err
}

func (d *Disk) closeState() error {
	if d.state == nil {
		return nil
	}
	s := d.state
	d.state = nil
	return s.close()
}

// recover reads the log by the light of the state. If anything of the state cannot be read, the error is in d.damage, too.
// In a state that is being refilled there may be no word of the log yet: then it begins where it begins.
func (d *Disk) recover(refilling bool) (Recovered, error) {
	mark, err := d.state.mark()
	if err == nil {
		_, err = d.state.groups()
	}
	if err != nil {
		d.found(err)
		return Recovered{}, err
	}
	var unreadable error
	r, err := d.log.read(mark, refilling && mark == logMark{}, func(g core.GroupID) uint64 {
		pos, err := d.state.group(g).durableApplied()
		unreadable = firstError(unreadable, err)
		return pos
	})
	if err = firstError(err, unreadable); err != nil {
		return Recovered{}, err
	}
	if r.AllSuspect && !refilling {
		// Replicas that the catalog does not name yet are suspect, too, and must be after another start.
		if err := d.writeMark(markRefilling, dated(strings.Join(r.Reports, "; "))); err != nil {
			return Recovered{}, err
		}
	}
	r.AllSuspect = r.AllSuspect || refilling
	d.oldest = mark.oldest
	if r.AllSuspect {
		// A beginning that is lost was told; it must not be found missing for ever.
		d.oldest = d.log.oldest()
		if err := d.flush(logMark{d.log.seq, d.oldest}); err != nil {
			return Recovered{}, err
		}
	}
	return r, nil
}

// release gives back what a failed open holds.
func (d *Disk) release() error {
	err := d.closeState()
	if d.lock != nil {
		err = errors.Join(err, d.lock.Close())
	}
	return err
}

func (d *Disk) path(name string) string { return d.opts.FS.PathJoin(d.dir, name) }

// Identity is whose disk this is; its Boot is the one of this opening.
func (d *Disk) Identity() Identity { return d.identity }

// Append makes a batch durable, with one write and one sync. One caller at a time. After an error the batch may or may not
// be on disk, every later call returns the same error, and the node must end: a sync is never tried again, because the next
// one may succeed without what the failed one lost.
func (d *Disk) Append(b Batch) error {
	return d.log.append(&loggedBatch{upper: b.HLCUpper, roll: b.Roll, items: b.Items})
}

// NeedsRoll says that the segment is full, or that none was begun since opening. It is for the caller of Append.
func (d *Disk) NeedsRoll() bool { return d.log.full() }

// Group is the state of one group.
func (d *Disk) Group(g core.GroupID) Group { return d.state.group(g) }

// GroupsWithState lists the groups that hold at least one key, in order.
func (d *Disk) GroupsWithState() []core.GroupID {
	list, err := d.state.groups()
	if err != nil {
		d.found(err)
		panic(&ReadError{Err: err})
	}
	return list
}

// LogBytesSinceFlush is how much log a crash now would make the node fold again, at most.
func (d *Disk) LogBytesSinceFlush() int64 {
	d.log.mu.Lock()
	defer d.log.mu.Unlock()
	return d.log.bytes - d.flushed
}

// NeedsFlush says that Flush is due by size. When it is due by time is for the caller to say.
func (d *Disk) NeedsFlush() bool { return d.LogBytesSinceFlush() >= d.opts.FlushBytes }

// Flush makes the state durable and deletes the segments that no group needs. It may run beside Append, Apply and reads.
// When the disk is full it waits until there is room.
func (d *Disk) Flush() error {
	d.flushMu.Lock()
	defer d.flushMu.Unlock()
	d.log.mu.Lock()
	appended, seq := d.log.bytes, d.log.seq
	d.log.mu.Unlock()
	if err := d.flush(logMark{seq, d.oldest}); err != nil {
		return err
	}
	d.log.mu.Lock()
	d.flushed = appended
	d.log.mu.Unlock()
	count, oldest := d.log.deletable(d.state.durableOrNone)
	if count == 0 {
		return nil
	}
	// The mark goes first: a segment that is missing without it was lost, not deleted.
	if err := d.flush(logMark{seq, oldest}); err != nil {
		return err
	}
	d.oldest = oldest
	return d.log.deleteOldest(count)
}

func (d *Disk) flush(m logMark) error {
	err := d.state.settle()
	if err == nil {
		err = d.state.setMark(m)
	}
	if err == nil {
		err = d.state.db.Flush()
	}
	if err != nil {
		d.found(err)
		return fmt.Errorf("flush the state in %s: %w", d.path(stateName), err)
	}
	return nil
}

// Drop removes a group's state; its records no longer keep segments. If it had records, they are recovered again until
// their segments are gone.
func (d *Disk) Drop(g core.GroupID) error {
	if err := d.state.drop(g); err != nil {
		d.found(err)
		return fmt.Errorf("drop group %d: %w", g, err)
	}
	d.log.drop(g)
	return nil
}

// Free is how many bytes the file system of the folder has left.
func (d *Disk) Free() (available uint64, err error) {
	usage, err := d.opts.FS.GetDiskUsage(d.dir)
	return usage.AvailBytes, err
}

// Metrics are counters since the opening, and sizes now.
type Metrics struct {
	Batches, Syncs, LogBytes int64
	Segments                 int
	StateBytes               uint64
}

// Metrics may be called from any goroutine.
func (d *Disk) Metrics() Metrics {
	state := d.state.db.Metrics().DiskSpaceUsage()
	d.log.mu.Lock()
	defer d.log.mu.Unlock()
	return Metrics{
		Batches: d.log.batches, Syncs: d.log.syncs, LogBytes: d.log.bytes, Segments: len(d.log.segments), StateBytes: state,
	}
}

// Close makes everything durable and releases the folder. Pebble's own Close would leave the memtables behind. A damaged
// state is left as it is.
func (d *Disk) Close() error {
	err := d.log.err
	if err == nil {
		if err = d.damaged(); err == nil {
			err = d.Flush()
		}
		err = errors.Join(err, d.log.close())
	}
	return errors.Join(err, d.release())
}
