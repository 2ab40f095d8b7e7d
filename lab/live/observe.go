package live

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/door/http/remote"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/lab"
	"github.com/gamutdb/gamut/machine"
	"github.com/gamutdb/gamut/referee"
)

// statusWithin is how long a node may take to describe itself.
const statusWithin = 3 * time.Second

func (w *World) status(ctx context.Context, m *member) (kv.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, statusWithin)
	defer cancel()
	return m.remote.Status(ctx)
}

// someone is a node that can be asked.
func (w *World) someone() (*member, error) {
	for _, id := range w.nodes {
		if m := w.members[id]; !m.paused && w.runs(id) {
			return m, nil
		}
	}
	return nil, errors.New("no node runs that could be asked; start one, or resume it")
}

// describe asks what a keyspace is made of.
func (w *World) describe(ctx context.Context, keyspace string) (kv.KeyspaceInfo, error) {
	m, err := w.someone()
	if err != nil {
		return kv.KeyspaceInfo{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, statusWithin)
	defer cancel()
	return m.remote.Keyspace(ctx, keyspace)
}

// Replicas is lab.World's.
func (w *World) Replicas(ctx context.Context, keyspace string) ([]lab.Replica, error) {
	info, err := w.describe(ctx, keyspace)
	if err != nil {
		return nil, err
	}
	var list []lab.Replica
	for _, id := range w.nodes {
		m := w.members[id]
		seen := lab.Replica{Node: id, Up: w.runs(id), Paused: m.paused}
		var st kv.Status
		if seen.Up && !seen.Paused {
			if st, err = w.status(ctx, m); err != nil {
				seen.Up = false // whoever does not answer cannot be told from one that does not run
			}
		}
		for _, g := range info.Groups {
			for replica, node := range g.Replicas {
				if core.NodeID(node) == id {
					list = append(list, about(seen, info.Name, g, replica, st.Groups))
				}
			}
		}
	}
	slices.SortFunc(list, func(a, b lab.Replica) int { return cmp.Or(a.Shard-b.Shard, cmp.Compare(a.Node, b.Node)) })
	return list, nil
}

// about fills in what a node says of one of its replicas.
func about(seen lab.Replica, keyspace string, g kv.GroupInfo, replica string, told []kv.GroupStatus) lab.Replica {
	seen.Shard = g.Shard
	number, _ := strconv.ParseUint(replica, 10, 32) // 0 if it is none, which no replica has
	seen.Status = kv.GroupStatus{Group: g.Group, Keyspace: keyspace, Shard: g.Shard, Replica: uint32(number)}
	for _, s := range told {
		if s.Group == g.Group {
			seen.Status = s
		}
	}
	return seen
}

// State is lab.World's.
func (w *World) State(ctx context.Context, node core.NodeID, keyspace string) ([]lab.Item, error) {
	m, err := w.answering(node)
	if err != nil {
		return nil, err
	}
	return w.hold(ctx, m, keyspace)
}

// hold reads what a node's replicas hold. It may be called by many at once.
func (w *World) hold(ctx context.Context, m *member, keyspace string) ([]lab.Item, error) {
	info, err := m.remote.Keyspace(ctx, keyspace)
	if err != nil {
		return nil, err
	}
	var list []lab.Item
	for _, g := range info.Groups {
		for _, host := range g.Replicas {
			if core.NodeID(host) != m.id {
				continue
			}
			read := w.groupState
			if info.Consistency != kv.Linearizable && info.Consistency != kv.Sequential {
				read = w.weakState
			}
			items, err := read(ctx, m, g.Group)
			if err != nil {
				return nil, err
			}
			list = append(list, items...)
		}
	}
	slices.SortFunc(list, func(a, b lab.Item) int { return bytes.Compare(a.Key, b.Key) })
	return list, nil
}

// answering finds a node that runs and is not paused.
func (w *World) answering(node core.NodeID) (*member, error) {
	m, err := w.member(node)
	switch {
	case err != nil:
		return nil, err
	case !w.runs(node):
		return nil, fmt.Errorf("node %d does not run", node)
	case m.paused:
		return nil, fmt.Errorf("node %d is paused", node)
	}
	return m, nil
}

func (w *World) groupState(ctx context.Context, m *member, group uint64) ([]lab.Item, error) {
	var list []lab.Item
	for from := []byte(nil); ; {
		var page kv.StatePage
		path := "/v1/lab/groups/" + strconv.FormatUint(group, 10) + "/state"
		if err := m.remote.JSON(ctx, remote.Request{Method: "GET", Path: path, Query: url.Values{"from": {string(from)}}}, &page); err != nil {
			return nil, fmt.Errorf("node %d: %w", m.id, err)
		}
		for _, item := range page.Items {
			r, err := machine.DecodeRecord(item.Record)
			if err != nil {
				return nil, fmt.Errorf("node %d, key %q: %w", m.id, item.Key, err)
			}
			list = append(list, lab.Item{Key: item.Key, Value: r.Value, Version: r.Version, Flags: r.Flags, ExpireAt: r.ExpireAt})
		}
		if from = page.Next; from == nil {
			return list, nil
		}
	}
}

// weakState is groupState where records have a form of their own.
func (w *World) weakState(ctx context.Context, m *member, group uint64) (list []lab.Item, err error) {
	items, err := w.inspect(ctx, m, group)
	for _, item := range items {
		if !item.Deleted && (item.ExpireAt == 0 || item.ExpireAt > time.Now().UnixMilli()) {
			list = append(list, lab.Item{Key: item.Key, Value: item.Value, Version: item.Version, Origin: item.Origin, Flags: item.Flags, ExpireAt: item.ExpireAt})
		}
	}
	return list, err
}

// inspect reads all that a node's replica of a group holds, tombstones included.
func (w *World) inspect(ctx context.Context, m *member, group uint64) (list []kv.InspectItem, err error) {
	const page = 4096
	for from := []byte(nil); ; {
		p, err := m.remote.Inspect(ctx, group, from, false, page)
		if err != nil {
			return nil, fmt.Errorf("node %d: %w", m.id, err)
		}
		list = append(list, p.Items...)
		if from = p.Next; from == nil {
			return list, nil
		}
	}
}

// records are what all replicas of a keyspace hold, for the referee. Those that end one day are left out: when they are
// removed is each replica's affair.
func (w *World) records(ctx context.Context, keyspace string) (list []referee.Replica, err error) {
	info, err := w.describe(ctx, keyspace)
	if err != nil {
		return nil, err
	}
	for _, g := range info.Groups {
		for _, node := range slices.Sorted(maps.Values(g.Replicas)) {
			m, err := w.answering(core.NodeID(node))
			if err != nil {
				return nil, err
			}
			items, err := w.inspect(ctx, m, g.Group)
			if err != nil {
				return nil, err
			}
			p := referee.Replica{Node: node, Group: g.Group, Records: map[string]referee.Record{}}
			for i := range items {
				if items[i].ExpireAt == 0 {
					p.Records[string(items[i].Key)] = lab.RecordOf(&items[i])
				}
			}
			list = append(list, p)
		}
	}
	return list, nil
}

// Blocks is lab.World's.
func (w *World) Blocks(ctx context.Context, node core.NodeID, keyspace string, shard int) ([]kv.BlockInfo, error) {
	m, err := w.answering(node)
	if err != nil {
		return nil, err
	}
	info, err := m.remote.Keyspace(ctx, keyspace)
	if err != nil {
		return nil, err
	}
	if shard < 0 || shard >= len(info.Groups) {
		return nil, fmt.Errorf("keyspace %s has no shard %d", keyspace, shard)
	}
	var all []kv.BlockInfo
	for from := uint64(0); ; {
		list, err := m.remote.Blocks(ctx, info.Groups[shard].Group, from, 1000, true)
		if err != nil || len(list) == 0 {
			return all, err
		}
		all = append(all, list...)
		from = list[len(list)-1].Index + 1
	}
}

// readResult reads the answer to a command. What does not read is no answer.
func readResult(body io.Reader) (r kv.Result) {
	b, err := io.ReadAll(body)
	if err == nil {
		_, err = kv.DecodeResult(b, &r)
	}
	if err != nil {
		return kv.Result{Code: kv.Unknown, Detail: "the answer broke off: " + err.Error()}
	}
	return r
}
