package acceptance

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// residentMax is what a node may have in memory, whatever its clients do.
const residentMax = 512 << 20

// TestRefusedStarts starts nodes that cannot be meant: each ends by itself and says what to do.
func TestRefusedStarts(t *testing.T) {
	c := newCluster(t)
	c.stopAll()
	identity := filepath.Join(c.nodes[3].dir, "IDENTITY")
	own, err := os.ReadFile(identity)
	if err != nil {
		t.Fatal(err)
	}
	newer := []byte("gamut store\nformat 99\nwhatever comes then\n")
	newer = fmt.Appendf(newer, "crc32c %08x\n", crc32.Checksum(newer, castagnoli))
	config := filepath.Join(t.TempDir(), "gamut.toml")
	if err := os.WriteFile(config, []byte("node = 1\nreplicaz = 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", c.addr(1, redisDoor))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()

	start := func(node int, dir string, more ...string) []string {
		return append([]string{"start", "--node", fmt.Sprint(node), "--dir", dir, "--cluster", c.list()}, more...)
	}
	for _, wrong := range []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"another node's folder", start(3, c.nodes[2].dir), 1, []string{"belongs to node 2, this is node 3", "own folder"}},
		{"another cluster's folder", start(3, c.nodes[3].dir, "--name", "other"), 1, []string{"belongs to cluster", "own folder"}},
		{"newer format", start(3, c.nodes[3].dir), 1, []string{"has format 99", "start a newer program"}},
		{"folder of something else", start(3, filepath.Dir(config)), 1, []string{"gamut.toml", "use an empty folder"}},
		{"unknown key", []string{"start", "--config", config}, 2, []string{"line 2", "replicaz"}},
		{"two nodes on one address", []string{"start", "--node", "1", "--cluster", "1=127.0.0.1:9001,2=127.0.0.1:9001"}, 2, []string{"nodes 1 and 2 have one address, 127.0.0.1:9001"}},
		{"port in use", start(1, c.nodes[1].dir), 1, []string{"redis door", c.addr(1, redisDoor), "in use"}},
		{"reachable from elsewhere", []string{"start", "--node", "1", "--cluster", "1=10.1.2.3:7401"}, 2, []string{"--insecure"}},
	} {
		t.Run(wrong.name, func(t *testing.T) {
			content := own
			if wrong.name == "newer format" {
				content = newer
			}
			if err := os.WriteFile(identity, content, 0o600); err != nil {
				t.Fatal(err)
			}
			before := contents(t, c.dir)
			code, out := runLimited(t, wrong.args...)
			if after := contents(t, c.dir); after != before && wrong.name != "port in use" { // that one had opened its own
				t.Errorf("changes the folders, from\n%s\nto\n%s", before, after)
			}
			if code != wrong.code {
				t.Errorf("exits with %d, want %d: %s", code, wrong.code, out)
			}
			for _, text := range wrong.says {
				if !strings.Contains(out, text) {
					t.Errorf("does not say %q: %s", text, out)
				}
			}
			if strings.Contains(out, "goroutine ") {
				t.Errorf("falls over: %s", out)
			}
		})
	}
}

