package redis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/gamutdb/gamut/kv"
)

func TestRealClient(t *testing.T) {
	_, address := start(t, newFake(), Options{})
	ctx := context.Background()
	for _, version := range []int{2, 3} {
		client := goredis.NewClient(&goredis.Options{Addr: address, Protocol: version, ClientName: "tester"})
		defer client.Close()
		if err := client.Set(ctx, "a", "1", time.Minute).Err(); err != nil {
			t.Fatal(err)
		}
		if got, err := client.Get(ctx, "a").Result(); got != "1" || err != nil {
			t.Fatalf("get: %q, %v", got, err)
		}
		if err := client.Get(ctx, "nothing").Err(); err != goredis.Nil {
			t.Fatalf("get nothing: %v", err)
		}
		if got, err := client.TTL(ctx, "a").Result(); got != time.Minute || err != nil {
			t.Fatalf("ttl: %v, %v", got, err)
		}
		if commands, err := client.Command(ctx).Result(); err != nil || commands["mset"].StepCount != 2 || !commands["get"].ReadOnly {
			t.Fatalf("command: %v", err)
		}
		if got, err := client.ConfigGet(ctx, "save").Result(); err != nil || len(got) != 1 {
			t.Fatalf("config get: %v, %v", got, err)
		}
		if got, err := client.Info(ctx, "server").Result(); err != nil || !strings.Contains(got, "redis_version:7") {
			t.Fatalf("info: %q, %v", got, err)
		}
		if got, err := client.ClientList(ctx).Result(); err != nil || !strings.Contains(got, "name=tester") {
			t.Fatalf("client list: %q, %v", got, err)
		}
		pipeline := client.TxPipeline()
		n := pipeline.Incr(ctx, "n")
		pipeline.Expire(ctx, "n", time.Hour)
		if _, err := pipeline.Exec(ctx); err != nil || n.Val() != int64(version-1) {
			t.Fatalf("transaction: %d, %v", n.Val(), err)
		}
		testWatch(t, client)
	}
}

// testWatch has many clients add to a counter by WATCH and SET: none of the additions may be lost.
func testWatch(t *testing.T, client *goredis.Client) {
	ctx := context.Background()
	client.Set(ctx, "counter", 0, 0)
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for added := 0; added < 10; {
				err := client.Watch(ctx, func(tx *goredis.Tx) error {
					n, err := tx.Get(ctx, "counter").Int()
					if err != nil {
						return err
					}
					_, err = tx.TxPipelined(ctx, func(p goredis.Pipeliner) error { return p.Set(ctx, "counter", n+1, 0).Err() })
					return err
				}, "counter")
				switch err {
				case nil:
					added++
				case goredis.TxFailedErr:
				default:
					t.Errorf("watch: %v", err)
					return
				}
			}
		})
	}
	wait.Wait()
	if n, err := client.Get(ctx, "counter").Int(); n != 40 || err != nil {
		t.Fatalf("counter is %d, want 40: %v", n, err)
	}
}

// TestScanReturnsWhatStays: keys that are there throughout are returned, whatever comes and goes meanwhile.
func TestScanReturnsWhatStays(t *testing.T) {
	_, address := start(t, newFake(), Options{})
	c := dial(t, address)
	c.do("SELECT", "wide")
	for i := range 300 {
		c.do("SET", fmt.Sprintf("stays:%03d", i), "1")
	}
	seen := map[string]int{}
	cursor := "0"
	for page := 0; ; page++ {
		parts := strings.Split(c.do("SCAN", cursor, "COUNT", "7", "MATCH", "stays:*"), "\r\n")
		cursor = parts[2]
		for i := 5; i < len(parts); i += 2 {
			seen[parts[i]]++
		}
		c.do("SET", fmt.Sprintf("comes:%03d", page), "1")
		c.do("DEL", fmt.Sprintf("comes:%03d", page/2))
		if cursor == "0" {
			break
		}
	}
	for i := range 300 {
		if n := seen[fmt.Sprintf("stays:%03d", i)]; n != 1 {
			t.Errorf("stays:%03d was returned %d times", i, n)
		}
	}
}

