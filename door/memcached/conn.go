package memcached

import (
	"errors"
	"net"
	"syscall"
	"time"

	"github.com/gamutdb/gamut/kv"
)

// Sizes of a connection's input buffer: what an idle connection holds, what one holds that sent more than that in its last
// read, and from where on the bytes count against Options.InputMax.
const (
	bufferIdle = 1 << 10
	bufferBusy = 16 << 10
	bufferFree = 64 << 10
)

// readsAtFirst is how many values the first round of a connection reads. Each round that read little doubles it, so that
// a thousand gets of large values are not held in memory at once before their size is known.
const readsAtFirst = 1

// conn is one client's connection.
type conn struct {
	server *Server
	net    net.Conn

	buf        []byte
	start, end int
	// received is how much came since the buffer was last empty: whether this connection needs a large one.
	received int
	// held is what of the buffer counts in Server.inputHeld.
	held int64

	// What lasts from one round to the next:
	swallow  int64   // bytes of a refused value still to come
	keys     getKeys // a multi-get whose keys did not fit into one round
	readsMax int
	// want is how long the command at the start of the buffer is, as far as known; 0: unknown.
	want int
	// sessions are what the client has seen; they end with the connection.
	sessions kv.Sessions
}

func isTooManyFiles(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

func (c *conn) serve() {
	defer c.release()
	for {
		if !c.fill() {
			return
		}
		p := c.server.rounds.Get().(*pipeline)
		goOn := c.rounds(p)
		p.recycle()
		if !goOn {
			return
		}
	}
}

// rounds answers all complete commands of the buffer.
func (c *conn) rounds(p *pipeline) (goOn bool) {
	for c.start < c.end {
		used, closing := p.round(c)
		c.start += used
		if closing {
			return false
		}
		if used == 0 {
			return true
		}
	}
	return true
}

// fill reads once, with room for what the present command still lacks.
func (c *conn) fill() bool {
	if c.start == c.end {
		c.shrink()
	} else {
		c.end = copy(c.buf, c.buf[c.start:c.end])
		c.start = 0
		if c.received >= len(c.buf) && len(c.buf) < bufferBusy {
			c.grow()
		}
	}
	if c.end == len(c.buf) && !c.grow() {
		return false
	}
	n, err := c.net.Read(c.buf[c.end:])
	c.end += n
	c.received += n
	c.server.counters.bytesRead.Add(uint64(n))
	return err == nil || n > 0
}

// shrink empties the buffer and gives up what an idle connection should not hold.
func (c *conn) shrink() {
	size := bufferIdle
	if c.received > bufferIdle {
		size = bufferBusy
	}
	c.start, c.end, c.received = 0, 0, 0
	if len(c.buf) != size && (len(c.buf) > bufferBusy || len(c.buf) < size) {
		c.resize(make([]byte, size))
	}
}

// grow makes room for more of a command. It doubles instead of trusting an announced length: a client has to send what it
// wants us to hold.
func (c *conn) grow() bool {
	size := max(2*len(c.buf), bufferBusy)
	if c.want > 0 && size > c.want {
		size = max(c.want, bufferBusy)
	}
	if size > bufferFree && c.server.inputHeld.Load()+int64(size) > c.server.options.InputMax {
		return c.refuse()
	}
	next := make([]byte, size)
	copy(next, c.buf[:c.end])
	c.resize(next)
	return true
}

func (c *conn) resize(next []byte) {
	held := int64(0)
	if len(next) > bufferFree {
		held = int64(len(next))
	}
	c.server.inputHeld.Add(held - c.held)
	c.buf, c.held = next, held
}

// refuse gives up a large command that the node has no memory for; its remainder is swallowed.
func (c *conn) refuse() bool {
	if c.want == 0 {
		c.write([]byte("SERVER_ERROR out of memory reading request\r\n"))
		return false
	}
	c.swallow = int64(c.want - c.end)
	c.want = 0
	c.end = 0
	c.resize(make([]byte, bufferBusy))
	return c.write([]byte("SERVER_ERROR out of memory storing object\r\n"))
}

func (c *conn) release() { c.resize(nil) }

// write sends everything, or reports that the client is gone or does not read.
func (c *conn) write(b []byte) bool {
	for len(b) > 0 {
		// One deadline for each piece, so that a slow line may take its time for a large value.
		piece := b[:min(len(b), 64<<10)]
		c.net.SetWriteDeadline(time.Now().Add(c.server.options.WriteTimeout))
		n, err := c.net.Write(piece)
		c.server.counters.bytesWritten.Add(uint64(n))
		if err != nil {
			return false
		}
		b = b[n:]
	}
	return true
}
