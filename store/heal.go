package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	// damageName is the mark of damage. While it is there, every opening makes all groups suspect.
	damageName = "DAMAGED"
	// markDamaged and markRefilling begin the mark: the state has still to be replaced, or it was, and is being refilled.
	markDamaged, markRefilling = "damaged\n", "refilling\n"
	// asidePrefix begins the name of a damaged state that was moved aside.
	asidePrefix = stateName + ".damaged-"
)

// DamageError tells of state that is not as it was written. The next opening of the disk begins a fresh one.
type DamageError struct {
	// Mark is the file that makes the next opening do so.
	Mark string
	Err  error
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("the state of this node is damaged: %v; nothing of it was served, and this node must stop: "+
		"its next start will refill its replicas from their peers (so says %s)", e.Err, e.Mark)
}

func (e *DamageError) Unwrap() error { return e.Err }

// isDamage tells an error that will come again, however often the state is read, from one that may go away: a full disk or
// a want of file handles must not cost all nodes their state at once.
func isDamage(err error) bool {
	return pebble.IsCorruptionError(err) || oserror.IsNotExist(err) || errors.Is(err, syscall.EIO) || errors.Is(err, io.ErrUnexpectedEOF)
}

// isOpenDamage is isDamage for an opening, whose errors Pebble does not mark: it is damage unless the system refused it.
func isOpenDamage(err error) bool {
	var system syscall.Errno
	return isDamage(err) || !errors.As(err, &system) && !errors.Is(err, oserror.ErrPermission) && !errors.Is(err, oserror.ErrExist)
}

// found takes note of an error of the state. If it is damage, the mark is durable before anybody is told of it.
func (d *Disk) found(err error) {
	if err != nil && isDamage(err) {
		d.mark(err)
	}
}

func (d *Disk) mark(err error) {
	d.damageMu.Lock()
	first := d.damage == nil
	if first {
		d.damage = &DamageError{Mark: d.path(damageName), Err: err}
		if markErr := d.writeMark(markDamaged, dated(err.Error())); markErr != nil {
			// The next start finds the damage again where this one found it.
			d.opts.Logger(markErr.Error())
		}
	}
	tell := first && d.opened && d.opts.OnDamage != nil
	d.damageMu.Unlock()
	if tell {
		d.opts.OnDamage(d.damage)
	}
}

// damaged is what was found since the opening.
func (d *Disk) damaged() error {
	d.damageMu.Lock()
	defer d.damageMu.Unlock()
	if d.damage == nil {
		return nil
	}
	return d.damage
}

func (d *Disk) writeMark(phase, text string) error {
	return replaceFile(d.opts.FS, d.dir, damageName, []byte(phase+text+"\n"))
}

func dated(text string) string { return time.Now().UTC().Format(time.RFC3339) + ": " + text }

// readMark returns the phase and the words of the mark; an empty phase: there is none.
func (d *Disk) readMark() (phase, text string) {
	data, err := readFile(d.opts.FS, d.path(damageName), nil)
	switch {
	case oserror.IsNotExist(err):
		return "", ""
	case err == nil && bytes.HasPrefix(data, []byte(markRefilling)):
		return markRefilling, strings.TrimSpace(strings.TrimPrefix(string(data), markRefilling))
	}
	return markDamaged, strings.TrimSpace(strings.TrimPrefix(string(data), markDamaged))
}

// replaceState moves a damaged state aside, where somebody may look at it, and lets a fresh one be begun. The mark says
// "damaged" until the old state is gone, so a crash in between leads here again.
func (d *Disk) replaceState(text string) error {
	fs := d.opts.FS
	older, next, err := d.listAside()
	if err == nil {
		_, err = fs.Stat(d.path(stateName))
	}
	switch {
	case oserror.IsNotExist(err): // it was moved before a crash
		err, next = nil, next-1
		if len(older) > 0 {
			older = older[:len(older)-1]
		}
	case err == nil:
		err = fs.Rename(d.path(stateName), d.path(asideName(next)))
	}
	if err == nil {
		err = syncFolder(fs, d.dir)
	}
	if err == nil {
		err = d.writeMark(markRefilling, fmt.Sprintf("%s; the damaged state is in %s and may be removed", text, asideName(next)))
	}
	if err != nil {
		return fmt.Errorf("move the damaged state %s aside: %w", d.path(stateName), err)
	}
	for _, n := range older {
		if err := fs.RemoveAll(d.path(asideName(n))); err != nil {
			d.opts.Logger(fmt.Sprintf("remove an older damaged state: %v", err))
		}
	}
	return nil
}

func asideName(n int) string { return asidePrefix + strconv.Itoa(n) }

// listAside lists the numbers of the states moved aside, in order, and the next one.
func (d *Disk) listAside() (numbers []int, next int, err error) {
	names, err := d.opts.FS.List(d.dir)
	next = 1
	for _, name := range names {
		digits, ok := strings.CutPrefix(name, asidePrefix)
		if n, err := strconv.Atoi(digits); ok && err == nil {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	if len(numbers) > 0 {
		next = numbers[len(numbers)-1] + 1
	}
	return numbers, next, err
}

// Refilled removes the mark of damage. Before that, every replica that this node ever ran must have written to the log that
// it is suspect, durably: from then on the replicas know it for themselves.
func (d *Disk) Refilled() error {
	d.damageMu.Lock()
	defer d.damageMu.Unlock()
	if d.damage != nil {
		return nil // there is new damage
	}
	err := d.opts.FS.Remove(d.path(damageName))
	if oserror.IsNotExist(err) {
		return nil
	}
	if err == nil {
		err = syncFolder(d.opts.FS, d.dir)
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", d.path(damageName), err)
	}
	return nil
}

// replaceFile replaces a small file: the old or the new one survives a crash, whole.
func replaceFile(fs vfs.FS, dir, name string, data []byte) error {
	path := fs.PathJoin(dir, name)
	f, err := fs.Create(path+newSuffix, vfs.WriteCategoryUnspecified)
	if err == nil {
		_, err = f.Write(data)
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err == nil {
		err = fs.Rename(path+newSuffix, path)
	}
	if err == nil {
		err = syncFolder(fs, dir)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
