package acceptance

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gamutdb/gamut/internal/freeport"
)

// txnShapes are what connections send: k a key, v a value. Transactions, what they watch, what is wrong when it is queued, and what is
// wrong only when it is executed.
var txnShapes = []string{"MULTI", "MULTI", "MULTI", "EXEC", "EXEC", "EXEC", "EXEC", "EXEC", "DISCARD", "WATCH k", "WATCH k k k", "UNWATCH",
	"SET k v", "SET k v NX", "SET k v EX 1000", "GET k", "INCR k", "INCRBY k 5", "INCRBY k z", "MSET k v k v", "MGET k k k", "DEL k k",
	"EXISTS k k k", "APPEND k v", "SETNX k v", "GETSET k v", "MSETNX k v k v", "EXPIRE k 1000", "PERSIST k", "STRLEN k", "GETDEL k", "PING",
	"NOPE", "SET k"}

// TestTransactionsLikeRedis sends the same commands by three connections to a real Redis and to three nodes, where the keys lie in
// eight shards. Every reply must be the same.
func TestTransactionsLikeRedis(t *testing.T) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("redis-server is missing: install Debian's redis-server")
		}
		t.Skip("redis-server is missing: install Debian's redis-server to compare with it")
	}
	c := newCluster(t)
	if code, out := c.gamut("keyspace", "create", "wide", "--consistency", "linearizable", "--shards", "8"); code != 0 {
		t.Fatalf("create: %s", out)
	}
	theirs, ours := startRedis(t, path), [3]*redis.Conn{}
	for i := range ours {
		ours[i] = connect(t, c.addr(1+i, redisDoor))
		await(t, patience, func() error { return ours[i].Do(t.Context(), "SELECT", "wide").Err() })
	}
	for seed := range uint64(4) {
		likeRedis(t, rand.New(rand.NewPCG(seed, 9)), theirs, ours)
	}
	for _, s := range txnSituations {
		want, got := playSituation(t, s, theirs), playSituation(t, s, ours)
		if want != got {
			t.Errorf("%s\n got %s\nwant %s", s, got, want)
		}
	}
}

func startRedis(t *testing.T, path string) (conns [3]*redis.Conn) {
	address := freeport.Address(t)
	server := exec.Command(path, "--port", address[strings.LastIndexByte(address, ':')+1:], "--save", "", "--bind", "127.0.0.1", "--dir", t.TempDir())
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Process.Kill(); server.Wait() })
	for i := range conns {
		conns[i] = connect(t, address)
		await(t, patience, func() error { return conns[i].Ping(t.Context()).Err() })
	}
	return conns
}

// connect is one connection on which nothing is sent twice.
func connect(t *testing.T, address string) *redis.Conn {
	client := redis.NewClient(&redis.Options{Addr: address, Protocol: 2, MaxRetries: -1, ReadTimeout: patience, DisableIdentity: true})
	t.Cleanup(func() { client.Close() })
	return client.Conn()
}

// reply is what a connection is answered, as text.
func reply(t *testing.T, c *redis.Conn, words []string) string {
	args := make([]any, len(words))
	for i, w := range words {
		args[i] = w
	}
	value, err := c.Do(t.Context(), args...).Result()
	var said redis.Error
	switch {
	case errors.Is(err, redis.Nil):
		return "nil"
	case err != nil && !errors.As(err, &said):
		t.Fatalf("%q: %v", words, err)
	case err != nil:
		return "error " + err.Error()
	}
	return fmt.Sprintf("%#v", value)
}

