// Package inject hurts one running node on purpose: its links, its clocks, its disk.
//
// An Injector is what a node takes as its Faults: it lies around the node's file system and its clocks, and decides about
// each frame of a peer. It is told what to do over HTTP (door.go), only on nodes that were started for that. What is set
// stands in a file in the node's folder, so that it outlives the process; the file of a stopped node may be edited.
//
// Others rely on this: a setting replaces what was set before, the zero value heals, a setting out of bounds is refused
// whole; and what was held back for a delay is let go no earlier than the delay says, in order if it has to be.
//
// Start with Settings (settings.go), then Injector; links.go, disk.go and clock.go are the faults.
package inject

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gamutdb/gamut/core"
)

// FileName is the file of the settings in a node's folder.
const FileName = "lab.json"

// Injector hurts one node. It is the node's Faults.
type Injector struct {
	path  string
	links links
	disk  disk
	clock clock

	mu       sync.Mutex
	settings Settings
}

// New makes the injector of the node whose data lies in dir, with what its file says. monotonic is the machine's clock.
func New(dir string) (*Injector, error) {
	i := &Injector{path: filepath.Join(dir, FileName)}
	i.links.init()
	i.disk.init()
	settings, err := ReadFile(dir)
	if err != nil {
		return nil, err
	}
	i.settings = settings
	i.apply()
	return i, nil
}

// ReadFile reads the settings in a node's folder; without a file nothing is hurt.
func ReadFile(dir string) (Settings, error) {
	path := filepath.Join(dir, FileName)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Settings{}, nil
	}
	if err != nil {
		return Settings{}, fmt.Errorf("settings of the lab: %w", err)
	}
	var s Settings
	if err := json.Unmarshal(b, &s); err != nil {
		return Settings{}, fmt.Errorf("settings of the lab in %s: %w; remove the file to hurt nothing", path, err)
	}
	return s, s.Validate()
}

// WriteFile keeps the settings in a node's folder for its next start. A sync that is to fail once is not kept.
func WriteFile(dir string, s Settings) error {
	if err := s.Validate(); err != nil {
		return err
	}
	s.Disk.SyncError = false
	b, err := json.MarshalIndent(&s, "", "  ")
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, FileName), append(b, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("keep the settings of the lab: %w", err)
	}
	return nil
}

// Settings are what is set now. A sync error that struck is not in them any more.
func (i *Injector) Settings() Settings {
	i.mu.Lock()
	defer i.mu.Unlock()
	s := i.settings.clone()
	s.Disk.SyncError = i.disk.errorWaits()
	return s
}

// Change alters the settings, and their file first: a node that is killed at once starts again with them.
func (i *Injector) Change(alter func(*Settings) error) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	next := i.settings.clone()
	next.Disk.SyncError = i.disk.errorWaits()
	if err := alter(&next); err != nil {
		return err
	}
	if err := WriteFile(filepath.Dir(i.path), next); err != nil {
		return err
	}
	i.settings = next
	i.apply()
	return nil
}

// apply lets the parts follow the settings.
func (i *Injector) apply() {
	i.links.set(i.settings.In, i.settings.Out, time.Now())
	i.clock.set(i.settings.Clock)
	i.disk.set(i.settings.Disk)
}

// String lists what is hurt.
func (i *Injector) String() string {
	s := i.Settings()
	return s.String()
}

// Cut is the node's Faults'.
func (i *Injector) Cut(peer core.NodeID, towards bool) bool {
	return i.links.cut(peer, towards, time.Now())
}

// Arrive is the node's Faults'.
func (i *Injector) Arrive(from core.NodeID, ordered bool, deliver func()) {
	i.links.arrive(from, ordered, deliver)
}

func join(parts []string) string { return strings.Join(parts, "; ") }
