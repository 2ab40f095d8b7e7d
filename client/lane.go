package client

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// laneWidth is how many numbers of a lane may be unanswered: the cluster keeps as many answers, and a few more.
	laneWidth = 48
	// laneLife is how long new numbers are given: a session must be taken up by each shard while it is young.
	laneLife = 2 * time.Minute
)

// lane is a name under which the cluster executes each number once.
type lane struct {
	client [16]byte
	born   time.Time
	last   uint64
	open   []uint64
}

// lanes gives numbers to writes, so that they can be sent again.
type lanes struct {
	mu   sync.Mutex
	list []*lane
	// ahead is how far the cluster's clock is ahead of ours: names begin with the time of their making by its clock.
	ahead time.Duration
}

// ticket is the number of one write.
type ticket struct {
	lane *lane
	seq  uint64
}

// take gives the next number, on a new lane if need be.
func (l *lanes) take() (ticket, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.list = slices.DeleteFunc(l.list, func(one *lane) bool { return len(one.open) == 0 && now.Sub(one.born) > laneLife })
	for _, one := range l.list {
		// The width counts from the lowest unanswered number: the cluster forgets only below it.
		if now.Sub(one.born) <= laneLife && (len(one.open) == 0 || one.last-one.open[0]+1 < laneWidth) {
			return one.next(), nil
		}
	}
	one := &lane{born: now}
	if _, err := rand.Read(one.client[6:]); err != nil {
		return ticket{}, fmt.Errorf("a name for a session: %w", err)
	}
	var created [8]byte
	binary.BigEndian.PutUint64(created[:], uint64(now.Add(l.ahead).UnixMilli())<<16)
	copy(one.client[:6], created[:6])
	l.list = append(l.list, one)
	return one.next(), nil
}

func (one *lane) next() ticket {
	one.last++
	one.open = append(one.open, one.last)
	return ticket{one, one.last}
}

// header is the value of Gamut-Request for a number.
func (l *lanes) header(t ticket) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := hex.EncodeToString(t.lane.client[:]) + "-" + fmt.Sprint(t.seq)
	if acked := t.lane.open[0] - 1; acked > 0 {
		text += "-" + fmt.Sprint(acked)
	}
	return text
}

// give ends a number. One whose outcome is not known stays open, so that the cluster never takes a later write for it; its
// lane gives no more numbers then, and is forgotten.
func (l *lanes) give(t ticket, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !known {
		l.list = slices.DeleteFunc(l.list, func(one *lane) bool { return one == t.lane })
		return
	}
	t.lane.open = slices.DeleteFunc(t.lane.open, func(seq uint64) bool { return seq == t.seq })
}

// now is the time by the cluster's clock.
func (l *lanes) now() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Add(l.ahead)
}

// learn takes note of the cluster's clock.
func (l *lanes) learn(date string) {
	at, err := time.Parse(time.RFC1123, date)
	if err != nil {
		return
	}
	l.mu.Lock()
	l.ahead = time.Until(at)
	l.mu.Unlock()
}
