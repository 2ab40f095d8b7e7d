package acceptance

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// wordList is Debian's package wamerican.
const wordList = "/usr/share/dict/words"

func words(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile(wordList)
	if err != nil {
		lacks(t, "no word list: %v; install wamerican", err)
	}
	list := strings.Fields(string(b))
	if len(list) < 90_000 {
		t.Fatalf("%s has only %d words", wordList, len(list))
	}
	return list
}

func valueOf(word string) string { return "the value of " + word }

// TestWordListThroughRedisCLI loads all words with redis-cli --pipe through a node that does not lead, while the leader is
// killed with -9 and started again.
func TestWordListThroughRedisCLI(t *testing.T) {
	list := words(t)
	cli, err := exec.LookPath("redis-cli")
	if err != nil {
		lacks(t, "no redis-cli: install redis-tools")
	}
	c := newCluster(t)
	leader := c.leader()
	through := others(leader)[0]

	host, port, _ := net.SplitHostPort(c.addr(through, redisDoor))
	cmd := exec.Command(cli, "-h", host, "-p", port, "--pipe", "--pipe-timeout", "60")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := startProcess(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() }) // it has ended, unless the test failed

	began := time.Now()
	feed := func(part []string) {
		w := bufio.NewWriterSize(stdin, 64<<10)
		for _, word := range part {
			fmt.Fprintf(w, "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(word), word, len(valueOf(word)), valueOf(word))
		}
		if err := w.Flush(); err != nil {
			t.Errorf("redis-cli takes no more: %v", err)
		}
	}
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		feed(list)
		stdin.Close()
	}()
	c.awaitSize(through, len(list)/3)
	c.kill(leader)
	killed := time.Since(began)
	c.awaitSize(through, len(list)/2)
	c.start(leader)
	<-fed
	if err := cmd.Wait(); err != nil {
		t.Logf("redis-cli ends with %v", err) // so it does when there were errors
	}
	t.Logf("redis-cli after %v, leader killed after %v: %s", time.Since(began).Round(time.Millisecond), killed.Round(time.Millisecond), strings.TrimSpace(out.String()))

	faults, replies := pipeReport(t, out.String())
	if replies != len(list) {
		t.Errorf("redis-cli counts %d replies to %d commands", replies, len(list))
	}
	if faults != 0 {
		t.Errorf("redis-cli counts %d errors: a killed leader must not be seen through another node", faults)
	}
	c.awaitReady(1, 2, 3)
	for id := 1; id <= 3; id++ {
		present := c.readBackRedis(id, list, func(word string) bool { return faults == 0 })
		if present < replies-faults {
			t.Errorf("node %d has %d of the words; %d were acknowledged", id, present, replies-faults)
		}
	}
	c.checkSizes()
	c.checkReplicas()
}

// awaitSize waits until a keyspace has so many keys.
func (c *cluster) awaitSize(through, keys int) {
	c.t.Helper()
	client := c.redis(through, 10*time.Second)
	await(c.t, patience, func() error {
		n, err := client.DBSize(context.Background()).Result()
		if err == nil && n < int64(keys) {
			err = fmt.Errorf("the keyspace has %d keys, not yet %d", n, keys)
		}
		return err
	})
}

var pipeLine = regexp.MustCompile(`errors: (\d+), replies: (\d+)`)

func pipeReport(t *testing.T, out string) (faults, replies int) {
	t.Helper()
	m := pipeLine.FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("redis-cli does not say how it went: %s", out)
	}
	faults, _ = strconv.Atoi(m[1]) // digits
	replies, _ = strconv.Atoi(m[2])
	return faults, replies
}

// readBackRedis reads every word through a node, and counts those that are there. A wrong value is an error, and so is a
// missing one that was acknowledged.
func (c *cluster) readBackRedis(id int, list []string, acknowledged func(word string) bool) (present int) {
	c.t.Helper()
	ctx := context.Background()
	client := c.redis(id, 10*time.Second)
	const chunk = 2000
	for at := 0; at < len(list); at += chunk {
		part := list[at:min(at+chunk, len(list))]
		replies, err := client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, word := range part {
				p.Get(ctx, word)
			}
			return nil
		})
		if err != nil && !errors.Is(err, redis.Nil) {
			c.t.Fatalf("read the words back through node %d: %v", id, err)
		}
		for i, r := range replies {
			got, err := r.(*redis.StringCmd).Result()
			present += c.judgeWord(id, part[i], got, err == nil, acknowledged(part[i]))
		}
	}
	return present
}

