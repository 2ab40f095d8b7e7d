package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/referee"
)

// Options say how a script is played. Zero values leave it to the script.
type Options struct {
	// Worlds are the worlds that there are, by name; World is the one to play in.
	Worlds map[string]Open
	World  string
	// Seed, Consistency, Tie and Session come before what the script says.
	Seed         uint64
	Consistency  kv.Consistency
	Tie, Session string
	// BasePort is where the ports of a live cluster begin; 0: the world's default.
	BasePort int
	// Out takes what is printed and not expected.
	Out io.Writer
	// Rewrite takes what is printed for what is expected.
	Rewrite bool
}

// Outcome is how a script went.
type Outcome struct {
	// World describes the world; Took is how long the script took by its clock.
	World string
	Took  time.Duration
	// Held counts expectations that were met; Failures are the others.
	Held     int
	Failures []Failure
	// Text is the script with what it printed, if it was rewritten.
	Text string
	// Broken says that the referee, asked by check, found a promise broken.
	Broken bool
	// Runs are what clients saw of each keyspace that they used, by the names of these.
	Runs []KeyspaceRun
}

// KeyspaceRun is a run as the clients of one keyspace saw it.
type KeyspaceRun struct {
	Keyspace string
	*referee.Run
}

// Failure is an expectation that was not met.
type Failure struct {
	Script    string
	Line      int
	Want, Got string
}

// Error shows both.
func (f *Failure) Error() string {
	return fmt.Sprintf("%s:%d: expected\n%sbut it printed\n%s", f.Script, f.Line, indented(f.Want), indented(f.Got))
}

func indented(text string) string {
	if text == "" {
		return "    (nothing)\n"
	}
	return "    " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n    ") + "\n"
}

// timeoutDefault is what clients give a node if nothing is said.
const timeoutDefault = 5 * time.Second

// runner plays one script.
type runner struct {
	ctx     context.Context
	script  *Script
	options Options
	world   World
	out     strings.Builder
	rng     *rand.Rand

	spaces  map[string]*space
	using   string
	clients map[uint64]*client
	current *client
	// console is the node that statements are about that name none; 0: the first that runs.
	console core.NodeID
	links   map[[2]core.NodeID]Link
	disks   map[core.NodeID]Disk
	clocks  map[core.NodeID]Clock
	jobs    []*job
	// contexts are what reads of siblings have seen, by the names that statements gave.
	contexts map[string]seen
	events   []referee.Event

	statement *statement
	debug     bool
	ended     bool
	broken    bool // the referee found a promise broken
}

// space is a keyspace that the script uses.
type space struct {
	name        string
	consistency kv.Consistency
	// siblings says that concurrent values are kept side by side.
	siblings bool
	// commitOrder says that writes have final places.
	commitOrder bool
	shards      int
	shardOf     func(key []byte) int
	history     referee.History
}

// Play runs a script in its world, from the start to the end. An error is about a line that could not be carried out, or about
// the world; an expectation that is not met is none.
func Play(ctx context.Context, s *Script, o Options) (*Outcome, error) {
	name := orText(o.World, orText(s.World, "sim"))
	open := o.Worlds[name]
	if open == nil {
		return nil, fmt.Errorf("%s: there is no world %q here", s.Name, name)
	}
	setting := s.Setting
	if o.Seed != 0 {
		setting.Seed = o.Seed
	}
	setting.Tie, setting.BasePort = orText(o.Tie, s.Tie), o.BasePort
	world, err := open(ctx, setting)
	if err != nil {
		return nil, fmt.Errorf("%s: open the world %q: %w", s.Name, name, err)
	}
	r := &runner{ctx: ctx, script: s, options: o, world: world, rng: rand.New(rand.NewPCG(setting.Seed, 1)),
		spaces: map[string]*space{}, using: defaultKeyspace, clients: map[uint64]*client{}, links: map[[2]core.NodeID]Link{},
		disks: map[core.NodeID]Disk{}, clocks: map[core.NodeID]Clock{}, contexts: map[string]seen{}}
	r.current = r.clientOf(0)
	outcome, err := r.play()
	return outcome, errors.Join(err, world.Close())
}

func orText(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func (r *runner) play() (*Outcome, error) {
	o := &Outcome{World: r.world.Describe()}
	if !r.script.joins() && !r.script.makesKeyspaces() {
		if _, err := r.space(args{}); err != nil {
			return o, fmt.Errorf("%s: %w", r.script.Name, err)
		}
	}
	steps := r.script.steps
	rewriting := newRewriting(r.script)
	for i := range steps {
		if r.ended {
			break
		}
		got, err := r.step(&steps[i], i == len(steps)-1)
		switch want := steps[i].expected; {
		case err != nil:
			_, _ = io.WriteString(r.options.Out, got)
			return o, err
		case r.options.Rewrite:
			rewriting.printed(&steps[i], got)
		case want == nil:
			_, err = io.WriteString(r.options.Out, got)
		case want.want == got:
			o.Held++
		default:
			o.Failures = append(o.Failures, Failure{r.script.Name, want.from + 1, want.want, got})
		}
		if err != nil {
			return o, err
		}
	}
	o.Took, o.Text, o.Broken = r.world.Now(), rewriting.text(), r.broken
	err := r.report(o)
	return o, err
}

// step carries out the statements of a step and returns what they print. The last one waits for all that runs.
func (r *runner) step(st *step, last bool) (printed string, err error) {
	for i := range st.statements {
		r.statement = &st.statements[i]
		if err = r.run(r.statement); err != nil || r.ended {
			break
		}
	}
	if err == nil && (last || r.ended) {
		err = r.waitAll()
	}
	printed = r.out.String()
	r.out.Reset()
	return printed, err
}

func (r *runner) run(s *statement) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	err := s.form.row.run(r, s.args)
	if s.refused {
		if err == nil {
			return &Mistake{r.script.Name, s.line, "it should have been refused, as the ! before it says, and was not"}
		}
		r.print("refused: %s", r.inWords(err))
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s:%d: %s: %w", r.script.Name, s.line, s.text, err)
	}
	return nil
}

