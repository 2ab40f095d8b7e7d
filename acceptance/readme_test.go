package acceptance

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gamutdb/gamut/internal/freeport"
)

// TestReadmeTranscripts runs the transcripts of the README and the examples that are marked as tested, and holds what is
// printed against what stands there.
func TestReadmeTranscripts(t *testing.T) {
	if testing.Short() {
		t.Skip("runs processes; left out by -short")
	}
	examples, err := filepath.Glob("../examples/*.md")
	if err != nil || len(examples) == 0 {
		t.Fatalf("there are no examples: %v", err)
	}
	for _, file := range append(examples, "../README.md") {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		transcripts := readTranscripts(string(b))
		if len(transcripts) == 0 {
			t.Errorf("%s has no transcript that is marked as tested", file)
		}
		for _, tr := range transcripts {
			t.Run(tr.name, func(t *testing.T) {
				for _, tool := range []string{"bash", "redis-cli", "curl", "memcached"} {
					if _, err := exec.LookPath(tool); err != nil {
						lacks(t, "no %s, which a transcript uses", tool)
					}
				}
				runTranscript(t, tr)
			})
		}
	}
}

// transcript is a console session: commands and what each prints.
type transcript struct {
	name  string
	steps []step
}

type step struct {
	command string
	prints  []string
}

var marked = regexp.MustCompile("(?s)<!-- tested: (.*?) -->\\s*```console\n(.*?)\n```")

func readTranscripts(text string) (all []transcript) {
	for _, m := range marked.FindAllStringSubmatch(text, -1) {
		tr := transcript{name: m[1]}
		for line := range strings.SplitSeq(m[2], "\n") {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				tr.steps = append(tr.steps, step{command: command})
			} else if n := len(tr.steps); n > 0 && line != "" {
				tr.steps[n-1].prints = append(tr.steps[n-1].prints, line)
			}
		}
		all = append(all, tr)
	}
	return all
}

func TestReadTranscripts(t *testing.T) {
	got := readTranscripts("text\n<!-- tested: this -->\n```console\n$ echo a\na\n...\n$ echo b\n```\n```console\n$ not tested\n```\n")
	if fmt.Sprint(got) != "[{this [{echo a [a ...]} {echo b []}]}]" {
		t.Error(got)
	}
	for _, c := range []struct {
		wanted, printed string
		rest            bool
	}{
		{"a", "x\na\ny", true}, {"a\nb", "b\na", false}, {"a ... z", "a  b c z", true}, {"a ... z", "a", false}, {"...\na", "a", true},
		{"a", "ab", false}, {"default	0", "default 0", true},
	} {
		if err := compare(strings.Split(c.wanted, "\n"), c.printed); (err == nil) != c.rest {
			t.Errorf("%q against %q: %v", c.printed, c.wanted, err)
		}
	}
}

// compare looks for the wanted lines among the printed ones, in order. "..." stands for anything, blanks for any blanks.
func compare(wanted []string, printed string) error {
	lines := strings.Split(printed, "\n")
	for _, want := range wanted {
		if strings.TrimSpace(want) == "..." {
			continue
		}
		var parts []string
		for part := range strings.SplitSeq(strings.Join(strings.Fields(want), " "), "...") {
			parts = append(parts, regexp.QuoteMeta(part))
		}
		like := regexp.MustCompile("^" + strings.Join(parts, ".*") + "$")
		for len(lines) > 0 && !like.MatchString(strings.Join(strings.Fields(lines[0]), " ")) {
			lines = lines[1:]
		}
		if len(lines) == 0 {
			return fmt.Errorf("nothing printed is like %q", want)
		}
		lines = lines[1:]
	}
	return nil
}

// shell is a bash that is fed line by line, as somebody at a terminal would.
type shell struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *shell) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *shell) since(at int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()[at:]
}

// port finds the ports of the transcripts: those of a cluster that was told nothing, and of the stores beside it.
var port = regexp.MustCompile(`\b(74[0-2][0-3]|1120[1-3])\b`)

// storePorts is where those of the stores begin, and where they are moved, beside the first port of the cluster.
const storePorts, storesMoved = 11200, 30

// movedProgram is a folder with a gamut whose local clusters are elsewhere: the reader of a transcript has the default ports to
// himself. It becomes the program, so that $! is the program's.
func movedProgram(t *testing.T, base int) string {
	dir := t.TempDir()
	text := fmt.Sprintf("#!/bin/sh\nif [ \"$1\" = dev ]; then shift; exec %q dev --base-port %d \"$@\"; fi\nexec %q \"$@\"\n", program, base, program)
	if err := os.WriteFile(filepath.Join(dir, "gamut"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// runTranscript plays a transcript in an empty folder, with all ports moved to free ones.
func runTranscript(t *testing.T, tr transcript) {
	base := freeport.Block(t, 5)
	moved := func(text string) string {
		return port.ReplaceAllStringFunc(text, func(p string) string {
			n, _ := strconv.Atoi(p) // digits
			if n > storePorts {
				return strconv.Itoa(base + storesMoved + n - storePorts)
			}
			return strconv.Itoa(base + n - 7400)
		})
	}
	mark := fmt.Sprintf("GAMUT_ACCEPTANCE=%d-%d", os.Getpid(), base)
	out := new(shell)
	bash := exec.Command("bash", "--norc", "--noprofile")
	bash.Dir = t.TempDir()
	bash.Env = append(os.Environ(), mark, "PATH="+movedProgram(t, base)+":"+os.Getenv("PATH"), "GAMUT_ADDR=127.0.0.1:"+strconv.Itoa(base))
	bash.Stdout, bash.Stderr = out, out
	bash.WaitDelay = time.Second
	stdin, err := bash.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := startProcess(bash); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, pid := range processesMarked(mark) {
			syscall.Kill(pid, syscall.SIGKILL) // what ends at this moment needs no signal
		}
		stdin.Close()
		bash.Wait() // it was killed
	})
	for i, s := range tr.steps {
		at := len(out.since(0))
		done := fmt.Sprintf("--- step %d ended", i)
		fmt.Fprintf(stdin, "%s\necho '%s'\n", moved(s.command), done)
		var wanted []string
		for _, line := range s.prints {
			wanted = append(wanted, moved(line))
		}
		await(t, patience, func() error {
			printed := out.since(at)
			if err := compare(wanted, printed); err != nil {
				return fmt.Errorf("$ %s\n%w; the whole session:\n%s", s.command, err, out.since(0))
			}
			if !strings.Contains(printed, done) {
				return fmt.Errorf("$ %s\ndoes not end; the whole session:\n%s", s.command, out.since(0))
			}
			return nil
		})
	}
}
