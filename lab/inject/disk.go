package inject

import (
	"errors"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// logFolder is where a node's log lies: the promise is about its syncs, so it is they that fail.
const logFolder = "log"

var errSync = errors.New("input/output error, made by the lab")

// disk hurts a file system.
type disk struct {
	mu       sync.Mutex
	changed  sync.Cond
	settings Disk
}

func (d *disk) init() { d.changed.L = &d.mu }

func (d *disk) set(s Disk) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.settings = s
	d.changed.Broadcast()
}

func (d *disk) errorWaits() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.settings.SyncError
}

// sync is what happens to a sync before it is done.
func (d *disk) sync(log bool) error {
	d.mu.Lock()
	for d.settings.Hung {
		d.changed.Wait()
	}
	failed := log && d.settings.SyncError
	if failed {
		d.settings.SyncError = false
	}
	delay := time.Duration(d.settings.SyncDelay)
	d.mu.Unlock()
	time.Sleep(delay) // a slow disk is what was asked for
	if failed {
		return errSync
	}
	return nil
}

// write is what happens to a write before it is done.
func (d *disk) write() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.settings.NoSpace {
		return syscall.ENOSPC
	}
	return nil
}

func (d *disk) full() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.settings.Full || d.settings.NoSpace
}

// FS is the node's Faults': it lies around the node's file system.
func (i *Injector) FS(inner vfs.FS) vfs.FS { return &fileSystem{FS: inner, disk: &i.disk} }

type fileSystem struct {
	vfs.FS
	disk *disk
}

func (f *fileSystem) wrap(name string, inner vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &file{File: inner, disk: f.disk, log: filepath.Base(filepath.Dir(name)) == logFolder}, nil
}

// Create is vfs.FS's.
func (f *fileSystem) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := f.disk.write(); err != nil {
		return nil, err
	}
	inner, err := f.FS.Create(name, c)
	return f.wrap(name, inner, err)
}

// OpenReadWrite is vfs.FS's.
func (f *fileSystem) OpenReadWrite(name string, c vfs.DiskWriteCategory, options ...vfs.OpenOption) (vfs.File, error) {
	inner, err := f.FS.OpenReadWrite(name, c, options...)
	return f.wrap(name, inner, err)
}

// ReuseForWrite is vfs.FS's.
func (f *fileSystem) ReuseForWrite(oldName, newName string, c vfs.DiskWriteCategory) (vfs.File, error) {
	inner, err := f.FS.ReuseForWrite(oldName, newName, c)
	return f.wrap(newName, inner, err)
}

// OpenDir is vfs.FS's.
func (f *fileSystem) OpenDir(name string) (vfs.File, error) {
	inner, err := f.FS.OpenDir(name)
	return f.wrap(name, inner, err)
}

// GetDiskUsage is vfs.FS's.
func (f *fileSystem) GetDiskUsage(path string) (vfs.DiskUsage, error) {
	usage, err := f.FS.GetDiskUsage(path)
	if f.disk.full() {
		usage.AvailBytes, usage.UsedBytes = 0, usage.TotalBytes
	}
	return usage, err
}

// Unwrap is vfs.FS's.
func (f *fileSystem) Unwrap() vfs.FS { return f.FS }

type file struct {
	vfs.File
	disk *disk
	log  bool
}

// Write is vfs.File's.
func (f *file) Write(p []byte) (int, error) {
	if err := f.disk.write(); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

// WriteAt is vfs.File's.
func (f *file) WriteAt(p []byte, at int64) (int, error) {
	if err := f.disk.write(); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, at)
}

// Sync is vfs.File's.
func (f *file) Sync() error { return errors.Join(f.disk.sync(f.log), f.File.Sync()) }

// SyncData is vfs.File's.
func (f *file) SyncData() error { return errors.Join(f.disk.sync(f.log), f.File.SyncData()) }

// SyncTo is vfs.File's.
func (f *file) SyncTo(length int64) (fullSync bool, err error) {
	if err := f.disk.sync(f.log); err != nil {
		return false, err
	}
	return f.File.SyncTo(length)
}
