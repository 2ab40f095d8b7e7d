package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/host"
)

const (
	dialTimeout      = 2 * time.Second
	handshakeTimeout = 5 * time.Second
	// keepAlive is how often an idle connection says that it lives, and carries the clocks.
	keepAlive = 500 * time.Millisecond
	// silence is after how long without a frame a connection is given up, in either direction.
	silence = 10 * time.Second
	// timesEvery is how often frames carry the clocks: reading them costs a system call on each side.
	timesEvery = 10 * time.Millisecond
	// silenceSlack is by how much less a deadline of silence may allow: setting it for each frame costs more than it helps.
	silenceSlack = time.Second
	backoffMin   = 50 * time.Millisecond
	backoffMax   = time.Second
	// refusedWait is how long to leave a peer alone that will not speak with us.
	refusedWait = 2 * time.Second
)

// speak keeps a connection to a peer, until the node closes.
func (n *Node) speak(ctx context.Context, p *peer) {
	backoff := backoffMin
	for ctx.Err() == nil {
		began := time.Now()
		err := n.speakOnce(ctx, p)
		if ctx.Err() != nil {
			return
		}
		n.tellTrouble(p, err)
		if time.Since(began) > backoffMax {
			backoff = backoffMin
		}
		var refused refusal
		if errors.As(err, &refused) {
			backoff = refusedWait
		}
		select {
		case <-ctx.Done():
		case <-time.After(backoff/2 + rand.N(backoff)):
		}
		backoff = min(2*backoff, backoffMax)
	}
}

// tellTrouble logs why there is no connection, once for each reason.
func (n *Node) tellTrouble(p *peer, err error) {
	p.mu.Lock()
	before := p.trouble
	p.trouble = err.Error()
	p.mu.Unlock()
	if before != err.Error() {
		n.log.Warn("no connection to a peer", "peer", p.id, "address", p.address(), "error", err)
	}
	if errors.Is(err, errOurDisk) || errors.Is(err, errRemoved) {
		n.fail(err)
	}
}

var errOurDisk = errors.New("the disk is not the one that the cluster knows for this node: " +
	"start it with its own folder, or let it join as a new node")

var errRemoved error = refusedRemoved

func (n *Node) speakOnce(ctx context.Context, p *peer) error {
	if n.cut(p.id, true) {
		return errCut
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", p.address())
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	theirs, err := n.greet(conn, p)
	if err != nil {
		return err
	}
	p.opened(conn, theirs.store)
	n.inbox.call(func(now host.Now) { n.host.PeerUp(now, p.id) })
	n.log.Info("connected to a peer", "peer", p.id, "address", p.address(), "boot", theirs.boot)
	// The peer says nothing on this connection; whatever can be read is its end.
	n.workers.Add(1)
	go func() {
		defer n.workers.Done()
		var one [1]byte
		_, _ = conn.Read(one[:])
		conn.Close()
		p.signal()
	}()
	err = n.send(ctx, p, conn)
	p.closed(err.Error())
	n.peerDown(p.id)
	return err
}

// greet says hello and hears what the peer says to it.
func (n *Node) greet(conn net.Conn, p *peer) (hello, error) {
	if err := conn.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return hello{}, err
	}
	mine := n.hello()
	if _, err := conn.Write(mine.append(nil)); err != nil {
		return hello{}, fmt.Errorf("greet: %w", err)
	}
	theirs, err := readHello(conn)
	if err != nil {
		return hello{}, fmt.Errorf("greet: %w", err)
	}
	switch refused := n.judge(&theirs); {
	case theirs.refused == refusedStore:
		return hello{}, fmt.Errorf("node %d refuses this one: %w", theirs.node, errOurDisk)
	case theirs.refused == refusedRemoved:
		return hello{}, fmt.Errorf("node %d refuses this one: %w", theirs.node, errRemoved)
	case theirs.refused != refusedNot:
		return hello{}, fmt.Errorf("the peer refuses this node: %w", theirs.refused)
	case refused != refusedNot:
		return hello{}, refused
	case theirs.node != p.id:
		return hello{}, refusedNode
	}
	return theirs, conn.SetDeadline(time.Time{})
}

// send writes what waits for the peer, all of it at once.
func (n *Node) send(ctx context.Context, p *peer, conn net.Conn) error {
	ticker := time.NewTicker(keepAlive)
	defer ticker.Stop()
	var frames [][]byte
	var buffers net.Buffers
	idle := make([]byte, frameHead)
	var timed, limited time.Time
	for {
		alive := false
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.wake:
		case <-ticker.C:
			alive = true
		}
		frames = p.take(frames)
		if n.cut(p.id, true) {
			frames = p.recycle(frames)
			continue
		}
		buffers = buffers[:0]
		var t times
		now := time.Now()
		if alive || now.Sub(timed) >= timesEvery {
			t, timed = p.times(n.clocks), now
		}
		for _, f := range frames {
			sealFrame(f, t)
			buffers = append(buffers, f)
		}
		if len(frames) == 0 {
			if !alive {
				// Woken for nothing, or because the connection ended.
				if _, err := conn.Write(nil); err != nil {
					return err
				}
				continue
			}
			sealFrame(idle, t)
			buffers = append(buffers, idle)
		}
		if now.Sub(limited) >= silenceSlack {
			if err := conn.SetWriteDeadline(now.Add(silence)); err != nil {
				return err
			}
			limited = now
		}
		writing := buffers // WriteTo eats its receiver
		if _, err := writing.WriteTo(conn); err != nil {
			return err
		}
		frames = p.recycle(frames)
	}
}

// peerDown tells the loop that a connection broke. There are two with each peer; while the one to it stands, it is up.
func (n *Node) peerDown(id core.NodeID) {
	n.inbox.call(func(now host.Now) {
		n.host.PeerDown(now, id)
		// Who was removed from the cluster is no peer any more.
		if p := n.peer(id); p != nil && p.connected.Load() {
			n.host.PeerUp(now, id)
		}
	})
}