func TestCursorsForgetTheOldest(t *testing.T) {
	table := newCursors(1000)
	first := table.put(cursor{"default", 0, []byte("a")})
	second := table.put(cursor{"default", 0, []byte("b")})
	for range cursorsMax - 1 {
		table.put(cursor{"default", 0, nil})
	}
	if _, ok := table.get(first); ok {
		t.Error("the oldest is still known")
	}
	if at, ok := table.get(second); !ok || string(at.key) != "b" {
		t.Error("the second oldest is forgotten")
	}
	long := make([]byte, kv.KeyMax)
	for range 2 * cursorBytesMax / kv.KeyMax {
		table.put(cursor{"default", 0, long})
	}
	if table.bytes > cursorBytesMax {
		t.Errorf("%d bytes are held", table.bytes)
	}
	if _, ok := table.get(table.next); ok {
		t.Error("a number not yet given is known")
	}
}

func TestFailures(t *testing.T) {
	for _, test := range []struct {
		code kv.Code
		want string
	}{
		{kv.Unknown, "-UNKNOWN outcome not known: the command may have been executed, or may be yet: why not\r\n"},
		{kv.Busy, "-TRYAGAIN busy: why not\r\n"},
		{kv.NotLeader, "-TRYAGAIN not leader: why not\r\n"},
		{kv.Unavailable, "-CLUSTERDOWN unavailable: why not\r\n"},
		{kv.Unsupported, "-ERR unsupported: why not\r\n"},
		{kv.NoKeyspace, "-ERR no such keyspace: why not\r\n"},
		{kv.DiskFull, "-MISCONF disk full, the node takes no writes: why not\r\n"},
		{kv.Invalid, "-ERR invalid request: why not\r\n"},
		{kv.TooLong, "-ERR why not\r\n"},
		{kv.WrongType, "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"},
	} {
		db := newFake()
		db.fail = func(*kv.Call) kv.Result { return kv.Result{Code: test.code, Detail: "why\nnot"} }
		_, address := start(t, db, Options{})
		c := dial(t, address)
		for _, line := range []string{"GET a", "SET a b", "MGET a b", "INCR a", "KEYS *", "SCAN 0", "WATCH a", "RANDOMKEY", "FLUSHALL", "TTL a"} {
			if got := c.do(words(t, line)...); got != test.want {
				t.Errorf("%s\n got %q\nwant %q", line, got, test.want)
			}
		}
		c.do("MULTI")
		c.do("SET", "a", "b")
		if got := c.do("EXEC"); got != test.want && test.code != kv.TooLong && test.code != kv.WrongType {
			t.Errorf("EXEC\n got %q\nwant %q", got, test.want)
		}
	}
}

// TestUnknownIsNotHidden: when one part of a command failed for certain and another is unknown, the reply says unknown.
func TestUnknownIsNotHidden(t *testing.T) {
	db := newFake()
	codes := []kv.Code{kv.Busy, kv.Unknown, kv.Busy, kv.OK}
	db.fail = func(*kv.Call) kv.Result {
		code := codes[0]
		codes = append(codes[1:], kv.Busy)
		return kv.Result{Code: code}
	}
	// A keyspace without transactions over shards does such a command key by key.
	db.Keyspace("wide").Consistency = kv.Quorum
	_, address := start(t, db, Options{})
	c := dial(t, address)
	c.do("SELECT", "wide")
	if got := c.do("DEL", "a", "b", "c", "d"); !strings.HasPrefix(got, "-UNKNOWN ") {
		t.Errorf("got %q", got)
	}
}

