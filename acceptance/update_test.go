package acceptance

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gamutdb/gamut/client"
	"github.com/gamutdb/gamut/kv"
)

// TestUpdatesUnderKills has clients move money by transactions that read first, while a node is killed with -9 every second. No
// snapshot of all accounts finds another total, or a debt; and what an Update said of itself is so: each leaves a marker.
func TestUpdatesUnderKills(t *testing.T) {
	c := newCluster(t)
	if code, out := c.gamut("keyspace", "create", "bank", "--consistency", "linearizable", "--shards", "8"); code != 0 {
		t.Fatalf("create: %s", out)
	}
	u := &updates{t: t, addresses: []string{c.addr(1, httpDoor), c.addr(2, httpDoor), c.addr(3, httpDoor)}}
	u.fill()
	stop, clients := make(chan struct{}), sync.WaitGroup{}
	for id := range 6 {
		clients.Go(func() { u.client(id, stop) })
	}
	kills := killSome(c, 10*time.Second)
	before := u.tally.done()
	await(t, patience, func() error { return atLeast(u.tally.done()-before, 50) })
	close(stop)
	clients.Wait()
	y := &u.tally
	t.Logf("%d kills; %d updates done, %d refused, %d unknown; %d found too little; %d snapshots", kills, len(y.acked), len(y.refused), len(y.unknown), u.poor, u.snapshots)
	if u.snapshots == 0 {
		t.Error("nobody has read all accounts")
	}
	u.judge()
	c.checkReplicas()
}

// updates is what the clients do, and were told.
type updates struct {
	t               *testing.T
	addresses       []string
	tally           tally
	mu              sync.Mutex
	poor, snapshots int
}

func (u *updates) open() *client.Client {
	gamut, err := client.Open(u.addresses, client.Options{})
	if err != nil {
		u.t.Fatal(err)
	}
	return gamut
}

func accountKeys() (keys []client.Key) {
	for i := range accounts {
		keys = append(keys, client.Key{Keyspace: "bank", Key: account(i)})
	}
	return keys
}

// deposit is what every account begins with.
const deposit = 10

func (u *updates) fill() {
	gamut := u.open()
	defer gamut.Close()
	x := gamut.Txn()
	for _, k := range accountKeys() {
		x.Then.Put(k, []byte(strconv.Itoa(deposit)))
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := x.Do(ctx); err != nil {
		u.t.Fatal(err)
	}
}

var errPoor = errors.New("the account holds too little")

// client moves money, and looks at all of it now and then, until it is told to stop.
func (u *updates) client(id int, stop <-chan struct{}) {
	gamut, keys := u.open(), accountKeys()
	defer gamut.Close()
	chance := rand.New(rand.NewPCG(uint64(id), uint64(time.Now().UnixNano())))
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		if i%5 == 4 {
			u.readAll(gamut, keys)
			continue
		}
		from := chance.IntN(accounts)
		to := (from + 1 + chance.IntN(accounts-1)) % accounts
		marker := fmt.Sprintf("marker%d.%d", id, i)
		ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
		err := gamut.Update(ctx, pay(keys[from], keys[to], 1+chance.Int64N(9), marker))
		cancel()
		if errors.Is(err, errPoor) {
			u.mu.Lock()
			u.poor++
			u.mu.Unlock()
			continue
		}
		u.tally.note(u.t, marker, err)
	}
}

func balance(r client.Record) (n int64) {
	n, _ = strconv.ParseInt(string(r.Value), 10, 64)
	return n
}

func pay(from, to client.Key, amount int64, marker string) func(tx *client.Tx) error {
	return func(tx *client.Tx) error {
		a, err := tx.Get(from)
		if err != nil {
			return err
		}
		b, err := tx.Get(to)
		if err != nil {
			return err
		}
		if balance(a) < amount {
			return errPoor
		}
		tx.Put(from, fmt.Append(nil, balance(a)-amount))
		tx.Put(to, fmt.Append(nil, balance(b)+amount))
		tx.Put(client.Key{Keyspace: "bank", Key: marker}, []byte("done"))
		return nil
	}
}

func (u *updates) readAll(gamut *client.Client, keys []client.Key) {
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	records, err := gamut.Snapshot(ctx, keys...)
	if err != nil {
		return // while a node is away
	}
	u.mu.Lock()
	u.snapshots++
	u.mu.Unlock()
	total := int64(0)
	for _, r := range records {
		if total += balance(r); balance(r) < 0 {
			u.t.Errorf("%s holds %d", r.Key, balance(r))
		}
	}
	if total != accounts*deposit {
		u.t.Errorf("the total is %d", total)
	}
}

// judge compares what was said with the markers.
func (u *updates) judge() {
	gamut := u.open()
	defer gamut.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	is := func(marker string) bool {
		_, err := gamut.Keyspace("bank").Get(ctx, marker)
		var e *kv.Error
		if err != nil && !(errors.As(err, &e) && e.Code == kv.NotFound) {
			u.t.Fatal(err)
		}
		return err == nil
	}
	for _, marker := range u.tally.acked {
		if !is(marker) {
			u.t.Errorf("%s was done, and is not there", marker)
		}
	}
	for _, marker := range u.tally.refused {
		if is(marker) {
			u.t.Errorf("%s was refused, and is there", marker)
		}
	}
}