func (c *cluster) judgeWord(id int, word, got string, found, acknowledged bool) int {
	switch {
	case found && got != valueOf(word):
		c.t.Errorf("node %d reads %s as %q", id, word, got)
	case !found && acknowledged:
		c.t.Errorf("node %d has lost %s, which was acknowledged", id, word)
	case found:
		return 1
	}
	return 0
}

// checkSizes compares DBSIZE on all nodes.
func (c *cluster) checkSizes() {
	c.t.Helper()
	sizes := map[int]int64{}
	for id := 1; id <= 3; id++ {
		n, err := c.redis(id, 10*time.Second).DBSize(context.Background()).Result()
		if err != nil {
			c.t.Errorf("DBSIZE of node %d: %v", id, err)
		}
		sizes[id] = n
	}
	if sizes[1] != sizes[2] || sizes[2] != sizes[3] {
		c.t.Errorf("DBSIZE differs: %v", sizes)
	}
}

// dialect is how a door is spoken by a client that pipelines.
type dialect struct {
	name string
	door int
	set  func(b []byte, key, value string) []byte
	// reply reads one answer: acknowledged, or refused with its words. An error means that the connection is of no more use.
	reply func(r *bufio.Reader) (refused string, err error)
}

func line(r *bufio.Reader) (string, error) {
	text, err := r.ReadString('\n')
	return strings.TrimRight(text, "\r\n"), err
}

