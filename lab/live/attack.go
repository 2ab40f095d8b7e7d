package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/door/http/remote"
	"github.com/gamutdb/gamut/lab"
	"github.com/gamutdb/gamut/lab/inject"
)

var errElsewhere = fmt.Errorf("the processes of this cluster were not started here: %w; leave out --addr to start some", lab.ErrCannot)

// owned finds a node whose process is ours.
func (w *World) owned(node core.NodeID) (*member, error) {
	m, err := w.member(node)
	if err == nil && w.processes == nil {
		err = errElsewhere
	}
	return m, err
}

func (w *World) member(node core.NodeID) (*member, error) {
	m := w.members[node]
	if m == nil {
		return nil, fmt.Errorf("there is no node %d; the nodes are %v", node, w.nodes)
	}
	return m, nil
}

// runs says whether a node's process is there, as far as is known here.
func (w *World) runs(node core.NodeID) bool { return w.processes == nil || w.processes.Runs(node) }

// Start is lab.Attacks'.
func (w *World) Start(ctx context.Context, nodes ...core.NodeID) error {
	for _, id := range nodes {
		if _, err := w.owned(id); err != nil {
			return err
		}
		if err := w.processes.Start(id); err != nil {
			return err
		}
	}
	for _, id := range nodes {
		if err := w.awaitDoor(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// awaitDoor waits until a node that was started answers.
func (w *World) awaitDoor(ctx context.Context, node core.NodeID) error {
	var last error
	ok, err := w.Until(ctx, patience, func() bool {
		if !w.processes.Runs(node) {
			last = fmt.Errorf("node %d did not start: %s", node, w.processes.Ended(node))
			return true
		}
		_, last = w.status(ctx, w.members[node])
		return last == nil
	})
	if err == nil && (!ok || last != nil) {
		err = fmt.Errorf("start node %d: %w", node, last)
	}
	return err
}

// Crash is lab.Attacks'. A process that is killed keeps what it gave to the system: other tails are beyond a live world.
func (w *World) Crash(_ context.Context, tail lab.Tail, nodes ...core.NodeID) error {
	if tail == lab.TailLost || tail == lab.TailTorn {
		return fmt.Errorf("kill -9 leaves what was written, and to lose it a machine must lose its power: %w; say kept, or use the simulator", lab.ErrCannot)
	}
	var failed error
	for _, id := range nodes {
		m, err := w.owned(id)
		if err == nil {
			err = w.processes.Signal(id, syscall.SIGKILL)
		}
		if err == nil {
			// What was set while it was paused must be there when it starts again.
			m.paused = false
			err = w.settle(m)
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

// Stop ends nodes in order, as an operator does, and returns when they have ended.
func (w *World) Stop(ctx context.Context, nodes ...core.NodeID) error {
	for _, id := range nodes {
		if _, err := w.owned(id); err != nil {
			return err
		}
		if err := w.processes.Signal(id, syscall.SIGTERM); err != nil {
			return err
		}
	}
	ok, err := w.Until(ctx, patience, func() bool {
		for _, id := range nodes {
			if w.processes.Runs(id) {
				return false
			}
		}
		return true
	})
	if err == nil && !ok {
		err = fmt.Errorf("nodes %v have not stopped within %v", nodes, patience)
	}
	return err
}

// stopped finds a node of ours that does not run, and its folder.
func (w *World) stopped(node core.NodeID) (dir string, err error) {
	if _, err := w.owned(node); err != nil {
		return "", err
	}
	if w.processes.Runs(node) {
		return "", fmt.Errorf("node %d runs; crash it first", node)
	}
	return w.processes.Dir(node), nil
}

// Wipe is lab.Attacks'. The settings of the lab stay.
func (w *World) Wipe(_ context.Context, node core.NodeID) error {
	dir, err := w.stopped(node)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if e.Name() != inject.FileName {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return fmt.Errorf("wipe node %d: %w", node, err)
			}
		}
	}
	return nil
}

// Damage is lab.Attacks'.
func (w *World) Damage(_ context.Context, node core.NodeID, d lab.Damage) error {
	dir, err := w.stopped(node)
	if err != nil {
		return err
	}
	if err := damage(dir, d); err != nil {
		return fmt.Errorf("damage the disk of node %d: %w", node, err)
	}
	return nil
}

// Pause is lab.Attacks'.
func (w *World) Pause(_ context.Context, node core.NodeID) error {
	m, err := w.owned(node)
	if err != nil {
		return err
	}
	if err := w.processes.Signal(node, syscall.SIGSTOP); err != nil {
		return err
	}
	m.paused = true
	return nil
}

// Resume is lab.Attacks'.
func (w *World) Resume(ctx context.Context, node core.NodeID) error {
	m, err := w.owned(node)
	if err != nil {
		return err
	}
	if !m.paused {
		return fmt.Errorf("node %d is not paused", node)
	}
	if err := w.processes.Signal(node, syscall.SIGCONT); err != nil {
		return err
	}
	m.paused = false
	later := m.later
	m.later = nil
	for _, q := range later {
		if err := w.set(ctx, node, q); err != nil {
			return err
		}
	}
	return nil
}

// SetLink is lab.Attacks'. What happens to a frame is decided where it arrives; a cut is made at both ends, so that nothing
// waits in between.
func (w *World) SetLink(ctx context.Context, from, to core.NodeID, l lab.Link) error {
	if from == to {
		return fmt.Errorf("there is no link from node %d to itself", from)
	}
	var out inject.Link
	if l.Flap == 0 { // the two ends would not flap together
		out.Down = l.Down
	}
	if err := w.put(ctx, to, fmt.Sprintf("/v1/lab/links/%d/in", from), linkOf(l)); err != nil {
		return err
	}
	return w.put(ctx, from, fmt.Sprintf("/v1/lab/links/%d/out", to), out)
}

// SetDisk is lab.Attacks'.
func (w *World) SetDisk(ctx context.Context, node core.NodeID, d lab.Disk) error {
	if d.SyncError && !w.runs(node) {
		return fmt.Errorf("node %d does not run: a sync fails while somebody syncs: %w", node, lab.ErrCannot)
	}
	return w.put(ctx, node, "/v1/lab/disk", diskOf(d))
}

// SetClock is lab.Attacks'.
func (w *World) SetClock(ctx context.Context, node core.NodeID, c lab.Clock) error {
	return w.put(ctx, node, "/v1/lab/clock", clockOf(c))
}

// linkOf, diskOf and clockOf are the faults as nodes take them.
func linkOf(l lab.Link) inject.Link {
	return inject.Link{Down: l.Down, Flap: inject.Duration(l.Flap), Delay: inject.Duration(l.Delay), Jitter: inject.Duration(l.Jitter),
		Loss: l.Loss, Duplicate: l.Duplicate, Reorder: l.Reorder}
}

func diskOf(d lab.Disk) inject.Disk {
	return inject.Disk{SyncDelay: inject.Duration(d.SyncDelay), Hung: d.Hung, SyncError: d.SyncError, Full: d.Full}
}

func clockOf(c lab.Clock) inject.Clock {
	return inject.Clock{Offset: inject.Duration(c.Offset), Rate: c.Rate}
}

func (w *World) put(ctx context.Context, node core.NodeID, path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.set(ctx, node, remote.Request{Method: "PUT", Path: path, Body: b})
}

// set changes a node's settings: through its door, in its file if it does not run, or later if it is paused.
func (w *World) set(ctx context.Context, node core.NodeID, q remote.Request) error {
	m, err := w.member(node)
	if err != nil {
		return err
	}
	if m.paused {
		m.later = append(m.later, q)
		return nil
	}
	if !w.runs(node) {
		return w.edit(node, q)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := m.remote.JSON(ctx, q, new(any)); err != nil {
		if !w.runs(node) { // it ended just now, perhaps by an earlier fault
			return w.edit(node, q)
		}
		return fmt.Errorf("node %d: %w", node, err)
	}
	return nil
}

// settle writes what was set on a paused node into its file.
func (w *World) settle(m *member) error {
	later := m.later
	m.later = nil
	for _, q := range later {
		if err := w.edit(m.id, q); err != nil {
			return err
		}
	}
	return nil
}

func (w *World) edit(node core.NodeID, q remote.Request) error {
	dir := w.processes.Dir(node)
	s, err := inject.ReadFile(dir)
	if err != nil {
		return err
	}
	if err := s.Request(q.Method, q.Path, q.Body); err != nil {
		return fmt.Errorf("node %d: %w", node, err)
	}
	return inject.WriteFile(dir, s)
}

// Handoff is lab.Attacks'.
func (w *World) Handoff(ctx context.Context, keyspace string, shard int, to core.NodeID) error {
	replicas, err := w.Replicas(ctx, keyspace)
	if err != nil {
		return err
	}
	for _, r := range replicas {
		if r.Shard == shard && r.Up && core.NodeID(r.Status.Leader) == r.Node {
			path := "/v1/groups/" + strconv.FormatUint(r.Status.Group, 10) + "/handoff"
			query := map[string][]string{"to": {strconv.Itoa(int(to))}}
			return w.members[r.Node].remote.JSON(ctx, remote.Request{Method: "POST", Path: path, Query: query}, new(any))
		}
	}
	return fmt.Errorf("no node leads shard %d of keyspace %s at this moment", shard, keyspace)
}

// Inject is lab.Attacks'.
func (w *World) Inject(ctx context.Context, to core.NodeID, message []byte) (understood bool, err error) {
	m, err := w.member(to)
	if err != nil {
		return false, err
	}
	var answer struct{ Understood bool }
	err = m.remote.JSON(ctx, remote.Request{Method: "POST", Path: "/v1/lab/inject", Body: message}, &answer)
	return answer.Understood, err
}

// Heal ends all faults: nodes that do not run or are paused go on, links, disks and clocks are as they should be.
func (w *World) Heal(ctx context.Context) error {
	for _, id := range w.nodes {
		m := w.members[id]
		if m.paused {
			if err := w.Resume(ctx, id); err != nil {
				return err
			}
		}
		if err := w.set(ctx, id, remote.Request{Method: "DELETE", Path: "/v1/lab/faults"}); err != nil {
			return err
		}
		if !w.runs(id) {
			if err := w.Start(ctx, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// AwaitReady waits until nodes say that they can serve.
func (w *World) AwaitReady(ctx context.Context, limit time.Duration, nodes ...core.NodeID) error {
	for _, id := range nodes {
		var last error
		ok, err := w.Until(ctx, limit, func() bool {
			once, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			last = w.members[id].remote.Ready(once)
			return last == nil
		})
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("node %d is not ready after %v: %w", id, limit, last)
		}
	}
	return nil
}