func TestLimitsKeepTheConnection(t *testing.T) {
	_, address := start(t, newFake(), Options{})
	c := dial(t, address)
	long := strings.Repeat("k", kv.KeyMax)
	large := strings.Repeat("v", kv.ValueMax)
	for _, test := range []struct {
		words []string
		want  string
	}{
		{[]string{"SET", long, large}, "+OK\r\n"},
		{[]string{"STRLEN", long}, ":8388608\r\n"},
		{[]string{"SET", long + "k", "v"}, "-ERR key has 4097 bytes, more than the limit of 4096 (4 KiB)\r\n"},
		{[]string{"WATCH", long + "k"}, "-ERR key has 4097 bytes, more than the limit of 4096 (4 KiB)\r\n"},
		{[]string{"RENAME", long, long + "k"}, "-ERR key has 4097 bytes, more than the limit of 4096 (4 KiB)\r\n"},
		{[]string{"SET", "a", large + "v"}, "-ERR argument has 8388609 bytes, more than the limit of 8388608 (8 MiB) for a value\r\n"},
		{[]string{"MSET", "a", large, "b", large}, "-ERR request is longer than the limit of 16777216 bytes (16 MiB)\r\n"},
		{[]string{"APPEND", long, "v"}, "-ERR string exceeds maximum allowed size (8388608 bytes)\r\n"},
		{append([]string{"DEL"}, strings.Fields(strings.Repeat("a ", kv.OpsMax+1))...), "-ERR command has 4097 operations, more than the limit of 4096\r\n"},
		{[]string{"GETRANGE", long, "-3", "-1"}, "$3\r\nvvv\r\n"},
		{[]string{"PING"}, "+PONG\r\n"},
	} {
		if got := c.do(test.words...); got != test.want {
			t.Errorf("%.20q: got %.200q, want %q", test.words, got, test.want)
		}
	}
	c.do("MULTI")
	c.do("SET", "a", large+"v")
	if got := c.do("EXEC"); !strings.HasPrefix(got, "-EXECABORT") {
		t.Errorf("exec after a refused command: %.200q", got)
	}
}

func TestConnectionsMax(t *testing.T) {
	_, address := start(t, newFake(), Options{ConnectionsMax: 2})
	for range 2 {
		dial(t, address).do("PING")
	}
	if got := dial(t, address).reply(); got != "-ERR max number of clients reached\r\n" {
		t.Errorf("got %q", got)
	}
}

// TestShutdownAnswersWhatRuns: a command that was submitted is answered, then the connection ends; idle ones end at once.
func TestShutdownAnswersWhatRuns(t *testing.T) {
	db := newFake()
	entered, release := make(chan struct{}), make(chan struct{})
	db.hold = func() { close(entered); <-release }
	s, address := start(t, db, Options{})
	idle, busy := dial(t, address), dial(t, address)
	idle.do("PING")
	busy.send(encode("SET", "a", "1"))
	<-entered
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	if _, err := readReply(idle.reader); err != io.EOF {
		t.Errorf("idle connection: %v", err)
	}
	close(release)
	if got := busy.reply(); got != "+OK\r\n" {
		t.Errorf("running command: %q", got)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", address); err == nil {
		t.Error("the door still accepts")
	}
}

// TestSlowReaders has a hundred clients ask for large values that they never read. Memory stays bounded, another client
// is served meanwhile, and they are cut off.
func TestSlowReaders(t *testing.T) {
	s, address := start(t, newFake(), Options{WriteStall: 500 * time.Millisecond})
	c := dial(t, address)
	c.do("SET", "large", strings.Repeat("v", kv.ValueMax))
	c.do("SET", "small", "1")
	ask := strings.Repeat(encode("GET", "large"), 20)
	for range 100 {
		slow := dial(t, address)
		slow.socket.(*net.TCPConn).SetReadBuffer(4096)
		slow.send(ask)
	}
	var most uint64
	for s.cut.Load() < 100 {
		time.Sleep(5 * time.Millisecond)
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		most = max(most, m.HeapAlloc)
		if got := c.do("GET", "small"); got != "$1\r\n1\r\n" && !strings.HasPrefix(got, "-TRYAGAIN") {
			t.Fatalf("other client: %q", got)
		}
		s.output.mu.Lock()
		free := s.output.free
		s.output.mu.Unlock()
		if free < -kv.ValueMax {
			t.Fatalf("replies hold %d bytes more than allowed", -free)
		}
	}
	if most > 512<<20 {
		t.Errorf("the heap grew to %d MiB", most>>20)
	}
	t.Logf("heap at most %d MiB", most>>20)
}

