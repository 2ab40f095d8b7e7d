package memcached

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gamutdb/gamut/internal/freeport"
)

// startReal starts Debian's memcached on a free port.
func startReal(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("memcached")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("memcached is not installed: apt-get install memcached")
		}
		t.Skip("memcached is not installed: apt-get install memcached")
	}
	address := freeport.Address(t)
	_, port, _ := net.SplitHostPort(address)
	args := []string{"-l", "127.0.0.1", "-p", port, "-U", "0", "-I", "8m", "-m", "256"}
	if os.Getuid() == 0 {
		args = append(args, "-u", "nobody")
	}
	command := exec.Command(path, args...)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		command.Process.Kill()
		command.Wait()
	})
	for end := time.Now().Add(10 * time.Second); ; {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
			return address
		}
		if time.Now().After(end) {
			t.Fatalf("memcached does not listen: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// script draws random commands.
type script struct {
	r *rand.Rand
	b bytes.Buffer
}

func (s *script) pick(list ...string) string { return list[s.r.IntN(len(list))] }

func (s *script) key() string { return s.pick("a", "b", "c", "key:5", "é") }

// number is a key for counters. What memcached pads with spaces must not be appended to, or be asked for its size.
func (s *script) number() string { return s.pick("n", "m") }

func (s *script) any() string { return s.pick(s.key(), s.number()) }

func (s *script) value() string {
	return s.pick("", "x", "1", "12", "999", "18446744073709551615", "abc\r\ndef", strings.Repeat("v", 1+s.r.IntN(3000)), "-1", "1x", "007")
}

func (s *script) exptime() string {
	return s.pick("0", "0", "0", "100", "2592000", "-1", "2592001", "x")
}

func (s *script) noreply() string { return s.pick("", "", "", " noreply") }

func (s *script) step() {
	switch s.r.IntN(12) {
	case 0, 1:
		v, verb, key := s.value(), s.pick("set", "set", "add", "replace"), s.any()
		if s.r.IntN(3) == 0 {
			verb, key = s.pick("append", "prepend"), s.key()
		}
		if (v == "" || len(v) == 20) && (key == "n" || key == "m") {
			// Of an empty value memcached's ma says that it is no number before it looks at the version. Behind one over
			// 2^63 it looks for a minus sign in whatever memory follows.
			v = "x"
		}
		fmt.Fprintf(&s.b, "%s %s %s %s %d%s\r\n%s\r\n", verb, key,
			s.pick("0", "5", "4294967295"), s.pick("0", "0", "100", "-1", "2592001"), len(v), s.noreply(), v)
	case 2:
		v := s.value()
		// 9223372036854775807 is no version of either server; what a matching one does stands in the conversations.
		fmt.Fprintf(&s.b, "cas %s 1 0 %d %s%s\r\n%s\r\n", s.key(), len(v), s.pick("9223372036854775807", "0"), s.noreply(), v)
	case 3, 4:
		fmt.Fprintf(&s.b, "%s %s %s\r\n", s.pick("get", "gets"), s.any(), s.pick("", s.any(), s.any()+"  "+s.key()))
	case 5:
		fmt.Fprintf(&s.b, "%s %s %s%s\r\n", s.pick("incr", "decr"), s.number(), s.pick("1", "0", "5", "1000", "18446744073709551616", "x", "-1"), s.noreply())
	case 6:
		fmt.Fprintf(&s.b, "%s\r\n", s.pick("delete "+s.any(), "delete "+s.key()+s.noreply(), "delete "+s.key()+" 0", "touch "+s.any()+" "+s.exptime()+s.noreply(),
			"gat "+s.exptime()+" "+s.key(), "gats "+s.exptime()+" "+s.key()+" "+s.key()))
	case 7:
		fmt.Fprintf(&s.b, "%s\r\n", s.pick("flush_all noreply", "flush_all 0", "flush_all x", "foo", "", " ", "get", "set a 1", "incr a", "touch a", "delete", "mn", "mn x",
			"mg", "ms a", "md", "ma", "mx a", "verbosity 1", "verbosity", "verbosity x", "set a x 0 1", "set a 0 x 1", "set a 0 0 -1", "shutdown", "gat 0",
			"get "+strings.Repeat("k", 251), "get a "+strings.Repeat("k", 251), "set "+strings.Repeat("k", 251)+" 0 0 1", "cache_memlimit 1", "cache_memlimit", "stats foo", "stats detail",
			"mg "+strings.Repeat("k", 251), "delete "+strings.Repeat("k", 251), "misbehave", "a", "flush_all 1 2 3", "delete a b c d", "incr a 1 noreply x"))
	case 8:
		fmt.Fprintf(&s.b, "mg %s%s\r\n", s.key(), s.flags("v", "v", "s", "t", "f", "c", "k", "q", "Oab", "u", "T100", "N50", "R30", "R200", "Tx", "?", "Ppath"))
	case 9:
		v := s.value()
		fmt.Fprintf(&s.b, "ms %s %d%s\r\n%s\r\n", s.key(), len(v), s.flags("T0", "T100", "F5", "c", "k", "q", "Oab", "ME", "MA", "MP", "MR", "MS", "MX", "MEE", "C9223372036854775807", "C0", "I", "Fx", "?", "Tx"), v)
	case 10:
		fmt.Fprintf(&s.b, "md %s%s\r\n", s.key(), s.flags("q", "k", "Oab", "I", "T60", "C9223372036854775807", "C0", "?"))
	case 11:
		fmt.Fprintf(&s.b, "ma %s%s\r\n", s.number(), s.flags("q", "k", "Oab", "v", "N0", "N70", "J13", "D5", "MI", "MD", "M+", "M-", "MQ", "Dx", "Jx", "C9223372036854775807", "C0", "c"))
	}
}

// flags draws up to four flags, mostly different ones.
func (s *script) flags(list ...string) string {
	out := ""
	for range s.r.IntN(5) {
		out += " " + s.pick(list...)
	}
	return out
}

var (
	valueCas = regexp.MustCompile(`(?m)^(VALUE \S+ \d+ \d+) \d+\r$`)
	metaCas  = regexp.MustCompile(`(?m)^((?:HD|VA \d+|EX|NS|NF)(?: \S+)*?) c[1-9]\d*`)
	ttlShown = regexp.MustCompile(`(?m)^((?:HD|VA \d+)(?: \S+)*?) t(\d+)`)
)

var (
	paddedValue = regexp.MustCompile(`(?m)^(VALUE \S+ \d+) \d+((?: \d+)?\r\n\d+) +\r$`)
)

// normalise hides what differs by nature: the cas uniques, the spaces that memcached leaves behind a number that has lost a
// digit, and a second that has passed on a clock of whole seconds.
func normalise(reply string) string {
	reply = paddedValue.ReplaceAllStringFunc(reply, func(s string) string {
		m := paddedValue.FindStringSubmatch(s)
		_, digits, _ := strings.Cut(m[2], "\n")
		return m[1] + " " + strconv.Itoa(len(digits)) + m[2] + "\r"
	})
	reply = valueCas.ReplaceAllString(reply, "$1 CAS\r")
	reply = metaCas.ReplaceAllString(reply, "$1 cCAS")
	return ttlShown.ReplaceAllStringFunc(reply, func(s string) string {
		m := ttlShown.FindStringSubmatch(s)
		n, _ := strconv.Atoi(m[2])
		return fmt.Sprintf("%s t%d", m[1], (n+4)/10*10)
	})
}

// ask sends one command and a barrier, and returns what came before the barrier's answer.
func ask(t *testing.T, c net.Conn, command string) string {
	t.Helper()
	// An unterminated or swallowed command would take the barrier for data; none of the script's is.
	const barrier = "\r\nCLIENT_ERROR usage: stats detail on|off|dump\r\n"
	if _, err := io.WriteString(c, command+"stats detail\r\n"); err != nil {
		t.Fatal(err)
	}
	got := []byte("\r\n")
	piece := make([]byte, 64<<10)
	for !bytes.HasSuffix(got, []byte(barrier)) {
		n, err := c.Read(piece)
		if err != nil {
			t.Fatalf("after %q came %q, then %v", command, got, err)
		}
		got = append(got, piece[:n]...)
	}
	return string(got[2 : len(got)-len(barrier)+2])
}

func TestSameRepliesAsMemcached(t *testing.T) {
	realAddress := startReal(t)
	for seed := range uint64(30) {
		_, ours := start(t, newFake(), Options{})
		a, b := dial(t, realAddress), dial(t, ours)
		ask(t, a, "flush_all\r\n")
		s := script{r: rand.New(rand.NewPCG(seed, 1))}
		var history []string
		for range 400 {
			s.b.Reset()
			s.step()
			command := s.b.String()
			history = append(history, command)
			want, got := normalise(ask(t, a, command)), normalise(ask(t, b, command))
			if got != want {
				t.Fatalf("seed %d: %.300q\n     door %.300q\nmemcached %.300q\nafter %.100q", seed, command, got, want, history[max(0, len(history)-12):])
			}
		}
	}
}
