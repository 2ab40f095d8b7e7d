package store

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gamutdb/gamut/core"
)

// stageFileBytes is where a staged table ends and the next begins, so that later compactions stay small.
const stageFileBytes = 32 << 20

// stage is a group's new state while it is received: finished tables, then the one being written.
type stage struct {
	paths  []string
	writer *sstable.Writer
	last   []byte
	name   []byte // of the pair that is being written
}

// resetStaging removes what a crash left half received.
func resetStaging(fs vfs.FS, dir string) error {
	if err := fs.RemoveAll(dir); err != nil {
		return err
	}
	return makeFolder(fs, dir)
}

func (s *state) stage(g core.GroupID, key, value []byte) error {
	s.mu.Lock()
	st := s.staged[g]
	if st == nil {
		st = &stage{}
		s.staged[g] = st
	}
	s.mu.Unlock()
	if st.last != nil && bytes.Compare(st.last, key) >= 0 {
		return fmt.Errorf("stage: key %q does not follow %q", key, st.last)
	}
	if st.writer == nil {
		if err := s.beginTable(g, st); err != nil {
			return fmt.Errorf("stage: %w", err)
		}
	}
	st.last = append(st.last[:0], key...)
	st.name = append(append(st.name[:0], groupPrefix(g)...), key...)
	if err := st.writer.Set(st.name, value); err != nil {
		return fmt.Errorf("stage: %w", err)
	}
	if st.writer.Raw().EstimatedSize() < stageFileBytes {
		return nil
	}
	return st.finish()
}

func (s *state) beginTable(g core.GroupID, st *stage) error {
	path := s.fs.PathJoin(s.staging, fmt.Sprintf("%d-%d.sst", g, len(st.paths)))
	f, err := s.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	st.paths = append(st.paths, path)
	st.writer = sstable.NewWriter(objstorageprovider.NewFileWritable(f), sstable.WriterOptions{
		TableFormat: s.db.FormatMajorVersion().MaxTableFormat(),
	})
	return nil
}

// finish syncs and closes the table that is being written.
func (st *stage) finish() error {
	w := st.writer
	st.writer = nil
	if w == nil {
		return nil
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("stage: %w", err)
	}
	return nil
}

// unstage throws away what is staged. What cannot be removed now is removed when the disk is opened again.
func (s *state) unstage(g core.GroupID) {
	s.mu.Lock()
	st := s.staged[g]
	delete(s.staged, g)
	s.mu.Unlock()
	if st == nil {
		return
	}
	_ = st.finish()
	for _, path := range st.paths {
		_ = s.fs.Remove(path)
	}
}

// install replaces the group's span by the staged tables: one edit of Pebble's manifest, durable on return.
func (s *state) install(g core.GroupID) error {
	s.mu.Lock()
	st := s.staged[g]
	s.mu.Unlock()
	if st == nil {
		return s.db.Excise(context.Background(), s.span(g))
	}
	if err := st.finish(); err != nil {
		return err
	}
	if err := syncFolder(s.fs, s.staging); err != nil {
		return fmt.Errorf("install: %w", err)
	}
	if _, err := s.db.IngestAndExcise(context.Background(), slices.Clone(st.paths), nil, nil, s.span(g)); err != nil {
		return fmt.Errorf("install: %w", err)
	}
	s.unstage(g)
	return nil
}