var dialects = []dialect{
	{"redis", redisDoor, func(b []byte, key, value string) []byte {
		return fmt.Appendf(b, "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(key), key, len(value), value)
	}, func(r *bufio.Reader) (string, error) {
		text, err := line(r)
		if err == nil && text == "+OK" {
			return "", nil
		}
		if err == nil && !strings.HasPrefix(text, "-") {
			return "", fmt.Errorf("%w: %q answers SET", errDialect, text)
		}
		return text, err
	}},
	{"memcached", memcachedDoor, func(b []byte, key, value string) []byte {
		return fmt.Appendf(b, "set %s 0 0 %d\r\n%s\r\n", key, len(value), value)
	}, func(r *bufio.Reader) (string, error) {
		text, err := line(r)
		if err == nil && text == "STORED" {
			return "", nil
		}
		if err == nil && !strings.HasPrefix(text, "SERVER_ERROR ") {
			return "", fmt.Errorf("%w: %q answers set", errDialect, text)
		}
		return text, err
	}},
}

var errDialect = errors.New("not what the protocol allows")

// TestWordListSurvivesKills loads all words through each door with a pipelining client that knows of every word whether it
// was acknowledged. Meanwhile the leader is killed, and later the node that the client speaks to: then the client goes on
// with another one. What has an unknown outcome may be there or not.
func TestWordListSurvivesKills(t *testing.T) {
	list := words(t)
	for _, d := range dialects {
		t.Run(d.name, func(t *testing.T) {
			c := newCluster(t)
			l := &loader{t: t, c: c, d: d, acknowledged: map[string]bool{}, last: time.Now()}
			leader := c.leader()
			l.through = others(leader)[0]
			third := len(list) / 3
			began := time.Now()
			l.load(list[:third], func() { c.kill(leader) })
			c.start(leader)
			c.awaitReady(leader)
			victim := 0
			l.load(list[third:2*third], func() {
				victim = l.through
				c.kill(victim)
			})
			c.start(victim)
			l.load(list[2*third:], nil)
			c.awaitReady(1, 2, 3)
			t.Logf("%d of %d words acknowledged in %v, %d refused, over %d connections, longest gap %v", len(l.acknowledged), len(list),
				time.Since(began).Round(time.Millisecond), l.refused, l.dials, l.gap.Round(time.Millisecond))
			if len(l.acknowledged) < len(list)*9/10 {
				t.Errorf("only %d of %d words were acknowledged", len(l.acknowledged), len(list))
			}
			for id := 1; id <= 3; id++ {
				if d.door == memcachedDoor {
					c.readBackMemcached(id, list, l.acknowledged)
				}
				c.readBackRedis(id, list, func(word string) bool { return l.acknowledged[word] })
			}
			c.checkSizes()
			c.checkReplicas()
		})
	}
}

// loader is a client that pipelines sets and keeps account of each.
type loader struct {
	t            *testing.T
	c            *cluster
	d            dialect
	through      int
	acknowledged map[string]bool
	refused      int
	dials        int
	// last is when something was acknowledged last, gap the longest time between two.
	last time.Time
	gap  time.Duration
}

// window is how many sets are under way at a time.
const window = 500

// load sets the words; in the middle, with a full window under way, it calls hurt.
func (l *loader) load(list []string, hurt func()) {
	l.t.Helper()
	middle := len(list) / 2
	for len(list) > 0 {
		conn, err := net.DialTimeout("tcp", l.c.addr(l.through, l.d.door), 5*time.Second)
		if err != nil {
			l.next()
			continue
		}
		l.dials++
		if l.dials > 1000 {
			l.t.Fatalf("a thousand connections broke, the last one with %v", err)
		}
		before := len(list)
		list, err = l.session(conn, list, middle, hurt)
		conn.Close()
		if middle -= before - len(list); middle < 0 {
			hurt = nil
		}
		if errors.Is(err, errDialect) {
			l.t.Fatal(err)
		}
		if err != nil {
			l.next()
		}
	}
}

// next turns to another node.
func (l *loader) next() { l.through = l.through%3 + 1 }

// session works on one connection and returns the words that it never sent.
func (l *loader) session(conn net.Conn, list []string, middle int, hurt func()) (rest []string, err error) {
	r, buf := bufio.NewReader(conn), []byte(nil)
	for sent := 0; len(list) > 0; {
		n := min(window, len(list))
		buf = buf[:0]
		for _, word := range list[:n] {
			buf = l.d.set(buf, word, valueOf(word))
		}
		part := list[:n]
		list = list[n:]
		conn.SetDeadline(time.Now().Add(30 * time.Second))
		if _, err := conn.Write(buf); err != nil {
			return list, err // what was under way may have happened or not
		}
		if hurt != nil && sent <= middle && middle < sent+n {
			hurt()
			hurt = nil
		}
		sent += n
		for _, word := range part {
			refused, err := l.d.reply(r)
			switch {
			case err != nil:
				return list, err
			case refused != "":
				l.refused++
			default:
				l.acknowledged[word] = true
				l.gap, l.last = max(l.gap, time.Since(l.last)), time.Now()
			}
		}
	}
	return list, nil
}

// readBackMemcached reads every word through a node's memcached door.
func (c *cluster) readBackMemcached(id int, list []string, acknowledged map[string]bool) {
	c.t.Helper()
	conn, err := net.DialTimeout("tcp", c.addr(id, memcachedDoor), 5*time.Second)
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	r := bufio.NewReader(conn)
	const chunk = 100
	for at := 0; at < len(list); at += chunk {
		part := list[at:min(at+chunk, len(list))]
		fmt.Fprintf(conn, "get %s\r\n", strings.Join(part, " "))
		found, err := memcachedValues(r)
		if err != nil {
			c.t.Fatalf("read the words back through node %d: %v", id, err)
		}
		for _, word := range part {
			got, ok := found[word]
			c.judgeWord(id, word, got, ok, acknowledged[word])
		}
	}
}

// memcachedValues reads the answer to a get.
func memcachedValues(r *bufio.Reader) (map[string]string, error) {
	found := map[string]string{}
	for {
		text, err := line(r)
		if err != nil || text == "END" {
			return found, err
		}
		fields := strings.Fields(text)
		if len(fields) != 4 || fields[0] != "VALUE" {
			return nil, fmt.Errorf("%w: %q answers get", errDialect, text)
		}
		size, err := strconv.Atoi(fields[3])
		if err != nil {
			return nil, fmt.Errorf("%w: %q answers get", errDialect, text)
		}
		value := make([]byte, size+2)
		if _, err := io.ReadFull(r, value); err != nil {
			return nil, err
		}
		found[fields[1]] = string(value[:size])
	}
}