// likeRedis plays one seed.
func likeRedis(t *testing.T, rng *rand.Rand, theirs, ours [3]*redis.Conn) {
	reply(t, theirs[0], []string{"FLUSHDB"})
	reply(t, ours[0], []string{"FLUSHDB"})
	var history []string
	var queueing [3]bool
	for range 400 {
		who, words := rng.IntN(3), drawTxnCommand(rng)
		switch {
		case words[0] == "MSETNX" && queueing[who]:
			continue // it has a condition of its own, and is refused there with a sentence
		case words[0] == "WATCH" && !queueing[who] && reply(t, ours[who], append([]string{"EXISTS"}, words[1:]...)) != fmt.Sprintf("%#v", int64(len(words)-1)):
			continue // a key that is missing has no version, so one that came and went meanwhile is taken for unchanged
		}
		want, got := reply(t, theirs[who], words), reply(t, ours[who], words)
		history = append(history, fmt.Sprintf("%d: %s -> %s", who, strings.Join(words, " "), want))
		if got != want {
			t.Fatalf("after\n%s\n got %s", strings.Join(history[max(0, len(history)-15):], "\n"), got)
		}
		switch words[0] {
		case "MULTI":
			queueing[who] = true
		case "EXEC", "DISCARD":
			queueing[who] = false
		}
	}
	for who := range 3 {
		reply(t, theirs[who], []string{"DISCARD"})
		reply(t, ours[who], []string{"DISCARD"})
	}
}

func drawTxnCommand(rng *rand.Rand) []string {
	words := strings.Fields(txnShapes[rng.IntN(len(txnShapes))])
	for i, w := range words {
		switch w {
		case "k":
			words[i] = string(rune('a' + rng.IntN(8)))
		case "v":
			words[i] = []string{"1", "2", "x", "10", "-3"}[rng.IntN(5)]
		}
	}
	return words
}

// txnSituations are commands of connections 0 and 1, each with its number in front; "pass" lets a key's time go by. What WATCH does not
// see here is not among them: it goes by versions, which neither a missing key nor a change of the expiry alone has.
var txnSituations = []string{
	"0 SET w 1 PX 60; 0 WATCH w; pass; 0 MULTI; 0 SET v 2; 0 SET y 2; 0 EXEC; 0 GET v",
	"0 SET w 1; 0 WATCH w; 1 SET w 1; 0 MULTI; 0 SET v 3; 0 SET y 3; 0 EXEC; 0 MGET v y",
	"0 SET w 1; 0 WATCH w; 1 DEL w; 1 SET w 1; 0 MULTI; 0 INCR w; 0 SET y 4; 0 EXEC",
	"0 DEL w; 0 WATCH w; 1 DEL w; 0 MULTI; 0 SET v 5; 0 SET y 5; 0 EXEC",
	"0 SET w 1; 0 WATCH w; 0 SET w 2; 0 MULTI; 0 SET v 6; 0 EXEC",
	"0 SET w 1; 0 WATCH w; 1 FLUSHDB; 0 MULTI; 0 SET v 8; 0 EXEC",
	"0 SET w 1; 0 WATCH w; 0 UNWATCH; 1 SET w 2; 0 MULTI; 0 SET v 9; 0 SET y 9; 0 EXEC",
	"0 SET w 1; 0 WATCH w; 0 MULTI; 0 DISCARD; 1 SET w 2; 0 MULTI; 0 GET w; 0 EXEC",
	"0 SET w 1; 0 WATCH w; 0 MULTI; 1 SET w 2; 0 NOPE; 0 EXEC; 0 MULTI; 0 GET w; 0 EXEC",
	"0 MULTI; 0 MULTI; 0 WATCH w; 0 SET v 1; 0 SET y 1; 0 SET; 0 EXEC; 0 MGET v y",
	"0 MULTI; 0 MULTI; 0 WATCH w; 0 SET v 11; 0 SET y 11; 0 EXEC; 0 MGET v y",
	"0 SET v text; 0 SET y 1; 0 MULTI; 0 INCR y; 0 INCR v; 0 INCR y; 0 SET a z; 0 EXEC; 0 MGET v y a",
	"0 MULTI; 0 EXEC; 0 EXEC; 0 DISCARD",
}

func playSituation(t *testing.T, situation string, conns [3]*redis.Conn) string {
	var replies []string
	for _, c := range conns[:2] {
		reply(t, c, []string{"UNWATCH"})
	}
	reply(t, conns[0], []string{"FLUSHDB"})
	for _, line := range strings.Split(situation, "; ") {
		if line == "pass" {
			time.Sleep(100 * time.Millisecond) // longer than the key lives, on both sides
			continue
		}
		words := strings.Fields(line)
		replies = append(replies, reply(t, conns[slices.Index([]string{"0", "1"}, words[0])], words[1:]))
	}
	return strings.Join(replies, " | ")
}
