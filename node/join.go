package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/keyspace"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/store"
)

// A node joins a running cluster by asking a member, at the address where members meet. The member gives it an id that was
// never given, by a change of the catalog, and tells it who is there. The answer is kept in the folder before the node
// speaks under its id; a lost answer is asked for again with the same ticket.

// Membership is what a node was told when it joined.
type Membership struct {
	Cluster keyspace.StoreID `json:"cluster"`
	Node    core.NodeID      `json:"node"`
	// Peers are where the nodes of the cluster meet, this one included.
	Peers map[core.NodeID]string `json:"peers"`
	// System are the catalog's members, this node's replica among them.
	System *keyspace.Descriptor `json:"system"`
}

// joinFile is what the file holds: the ticket first, the answer when it is there.
type joinFile struct {
	Ticket     string      `json:"ticket"`
	Membership *Membership `json:"membership,omitempty"`
}

// joinRequest asks for membership.
type joinRequest struct {
	Ticket  string `json:"ticket"`
	Address string `json:"address"`
}

type joinAnswer struct {
	Membership *Membership `json:"membership,omitempty"`
	Code       kv.Code     `json:"code,omitempty"`
	Detail     string      `json:"detail,omitempty"`
}

var joinMagic = []byte("GAMUTJOIN\n")

// joinMax bounds a request or an answer.
const joinMax = 1 << 20

// Join makes the folder one of a member of the cluster that the node at through belongs to, and returns as what. A folder
// that has joined before is taken at its word, and nobody is asked. address is where the others will meet this node.
func Join(ctx context.Context, dir, through, address string) (*Membership, error) {
	path := filepath.Join(dir, store.MembershipName)
	file, err := readJoinFile(path)
	if err != nil || file.Membership != nil {
		return file.Membership, err
	}
	// The cluster would give it an id for nothing: a disk that has an owner keeps it.
	if _, err := os.Stat(filepath.Join(dir, store.IdentityName)); err == nil {
		return nil, fmt.Errorf("the folder %s belongs to a node already, and %s does not say that it has joined; give an empty folder, "+
			"or restore that file", dir, path)
	}
	if file.Ticket == "" {
		file.Ticket = rand.Text()
		if err := writeJoinFile(dir, path, &file); err != nil {
			return nil, err
		}
	}
	m, err := askToJoin(ctx, through, joinRequest{file.Ticket, address})
	if err != nil {
		return nil, fmt.Errorf("join through %s: %w", through, err)
	}
	file.Membership = m
	return m, writeJoinFile(dir, path, &file)
}

func readJoinFile(path string) (f joinFile, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return f, fmt.Errorf("read what this node was told when it joined: %w", err)
	}
	if err = json.Unmarshal(b, &f); err == nil && f.Membership != nil {
		err = f.Membership.check()
	}
	if err != nil {
		return joinFile{}, fmt.Errorf("%s is damaged: %w; restore it, or join again with an empty folder", path, err)
	}
	return f, nil
}

// check tells what is missing.
func (m *Membership) check() error {
	switch {
	case m.Node == 0 || !isAddress(m.Peers[m.Node]):
		return fmt.Errorf("it names node %d, and no address of it", m.Node)
	case m.System == nil:
		return errors.New("it does not name the members of the catalog")
	}
	d, err := keyspace.DecodeDescriptor(m.System.Encode())
	if err == nil && (d.Name != keyspace.SystemName || len(d.Shards) != 1 || d.Shards[0].On(m.Node) == 0 || d.Shards[0].Founders == nil) {
		err = fmt.Errorf("it does not make node %d a member of the catalog", m.Node)
	}
	return err
}

// writeJoinFile replaces the file at once and durably.
func writeJoinFile(dir, path string, f *joinFile) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	next := path + ".new" // as the store calls what is being written
	if err := writeSynced(next, b); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return err
	}
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

