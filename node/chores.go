package node

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/gamutdb/gamut/host"
	"github.com/gamutdb/gamut/store"
	"github.com/gamutdb/gamut/values"
)

// alarms are what an operator should look at, by subject.
type alarms struct {
	mu   sync.Mutex
	text map[string]string
}

// set raises an alarm or changes its words; it reports whether it is a new one.
func (a *alarms) set(subject, text string) (raised bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.text == nil {
		a.text = map[string]string{}
	}
	_, before := a.text[subject]
	a.text[subject] = text
	return !before
}

func (a *alarms) clear(subject string) (cleared bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, before := a.text[subject]
	delete(a.text, subject)
	return before
}

func (a *alarms) raised(subject string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, raised := a.text[subject]
	return raised
}

func (a *alarms) list() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var list []string
	for _, subject := range slices.Sorted(maps.Keys(a.text)) {
		list = append(list, a.text[subject])
	}
	return list
}

// judge raises or clears an alarm, and logs the change.
func (n *Node) judgeAlarm(subject string, bad bool, text string) {
	switch {
	case bad && n.alarms.set(subject, text):
		n.log.Warn("alarm", "subject", subject, "text", text)
	case !bad && n.alarms.clear(subject):
		n.log.Info("alarm over", "subject", subject)
	}
}

// choresEvery is how often the clocks and the disk space are looked at.
const choresEvery = time.Second

const (
	// firstLook is how often the clocks are looked at until the node knows that it is fit to lead.
	firstLook = 50 * time.Millisecond
	// compareWithin is how long a new node waits to compare its clock with peers that it cannot hear.
	compareWithin = 3 * time.Second
)

// watch looks after the clocks, the disk space and kept states.
func (n *Node) watch(ctx context.Context) {
	ticker := time.NewTicker(firstLook)
	defer ticker.Stop()
	// A clock that is an hour ahead must not stamp a single block, so nobody leads before it has compared.
	unfit, first := len(n.everyPeer()) > 0, true
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		compared := n.watchClock(first)
		n.watchDisk()
		n.checkpoints.expire(n.clocks.mono())
		if first && (compared || time.Since(n.started) > compareWithin) {
			first = false
			ticker.Reset(choresEvery)
		}
		if now := first || n.skewed.Load() || n.diskFull.Load(); now != unfit {
			unfit = now
			n.inbox.call(func(host.Now) { n.host.SetUnfit(now) })
		}
	}
}

// watchClock judges this node's clock by its peers'. It reports whether enough of them were heard for that: all, or some
// that agree with it.
func (n *Node) watchClock(first bool) (compared bool) {
	skews := n.skews()
	median, known := medianSkew(skews)
	agreed := len(skews) > 0
	for _, skew := range skews {
		agreed = agreed && skew.Abs() <= offsetLimit
	}
	if !first { // the time is bent once a second
		off := n.clocks.adjust(median, known)
		n.judgeAlarm("wall clock", off.Abs() > offsetLimit,
			fmt.Sprintf("the wall clock is %v off the time that this node goes by; check the time service", off.Round(time.Millisecond)))
	}
	skewed := known && median.Abs() > offsetLimit
	n.judgeAlarm("clock skew", skewed,
		fmt.Sprintf("this node's time is %v off the others'; it leads nothing until its clock is set right", -median.Round(time.Millisecond)))
	n.skewed.Store(skewed)
	return agreed || len(skews) == len(n.everyPeer())
}

// skews are how far ahead the clocks of the peers are that are heard.
func (n *Node) skews() []time.Duration {
	var list []time.Duration
	now := n.clocks.mono()
	for _, p := range n.everyPeer() {
		p.mu.Lock()
		if skew, ok := p.measured.skew(); ok && now-p.measured.heard < heardWithin {
			list = append(list, skew)
		}
		p.mu.Unlock()
	}
	return list
}

// reservePart is the default reserve as a part of the file system, reserveMin its least.
const (
	reservePart = 100
	reserveMin  = 64 << 20
)

func (n *Node) watchDisk() {
	usage, err := n.fs.GetDiskUsage(n.config.Dir)
	if err != nil {
		n.judgeAlarm("disk space", true, "the free space of the disk cannot be read: "+err.Error())
		return
	}
	free := usage.AvailBytes
	full := free < n.reserve
	n.judgeAlarm("disk space", full,
		fmt.Sprintf("%d MiB are free on the disk of %s, %d are kept in reserve; this node takes no writes until there is room",
			free>>20, n.config.Dir, n.reserve>>20))
	n.diskFull.Store(full)
}

// ticks counts the periods that pass until the context ends: the numbers from 0 on.
func ticks(ctx context.Context, period time.Duration) iter.Seq[int] {
	return func(yield func(int) bool) {
		ticker := time.NewTicker(period)
		defer ticker.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			if !yield(i) {
				return
			}
		}
	}
}

// tend flushes the state and drops that of removed groups. Both sync and may take long.
func (n *Node) tend(ctx context.Context) {
	flushed := time.Now()
	for range ticks(ctx, choresEvery) {
		if err := errors.Join(n.dropAll(), n.unmarkDisk()); err != nil {
			n.fail(err)
			return
		}
		if n.disk.NeedsStock() && !n.diskFull.Load() {
			if err := n.disk.Stock(); err != nil {
				n.log.Warn("disk", "report", err)
			}
		}
		due := time.Since(flushed) >= n.config.Timing.Flush && n.disk.LogBytesSinceFlush() > 0
		if !n.tableChanged.Swap(false) && !due && !n.disk.NeedsFlush() {
			continue
		}
		if err := n.disk.Flush(); err != nil {
			n.fail(err)
			return
		}
		flushed = time.Now()
	}
}

func (n *Node) dropAll() error {
	n.droppedMu.Lock()
	dropped := n.dropped
	n.dropped = nil
	n.droppedMu.Unlock()
	if len(dropped) == 0 {
		return nil
	}
	// The catalog's copy must not fall back, in a crash, to before what the replicas were dropped for: they would be started
	// again with nothing, under the old ids (rule M5).
	if err := n.disk.Flush(); err != nil {
		return err
	}
	n.awaitReads()
	for _, g := range dropped {
		if err := errors.Join(n.values.forget(g), n.disk.Drop(g), n.disk.Drop(values.Anteroom(g))); err != nil {
			return err
		}
		n.inbox.call(func(host.Now) {
			delete(n.dropping, g)
			n.catalogChanged = true // another replica of the group may wait for the place
		})
	}
	return nil
}

// awaitReads waits for those that found a permit before now: a read that is still on its way must not find an empty state
// where its replica has ended. Whoever comes later finds no permit there.
func (n *Node) awaitReads() {
	n.serving.Lock()
	defer n.serving.Unlock()
}

// writeLog makes batches durable, one after the other, until there are no more.
func (n *Node) writeLog() {
	for b := range n.batches {
		if err := n.disk.Append(store.Batch{HLCUpper: b.HLCUpper, Items: b.Items, Roll: b.Roll}); err != nil {
			n.fail(err)
			continue
		}
		n.counters.syncs.Add(1)
		n.counters.syncBytes.Add(uint64(b.Bytes))
		n.inbox.synced(syncedBatch{batch: b, needsRoll: n.disk.NeedsRoll()})
	}
}