// contents names all files of a folder, with their checksums.
func contents(t *testing.T, dir string) string {
	t.Helper()
	var list strings.Builder
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		fmt.Fprintf(&list, "%s %d %08x\n", path, len(b), crc32.ChecksumIEEE(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list.String()
}

// runLimited runs the binary, which must end by itself.
func runLimited(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = t.TempDir()
	b, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || ctx.Err() != nil) {
		t.Fatalf("gamut %v: %v, %v: %s", args, err, ctx.Err(), b)
	}
	return cmd.ProcessState.ExitCode(), string(b)
}

// TestFullDisk fills the disk of one node. It refuses writes on every door, says so, serves reads and comes back when there
// is room again.
func TestFullDisk(t *testing.T) {
	c := layOut(t)
	const size = 512 << 20
	disk := t.TempDir()
	unmount, err := mountTmpfs(disk, size)
	if err != nil {
		lacks(t, "no file system of its own size can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		c.end() // a folder in use cannot be removed
		if err := unmount(); err != nil {
			t.Error(err)
		}
	})
	c.nodes[2].dir = filepath.Join(disk, "node2")
	c.startAll()
	c.put(2, "before", "the disk was full")

	filler := filepath.Join(disk, "filler")
	fillUp(t, filler)
	await(t, patience, func() error {
		if err := c.readyz(2); err == nil || !strings.Contains(err.Error(), "503") || !strings.Contains(err.Error(), "nearly full; make room") {
			return fmt.Errorf("/readyz of a node without disk space says %v", err)
		}
		return nil
	})
	ctx := context.Background()
	if err := c.redis(2, 5*time.Second).Set(ctx, "k", "v", 0).Err(); err == nil || !strings.HasPrefix(err.Error(), "MISCONF ") {
		t.Errorf("the redis door answers a write with %v", err)
	}
	if text := c.talk(2, memcachedDoor, "set k 0 0 1\r\nv\r\n"); !strings.HasPrefix(text, "SERVER_ERROR disk full") {
		t.Errorf("the memcached door answers a write with %q", text)
	}
	if status := c.putHTTP(2, "k", "v"); status != http.StatusInsufficientStorage {
		t.Errorf("the HTTP door answers a write with status %d", status)
	}
	c.get(2, "before", "the disk was full")
	for _, id := range []int{1, 3} {
		c.put(id, "meanwhile", "others go on")
		c.get(id, "meanwhile", "others go on")
	}
	if status, err := c.status(2); err != nil || !strings.Contains(strings.Join(status.Alarms, " "), "kept in reserve") {
		t.Errorf("status of the full node: alarms %q, %v", status.Alarms, err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	c.awaitReady(2)
	c.put(2, "after", "there is room")
	c.get(2, "meanwhile", "others go on")
	c.checkReplicas()
}

// fillUp takes all of a disk's space.
func fillUp(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	piece := make([]byte, 1<<20)
	for err == nil {
		_, err = f.Write(piece)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

// talk sends text to a door and returns the first line of the answer.
func (c *cluster) talk(id, door int, text string) string {
	c.t.Helper()
	conn, err := net.DialTimeout("tcp", c.addr(id, door), 5*time.Second)
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write([]byte(text)); err != nil {
		c.t.Fatal(err)
	}
	answer, err := line(bufio.NewReader(conn))
	if err != nil {
		c.t.Fatalf("door %d of node %d answers %q with %v", door, id, text, err)
	}
	return answer
}

func (c *cluster) putHTTP(id int, key, value string) (status int) {
	c.t.Helper()
	req, err := http.NewRequest("PUT", "http://"+c.addr(id, httpDoor)+"/v1/keyspaces/default/keys/"+key, strings.NewReader(value))
	if err != nil {
		c.t.Fatal(err)
	}
	resp, err := httpClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// memory is the resident memory of a node.
func (c *cluster) memory(id int) int64 {
	c.t.Helper()
	n, err := residentBytes(c.nodes[id].pid())
	if err != nil {
		lacks(c.t, "the memory of a process is not known here: %v", err)
	}
	return n
}

func (c *cluster) checkMemory(id int, while string) {
	c.t.Helper()
	if n := c.memory(id); n > residentMax && os.Getenv("GAMUT_RACE") != "1" {
		c.t.Errorf("node %d has %d MiB in memory %s", id, n>>20, while)
	}
}

// TestIdleConnections opens ten thousand connections to one node and leaves them be.
func TestIdleConnections(t *testing.T) {
	const idle = 10_000
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || uint64(limit.Cur) < idle+1000 {
		lacks(t, "a process may have only %d files open here (%v)", limit.Cur, err)
	}
	c := newCluster(t)
	c.memory(1)
	for i := range idle {
		conn, err := net.DialTimeout("tcp", c.addr(1, redisDoor+i%2), 10*time.Second)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		defer conn.Close()
		if i%10 == 0 {
			// Some have said something before they fell silent.
			fmt.Fprint(conn, []string{"PING\r\n", "version\r\n"}[i%2])
		}
	}
	for i := range 50 {
		c.put(1, fmt.Sprint("beside the idle ", i), "served")
		c.get(1, fmt.Sprint("beside the idle ", i), "served")
	}
	c.checkMemory(1, "with 10,000 idle connections")
	t.Logf("%d MiB with %d idle connections", c.memory(1)>>20, idle)
}

// TestClientsThatNeverRead: a hundred clients ask for large values without end and read nothing. The node's memory stays
// bounded and others are served.
func TestClientsThatNeverRead(t *testing.T) {
	c := newCluster(t)
	victim := c.leader()
	c.memory(victim)
	large := strings.Repeat("x", 1<<20)
	c.put(victim, "large", large)
	requests := map[int]string{
		redisDoor: "*2\r\n$3\r\nGET\r\n$5\r\nlarge\r\n", memcachedDoor: "get large\r\n",
		httpDoor: "GET /v1/keyspaces/default/keys/large HTTP/1.1\r\nHost: x\r\n\r\n",
	}
	for i := range 100 {
		door := []int{redisDoor, memcachedDoor, redisDoor, httpDoor}[i%4]
		conn, err := net.DialTimeout("tcp", c.addr(victim, door), 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		go func() {
			pipeline := []byte(strings.Repeat(requests[door], 100))
			for err := error(nil); err == nil; { // until it is cut off, or the test ends
				_, err = conn.Write(pipeline)
			}
		}()
	}
	client := c.redis(victim, 10*time.Second)
	served, most := 0, int64(0)
	for end := time.Now().Add(8 * time.Second); time.Now().Before(end); served++ {
		key := fmt.Sprint("beside the deaf ", served%100)
		err := client.Set(t.Context(), key, key, 0).Err()
		if err == nil {
			_, err = client.Get(t.Context(), key).Result()
		}
		if err != nil && strings.HasPrefix(err.Error(), "TRYAGAIN") {
			served--
			continue // a definite answer, in time: a hundred pipelines are more than can be done soon
		}
		if err != nil {
			t.Fatalf("beside clients that never read: %v", err)
		}
		if n := c.memory(victim); n > most {
			most = n
		}
	}
	c.checkMemory(victim, "with 100 clients that never read")
	if most > residentMax && os.Getenv("GAMUT_RACE") != "1" {
		t.Errorf("node %d had %d MiB in memory", victim, most>>20)
	}
	if served < 100 {
		t.Errorf("only %d others were served", served)
	}
	t.Logf("%d writes and reads beside 100 clients that never read; at most %d MiB", served, most>>20)
}

// TestGarbage sends garbage to every port of every node, the peers' included.
func TestGarbage(t *testing.T) {
	c := newCluster(t)
	c.put(1, "k", "v")
	chance := rand.New(rand.NewPCG(1, 2))
	openings := []string{"", "*3\r\n$-7\r\n", "*1000000000\r\n", "set a 0 0 99999999999\r\n", "get ", "mg ", "PUT / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
		"GET /v1/keyspaces/../../etc HTTP/1.1\r\n\r\n", "\x00\x00\x00\x00", "\xff\xff\xff\xff\xff\xff\xff\xff", "gamut", "GAMUT\x01\x00\x00"}
	for round := range 60 {
		for id := 1; id <= 3; id++ {
			for door := range doors {
				conn, err := net.DialTimeout("tcp", c.addr(id, door), 5*time.Second)
				if err != nil {
					t.Fatalf("door %d of node %d, round %d: %v", door, id, round, err)
				}
				garbage := []byte(openings[round%len(openings)])
				for range chance.IntN(4000) {
					garbage = append(garbage, byte(chance.Uint32()))
				}
				conn.Write(garbage) // whether it takes all of it is its business
				conn.Close()
			}
		}
	}
	for id := 1; id <= 3; id++ {
		if !c.nodes[id].runs() {
			t.Fatalf("garbage ended node %d", id)
		}
		c.get(id, "k", "v")
	}
	c.checkReplicas()
}
