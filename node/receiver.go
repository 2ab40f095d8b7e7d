package node

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/keyspace"
)

// strangersMax bounds the connections that have not said who they are.
const strangersMax = 64

// accept takes connections from peers until the listener is closed.
func (n *Node) accept(ctx context.Context) {
	strangers := make(chan struct{}, strangersMax)
	for {
		conn, err := n.listener.Accept()
		if ctx.Err() != nil {
			if err == nil {
				conn.Close()
			}
			return
		}
		if err != nil {
			n.log.Warn("accept a peer's connection", "error", err)
			time.Sleep(backoffMin) // out of files: give others the time to close some
			continue
		}
		strangers <- struct{}{}
		n.workers.Add(1)
		go func() {
			defer n.workers.Done()
			defer conn.Close()
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			defer stop()
			p, err := n.welcome(conn)
			<-strangers // who asks to join may wait long, and must not keep peers out
			if errors.Is(err, errJoins) {
				err = n.admitJoiner(conn)
			}
			if err != nil || p == nil {
				if err != nil && ctx.Err() == nil {
					n.log.Warn("refused a connection", "from", conn.RemoteAddr().String(), "error", err)
				}
				return
			}
			n.hear(ctx, p, conn)
		}()
	}
}

// welcome hears who it is and answers; the answer says why not, if not.
func (n *Node) welcome(conn net.Conn) (*peer, error) {
	if err := conn.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return nil, err
	}
	theirs, err := readHello(conn)
	if err != nil {
		return nil, err
	}
	if n.cut(theirs.node, false) {
		return nil, fmt.Errorf("node %d: %w", theirs.node, errCut)
	}
	mine := n.hello()
	mine.refused = n.judge(&theirs)
	if _, err := conn.Write(mine.append(nil)); err != nil {
		return nil, fmt.Errorf("greet node %d: %w", theirs.node, err)
	}
	if mine.refused != refusedNot {
		return nil, fmt.Errorf("node %d with disk %v: %w", theirs.node, theirs.store, mine.refused)
	}
	p := n.peer(theirs.node)
	if p == nil {
		return nil, fmt.Errorf("node %d left the cluster: %w", theirs.node, refusedNode)
	}
	p.mu.Lock()
	old := p.in
	p.in, p.store = conn, theirs.store
	p.hearing.Store(true)
	p.mu.Unlock()
	if old != nil {
		// The peer began anew: what it was asked on the old connection it may never have heard.
		old.Close()
		n.peerDown(p.id)
	}
	return p, conn.SetDeadline(time.Time{})
}

// hear reads frames until the connection ends.
func (n *Node) hear(ctx context.Context, p *peer, conn net.Conn) {
	err := n.readFrames(p, conn)
	p.mu.Lock()
	last := p.in == conn
	if last {
		p.in = nil
		p.hearing.Store(false)
	}
	p.mu.Unlock()
	if ctx.Err() == nil && last {
		n.log.Warn("a peer's connection ended", "peer", p.id, "error", err)
		n.peerDown(p.id)
	}
}

func (n *Node) readFrames(p *peer, conn net.Conn) error {
	r := bufio.NewReaderSize(conn, 64<<10)
	var head [frameHead]byte
	if err := conn.SetReadDeadline(time.Now().Add(silence)); err != nil {
		return err
	}
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return err
		}
		size, err := frameLength(head[:])
		if err != nil {
			return err
		}
		body := make([]byte, size) // the commands and messages in it keep it
		if _, err := io.ReadFull(r, body); err != nil {
			return err
		}
		t, err := openFrame(head[:], body)
		if err != nil {
			return err
		}
		if n.cut(p.id, false) {
			continue // neither heard nor seen: the deadline of silence runs on
		}
		if t.sent != 0 {
			now := time.Now()
			n.observe(p, t, now)
			if err := conn.SetReadDeadline(now.Add(silence)); err != nil {
				return err
			}
		}
		if size == 0 {
			continue
		}
		parcels, err := readParcels(n.parcels.get(), body, n.decodeMessage)
		if err != nil {
			return fmt.Errorf("a frame of node %d: %w", p.id, err)
		}
		if !n.arrive(frameIn{from: p.id, parcels: parcels}, size) {
			return nil
		}
	}
}

func (n *Node) observe(p *peer, t times, seen time.Time) {
	now := n.clocks.mono()
	wall := n.clocks.millis(now)
	p.mu.Lock()
	p.measured.observe(t, now, wall, seen)
	p.mu.Unlock()
}

// decodeMessage reads a message for a group that this node knows.
func (n *Node) decodeMessage(g core.GroupID, b []byte) (core.Message, error) {
	s := n.table.Load().groups[g]
	if s == nil {
		return nil, nil
	}
	return keyspace.DecodeMessage(s.space.descriptor.Consistency, b)
}

func (n *Node) hello() hello {
	return hello{version: wireVersion, cluster: n.identity.Cluster, node: n.config.Node, store: n.identity.Store, boot: n.identity.Boot}
}

// judge says whether this node speaks with one that greets so.
func (n *Node) judge(h *hello) refusal {
	mine := n.hello()
	if n.table.Load().catalog.Nodes[h.node].State == keyspace.NodeRemoved && h.cluster == mine.cluster {
		return refusedRemoved
	}
	return h.judge(&mine, n.table.Load().catalog.Nodes[h.node].Store, n.peer(h.node) != nil)
}