// TestIdleConnectionsGiveBack: the sweep has a connection that was busy and is idle now release its buffers, and the
// connection works afterwards.
func TestIdleConnectionsGiveBack(t *testing.T) {
	s, address := start(t, newFake(), Options{})
	c := dial(t, address)
	c.do("SET", "a", strings.Repeat("v", 40000))
	other := s.clients()[0]
	for other.rounds.Load() == 0 || other.state.Load() != stateReading {
		runtime.Gosched()
	}
	s.look(other, time.Now(), time.Minute)
	if other.state.Load() != stateReading {
		t.Fatal("a connection was woken that has just worked")
	}
	s.look(other, time.Now(), time.Minute)
	for other.state.Load() != stateReading {
		runtime.Gosched()
	}
	if got := c.do("STRLEN", "a"); got != ":40000\r\n" {
		t.Errorf("got %q", got)
	}
	c.socket.Close()
	for len(s.clients()) > 0 {
		runtime.Gosched()
	}
	if n := len(other.parser.buf); n > inputSmall {
		t.Errorf("the buffer has still %d bytes", n)
	}
}

// TestInputIsBounded: clients that announce large values and send half of them are refused beyond the allowance.
func TestInputIsBounded(t *testing.T) {
	s, address := start(t, newFake(), Options{InputMax: requestMax})
	head := "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$" + strconv.Itoa(kv.ValueMax) + "\r\n"
	first := dial(t, address)
	first.send(head + strings.Repeat("v", kv.ValueMax-1))
	for {
		s.input.mu.Lock()
		free := s.input.free
		s.input.mu.Unlock()
		if free < kv.ValueMax {
			break
		}
		runtime.Gosched()
	}
	second := dial(t, address)
	second.send(head + strings.Repeat("v", kv.ValueMax) + "\r\n" + encode("PING"))
	if got := second.reply(); !strings.HasPrefix(got, "-TRYAGAIN ") {
		t.Errorf("second: %q", got)
	}
	if got := second.reply(); got != "+PONG\r\n" {
		t.Errorf("second, afterwards: %q", got)
	}
	first.send("v\r\n")
	if got := first.reply(); got != "+OK\r\n" {
		t.Errorf("first: %q", got)
	}
}

// TestHalfRequestIsCutOff: who stops in the middle of a large request gives back the memory that it holds.
func TestHalfRequestIsCutOff(t *testing.T) {
	s, address := start(t, newFake(), Options{WriteStall: 100 * time.Millisecond})
	c := dial(t, address)
	c.send("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1000000\r\n" + strings.Repeat("v", 500_000))
	if _, err := readReply(c.reader); err == nil {
		t.Error("the connection lives")
	}
	for len(s.clients()) > 0 {
		runtime.Gosched()
	}
	if !s.input.try(s.options.InputMax) {
		t.Error("memory is still taken")
	}
}

// TestManyKeysHeldForSlowReaders: answers to KEYS count against the allowance like values do.
func TestManyKeysHeldForSlowReaders(t *testing.T) {
	s, address := start(t, newFake(), Options{WriteStall: time.Second})
	c := dial(t, address)
	long := strings.Repeat("k", 4000)
	for i := range 2000 {
		c.do("SET", fmt.Sprintf("%s%05d", long, i), "")
	}
	for range 10 {
		slow := dial(t, address)
		slow.socket.(*net.TCPConn).SetReadBuffer(4096)
		slow.send(encode("KEYS", "*"))
	}
	for s.cut.Load() < 10 {
		time.Sleep(5 * time.Millisecond)
		if got := c.do("PING"); got != "+PONG\r\n" {
			t.Fatal(got)
		}
		s.output.mu.Lock()
		free := s.output.free
		s.output.mu.Unlock()
		if free < 0 {
			t.Fatalf("replies hold %d bytes more than allowed", -free)
		}
	}
	// A small answer: on a busy machine this client, too, could take longer for a large one than a reply may stand still.
	if got := c.do("DBSIZE"); got != ":2000\r\n" {
		t.Errorf("afterwards: %.40q", got)
	}
}