// inWords is an error in the numbers that the script has for its nodes.
func (r *runner) inWords(err error) string { return err.Error() }

func (r *runner) print(format string, a ...any) { fmt.Fprintf(&r.out, format+"\n", a...) }

// label is what the script calls a node.
func (r *runner) label(n core.NodeID) int { return r.script.labels[n] }

// event notes what was done to the cluster, for the referee and its report.
func (r *runner) event(what, detail string, nodes ...core.NodeID) {
	e := referee.Event{What: what, At: int64(r.world.Now()), Detail: detail}
	for _, n := range nodes {
		e.Nodes = append(e.Nodes, uint32(n))
	}
	r.events = append(r.events, e)
}

// report gathers what clients saw.
func (r *runner) report(o *Outcome) error {
	for _, name := range r.spaceNames() {
		s := r.spaces[name]
		if len(s.history) == 0 {
			continue
		}
		run, err := r.judged(s)
		if err != nil {
			return err
		}
		o.Runs = append(o.Runs, KeyspaceRun{name, run})
	}
	return nil
}

// judged is what the referee is told of a keyspace.
func (r *runner) judged(s *space) (*referee.Run, error) {
	run := &referee.Run{Name: r.script.Name, Seed: r.script.Setting.Seed, Consistency: referee.Promise(s.consistency, s.commitOrder),
		History: slices.Clone(s.history), Events: r.events}
	run.History.Sort()
	items, ok, err := r.scanAll(s, timeoutDefault)
	if ok {
		run.Final = referee.Final{}
		for i := range items {
			if run.Final[string(items[i].Key)], err = r.endOf(s, &items[i]); err != nil {
				return run, err
			}
		}
	}
	if err == nil && r.healthy() {
		run.Replicas, err = r.held(s)
	}
	return run, err
}

// healthy says that all nodes run and reach each other: only then can replicas be held to be equal.
func (r *runner) healthy() bool {
	for _, l := range r.links { // order does not matter: all must be well
		if l != (Link{}) {
			return false
		}
	}
	return len(r.up()) == len(r.world.Nodes())
}

// held is what each replica of a keyspace holds, once what is under way has come to rest. Records that end one day are left out:
// when they are removed is each replica's affair.
func (r *runner) held(s *space) (list []referee.Replica, err error) {
	if _, err := r.settle(s, settle, func() [][]core.NodeID { return [][]core.NodeID{r.up()} }); err != nil {
		return nil, err
	}
	all, err := r.stores(s, r.up())
	for shard := range s.shards {
		for _, n := range r.world.Nodes() {
			items, ok := all[shard][n]
			if !ok {
				continue
			}
			p := referee.Replica{Node: uint32(n), Group: uint64(shard + 1), Records: map[string]referee.Record{}}
			for _, item := range items {
				if item.ExpireAt == 0 {
					p.Records[string(item.Key)] = RecordOf(&kv.InspectItem{Value: item.Value, Version: item.Version, Origin: item.Origin})
				}
			}
			list = append(list, p)
		}
	}
	return list, err
}

func (r *runner) spaceNames() (names []string) {
	for name := range r.spaces {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// rewriting puts what paragraphs print below them.
type rewriting struct {
	script *Script
	out    []string
	next   int // the first line that was not taken over
}

func newRewriting(s *Script) *rewriting { return &rewriting{script: s} }

func (w *rewriting) printed(st *step, got string) {
	lines := w.script.lines
	switch {
	case st.expected != nil:
		w.out = append(w.out, lines[w.next:st.expected.from]...)
		w.next = st.expected.to
	case got != "":
		last := st.statements[len(st.statements)-1].line
		w.out = append(w.out, lines[w.next:last]...)
		w.next = last
	default:
		return
	}
	w.out = append(w.out, expected(got)...)
}

func expected(got string) []string {
	body := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
	if got == "" {
		return []string{mark}
	}
	if slices.ContainsFunc(body, func(l string) bool { return strings.TrimSpace(l) == "" }) {
		return append(append([]string{mark, mark}, body...), mark, mark)
	}
	return append([]string{mark}, body...)
}

func (w *rewriting) text() string {
	return joined(append(w.out, w.script.lines[w.next:]...))
}

// Rewrite plays a script and writes what it printed into its file.
func Rewrite(ctx context.Context, s *Script, o Options) (*Outcome, error) {
	o.Rewrite = true
	outcome, err := Play(ctx, s, o)
	if err != nil {
		return outcome, err
	}
	return outcome, os.WriteFile(s.Name, []byte(outcome.Text), 0o644)
}
