package outside

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gamutdb/gamut/internal/freeport"
	"github.com/gamutdb/gamut/values"
)

func TestAddresses(t *testing.T) {
	for _, c := range []struct{ address, want, wrong string }{
		{"memcached://10.0.0.1:11300", "memcached://10.0.0.1:11300", ""},
		{"memcached://store.example", "memcached://store.example:11211", ""},
		{"memcached://[::1]:11211", "memcached://[::1]:11211", ""},
		{"redis://127.0.0.1", "redis://127.0.0.1:6379", ""},
		{"redis://user:secret@127.0.0.1:6380/2", "redis://127.0.0.1:6380/2", ""},
		{"rediss://127.0.0.1:6380", "rediss://127.0.0.1:6380", ""},
		{"", "", `of the kind ""`},
		{"127.0.0.1:11211", "", "cannot be read"},
		{"mongodb://127.0.0.1", "", `of the kind "mongodb"`},
		{"memcached://", "", "names no host"},
		{"memcached://:11211", "", "names no host"},
		{"memcached://host:0", "", `port "0"`},
		{"memcached://host:70000", "", `port "70000"`},
		{"memcached://user@host", "", "no users"},
		{"memcached://host/2", "", "no databases"},
		{"redis://:secret@host/two", "", "xxxxx@host"},
		{"redis://host?db=2", "", "says more"},
		{"%", "", "cannot be read"},
	} {
		s, err := Open(c.address)
		switch {
		case c.wrong == "" && (err != nil || s.Address() != c.want):
			t.Errorf("%s: %v, want %s", c.address, err, c.want)
		case c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong) || strings.Contains(err.Error(), "secret")):
			t.Errorf("%s: %v, want %s", c.address, err, c.wrong)
		}
		if err == nil {
			s.Close()
		}
	}
}

// real starts a server of Debian's on a free port.
func real(t *testing.T, args func(port string) []string) (address string, server *exec.Cmd) {
	t.Helper()
	address = freeport.Address(t)
	list := args(address[strings.LastIndex(address, ":")+1:])
	path, err := exec.LookPath(list[0])
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing: install Debian's", list[0])
		}
		t.Skipf("%s is missing: install Debian's", list[0])
	}
	server = exec.Command(path, list[1:]...)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Kill() // one that has ended needs no signal
		server.Wait()         // it was killed
	})
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			return address, server
		}
	}
	t.Fatalf("%s does not listen", list[0])
	return
}

// TestRealStores says of real stores what is missing, too long, full and away, and by what they evict.
func TestRealStores(t *testing.T) {
	for _, c := range []struct {
		name, scheme string
		args         func(port string) []string
		tooLong      bool
		evicts       string
	}{
		{"memcached", "memcached", func(port string) []string {
			return []string{"memcached", "-u", "nobody", "-l", "127.0.0.1", "-p", port}
		}, true, "-M"},
		{"memcached that keeps", "memcached", func(port string) []string {
			return []string{"memcached", "-u", "nobody", "-l", "127.0.0.1", "-p", port, "-M", "-m", "2"}
		}, true, ""},
		{"redis", "redis", func(port string) []string {
			return []string{"redis-server", "--bind", "127.0.0.1", "--port", port, "--save", ""}
		}, false, ""},
		{"redis that is small", "redis", func(port string) []string {
			return []string{"redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--maxmemory", "4mb"}
		}, false, ""},
		{"redis that evicts", "redis", func(port string) []string {
			return []string{"redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--maxmemory", "4mb", "--maxmemory-policy", "allkeys-lru"}
		}, false, "noeviction"},
	} {
		t.Run(c.name, func(t *testing.T) {
			address, server := real(t, c.args)
			s, err := Open(c.scheme + "://" + address)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if _, err := s.Get("a"); !errors.Is(err, values.ErrMissing) {
				t.Errorf("nothing is read as %v", err)
			}
			value := "bytes \x00\r\n END\r\n"
			if err := errors.Join(s.Put("a", []byte("first")), s.Put("a", []byte(value)), s.Delete("b")); err != nil {
				t.Error(err)
			}
			if v, err := s.Get("a"); err != nil || string(v) != value {
				t.Errorf("%q is read as %q, %v", value, v, err)
			}
			if err := s.Put("long", make([]byte, 2<<20)); errors.Is(err, values.ErrTooLong) != c.tooLong {
				t.Errorf("2 MiB: %v", err)
			}
			if e := s.Evicts(); (e == "") != (c.evicts == "") || !strings.Contains(e, c.evicts) {
				t.Errorf("evicts: %q", e)
			}
			if strings.HasSuffix(c.name, "keeps") || strings.HasSuffix(c.name, "small") {
				fill(t, s)
			}
			if err := s.Delete("a"); err != nil {
				t.Error(err)
			}
			if _, err := s.Get("a"); !errors.Is(err, values.ErrMissing) {
				t.Errorf("what was deleted is read as %v", err)
			}
			server.Process.Kill() // it runs
			server.Wait()         // it was killed
			if _, err := s.Get("a"); err == nil || errors.Is(err, values.ErrMissing) {
				t.Errorf("a store that is away is read as %v", err)
			}
		})
	}
}

// fill puts more than there is room for.
func fill(t *testing.T, s Store) {
	t.Helper()
	for i := range 1000 {
		if err := s.Put("fill"+string(rune('A'+i)), make([]byte, 100<<10)); err != nil {
			if !errors.Is(err, values.ErrFull) {
				t.Errorf("a store without room answers %v", err)
			}
			return
		}
	}
	t.Error("100 MB fit into a store of 4")
}