// TestGarbage: no bytes harm the door; it answers an error or closes, and serves the next client.
func TestGarbage(t *testing.T) {
	_, address := start(t, newFake(), Options{})
	rng := rand.New(rand.NewPCG(1, 1))
	alphabet := []string{"*", "$", "\r\n", "1", "2", "-1", "GET", "SET", "a", " ", "\"", "'", "\x00", "\xff", "MULTI\r\n", "EXEC\r\n", "*1\r\n$4\r\nPING\r\n", "SCAN 0\r\n", "HELLO 3\r\n"}
	for range 300 {
		var b strings.Builder
		for range rng.IntN(60) {
			b.WriteString(alphabet[rng.IntN(len(alphabet))])
		}
		converse(t, address, b.String())
	}
	if got := dial(t, address).do("PING"); got != "+PONG\r\n" {
		t.Error(got)
	}
}

func TestKillAndMute(t *testing.T) {
	_, address := start(t, newFake(), Options{})
	a, b := dial(t, address), dial(t, address)
	id := strings.Trim(b.do("CLIENT", "ID"), ":\r\n")
	if got := a.do("CLIENT", "KILL", "ID", id); got != ":1\r\n" {
		t.Errorf("kill: %q", got)
	}
	if _, err := readReply(b.reader); err == nil {
		t.Error("the killed connection lives")
	}
	a.send("CLIENT REPLY SKIP\r\nSET a 1\r\nGET a\r\nCLIENT REPLY OFF\r\nSET a 2\r\nCLIENT REPLY ON\r\nGET a\r\n")
	for _, want := range []string{"$1\r\n1\r\n", "+OK\r\n", "$1\r\n2\r\n"} {
		if got := a.reply(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestOptions(t *testing.T) {
	var options Options
	if err := options.Validate(); err != nil || options.Keyspace != "default" || options.ConnectionsMax < 10_000 {
		t.Errorf("zero options: %v, %+v", err, options)
	}
	for _, wrong := range []Options{{ConnectionsMax: -1}, {RequestDeadline: 1}, {WriteStall: 1}, {OutputMaxConnection: 1}, {OutputMax: 1}, {InputMax: 1}} {
		if err := wrong.Validate(); err == nil {
			t.Errorf("%+v is valid", wrong)
		}
	}
}

// TestTransactionOverShardsFails: what is certain and what is not are told apart, and the connection goes on.
func TestTransactionOverShardsFails(t *testing.T) {
	db := newFake()
	_, address := start(t, db, Options{})
	c := dial(t, address)
	c.do("SELECT", "wide")
	for code, want := range map[kv.Code]string{kv.Aborted: "-TRYAGAIN ", kv.Unknown: "-UNKNOWN ", kv.Unavailable: "-CLUSTERDOWN "} {
		db.mu.Lock()
		db.fail = func(*kv.Call) kv.Result { return kv.Result{Code: code} }
		db.mu.Unlock()
		c.do("MULTI")
		c.do("SET", "a", "1")
		c.do("SET", "b", "1")
		for _, got := range []string{c.do("EXEC"), c.do("MSET", "a", "1", "b", "2")} {
			if !strings.HasPrefix(got, want) {
				t.Errorf("%v: %q", code, got)
			}
		}
	}
	db.mu.Lock()
	db.fail = nil
	db.mu.Unlock()
	if got := c.do("MSET", "a", "1", "b", "2", "c", "3"); got != "+OK\r\n" || db.transactions == 0 {
		t.Errorf("%q, %d transactions", got, db.transactions)
	}
}

// TestAKeyspaceNotKnownYet: a node that is still starting must not tell a client to make what there is.
func TestAKeyspaceNotKnownYet(t *testing.T) {
	db := newFake()
	db.notReady = errors.New("no leader")
	_, address := start(t, db, Options{Keyspace: "carts"})
	c := dial(t, address)
	const want = "-CLUSTERDOWN unavailable: this node is not ready, and keyspace \"carts\" is not known to it: no leader\r\n"
	for _, command := range []string{"GET a", "SELECT carts"} {
		if got := c.do(strings.Fields(command)...); got != want {
			t.Errorf("%s: got %q", command, got)
		}
	}
}