func writeSynced(path string, b []byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

func askToJoin(ctx context.Context, through string, q joinRequest) (*Membership, error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", through)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if _, err := conn.Write(joinMagic); err != nil {
		return nil, err
	}
	if err := writeJSON(conn, &q); err != nil {
		return nil, err
	}
	var a joinAnswer
	if err := readJSON(conn, &a); err != nil {
		return nil, fmt.Errorf("no answer; is that the address where nodes meet? %w", err)
	}
	if a.Membership == nil {
		return nil, &kv.Error{Code: a.Code, Detail: a.Detail}
	}
	if err := a.Membership.check(); err != nil {
		return nil, fmt.Errorf("the answer is of no use: %w", err)
	}
	return a.Membership, nil
}

func writeJSON(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
	return err
}

func readJSON(r io.Reader, v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > joinMax {
		return errHello
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

const (
	// joinTimeout is how long a member may take to admit a node.
	joinTimeout = 10 * time.Second
	// joinersMax bounds those that are admitted at one time.
	joinersMax = 8
)

var errJoiners = errors.New("too many nodes ask to join at one time; retry after a pause")

// admitJoiner answers a node that asks to join.
func (n *Node) admitJoiner(conn net.Conn) error {
	defer n.joiners.Add(-1)
	if n.joiners.Add(1) > joinersMax {
		return errJoiners
	}
	if err := conn.SetDeadline(time.Now().Add(joinTimeout)); err != nil {
		return err
	}
	var q joinRequest
	if err := readJSON(conn, &q); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(n.ctx, joinTimeout)
	defer cancel()
	var a joinAnswer
	m, err := n.admitNode(ctx, q)
	if err != nil {
		failed := kv.Failed(err)
		a.Code, a.Detail = failed.Code, failed.Detail
	}
	a.Membership = m
	return writeJSON(conn, &a)
}

// nodesMax bounds a cluster: each node has a replica of the catalog, and a configuration names up to 255 of each kind.
const nodesMax = 200

// admitNode makes a node a member: it gives it an id, and its replica of the catalog one.
func (n *Node) admitNode(ctx context.Context, q joinRequest) (*Membership, error) {
	if len(q.Ticket) < 16 || len(q.Ticket) > 64 {
		return nil, kv.Errorf(kv.Invalid, "a ticket of %d characters", len(q.Ticket))
	}
	if !isAddress(q.Address) {
		return nil, kv.Errorf(kv.Invalid, "the address %.300q is not host:port", q.Address)
	}
	for {
		c, err := n.readMembers(ctx)
		if err != nil {
			return nil, err
		}
		id, again := ticketHolder(c.Catalog, q.Ticket)
		switch {
		case again && c.Nodes[id].State == keyspace.NodeRemoved:
			return nil, kv.Errorf(kv.Invalid, "this folder joined as node %d, which was removed; join with an empty folder", id)
		case again:
			return n.membership(c.Catalog, id), nil
		case len(c.System.Shards[0].Replicas) >= nodesMax:
			return nil, kv.Errorf(kv.Invalid, "the cluster has %d nodes; that is the most", nodesMax)
		}
		if id, err = n.freeNode(c.Catalog, q.Address); err != nil {
			return nil, err
		}
		record := keyspace.Node{Addresses: map[string]string{"peer": q.Address}, Ticket: q.Ticket}
		c.Next.Node, c.Nodes[id] = id+1, record
		c.System = c.System.With(id)
		r := n.writeMember(ctx, c, id)
		if r.Code == kv.ConditionFailed {
			continue
		}
		if err := r.Err(); err != nil {
			return nil, err
		}
		n.log.Info("a node joins", "joiner", id, "address", q.Address)
		return n.membership(c.Catalog, id), nil
	}
}

// members is the part of the catalog that says who is in the cluster, and the conditions under which that is still so.
type members struct {
	*keyspace.Catalog
	conds    []kv.Cond
	versions map[core.NodeID]uint64
}

// writeMember writes the record of a node and what changed with it, if nobody else has changed the members meanwhile.
func (n *Node) writeMember(ctx context.Context, c *members, id core.NodeID) kv.Result {
	key := keyspace.NodeKey(id)
	cond := kv.Cond{Kind: kv.CondAbsent, Key: key}
	if v := c.versions[id]; v != 0 {
		cond = kv.Cond{Kind: kv.CondVersion, Key: key, Version: v}
	}
	return n.do(ctx, n.system(), 0, kv.Command{Conds: append(c.conds, cond), Ops: []kv.Op{
		{Kind: kv.OpSet, Key: []byte(keyspace.NextKey), Value: keyspace.EncodeNext(c.Next)},
		{Kind: kv.OpSet, Key: key, Value: keyspace.EncodeNode(c.Nodes[id])},
		{Kind: kv.OpSet, Key: []byte(keyspace.SystemKey), Value: c.System.Encode()}}})
}

// readMembers reads who is in the cluster.
func (n *Node) readMembers(ctx context.Context) (*members, error) {
	keys := [][]byte{[]byte(keyspace.NextKey), []byte(keyspace.SystemKey), []byte(keyspace.LevelKey)}
	r := n.do(ctx, n.system(), 0, kv.Command{Ops: []kv.Op{{Kind: kv.OpGet, Key: keys[0]}, {Kind: kv.OpGet, Key: keys[1]}, {Kind: kv.OpGet, Key: keys[2]}}})
	if err := r.Err(); err != nil {
		return nil, err
	}
	// The nodes are read after what changes with each of them: the conditions cover them, too.
	nodes := n.do(ctx, n.system(), 0, kv.Command{Ops: []kv.Op{{Kind: kv.OpScan, Key: keyspace.NodeKeys, End: keyspace.NodeKeysEnd}}})
	if err := nodes.Err(); err != nil {
		return nil, err
	}
	c := &members{Catalog: keyspace.NewCatalog(), versions: map[core.NodeID]uint64{}}
	for i, key := range keys {
		cond := kv.Cond{Kind: kv.CondAbsent, Key: key}
		if item := &r.Items[i]; item.Code == kv.OK {
			cond = kv.Cond{Kind: kv.CondVersion, Key: key, Version: item.Version}
			if err := c.Put(key, item.Value); err != nil {
				return nil, err
			}
		}
		c.conds = append(c.conds, cond)
	}
	for i := range nodes.Items {
		item := &nodes.Items[i]
		if err := c.Put(item.Key, item.Value); err != nil {
			return nil, err
		}
		if id, err := strconv.ParseUint(string(item.Key[len(keyspace.NodeKeys):]), 10, 32); err == nil {
			c.versions[core.NodeID(id)] = item.Version
		}
	}
	if c.System == nil {
		d := n.config.system()
		c.System = d.Founded(d.FirstConfig(n.identity.Cluster, 0, n.config.protocolOptions()))
	}
	return c, nil
}

func ticketHolder(c *keyspace.Catalog, ticket string) (core.NodeID, bool) {
	// order does not matter: a ticket is given to one node.
	for id, node := range c.Nodes {
		if node.Ticket == ticket {
			return id, true
		}
	}
	return 0, false
}

// freeNode is an id that was never given.
func (n *Node) freeNode(c *keyspace.Catalog, address string) (core.NodeID, error) {
	free := max(c.Next.Node, n.config.Node+1)
	for _, p := range n.everyPeer() {
		free = max(free, p.id+1)
	}
	// order does not matter: the highest is sought, and at most one node has the address.
	for id, node := range c.Nodes {
		free = max(free, id+1)
		if node.State != keyspace.NodeRemoved && node.Addresses["peer"] == address {
			return 0, kv.Errorf(kv.Invalid, "node %d has the address %s; give another, or remove that node first", id, address)
		}
	}
	return free, nil
}

func (n *Node) membership(c *keyspace.Catalog, id core.NodeID) *Membership {
	m := &Membership{Cluster: n.identity.Cluster, Node: id, System: c.System, Peers: map[core.NodeID]string{n.config.Node: n.config.Cluster[n.config.Node]}}
	for _, p := range n.everyPeer() {
		m.Peers[p.id] = p.address()
	}
	m.Peers[id] = c.Nodes[id].Addresses["peer"]
	return m
}

func isJoin(magic []byte) bool { return bytes.Equal(magic, joinMagic) }
