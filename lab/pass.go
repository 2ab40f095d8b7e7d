package lab

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gamutdb/gamut/core"
	"github.com/gamutdb/gamut/kv"
	"github.com/gamutdb/gamut/referee"
)

// patience is how long a script waits for something if it says nothing, settle how long verify does.
const (
	patience = 30 * time.Second
	settle   = 2 * time.Second
	// lookEvery is how often all stores are compared while time passes: that reads them whole.
	lookEvery = 10 * time.Millisecond
)

func (r *runner) sleep(a args) error { return r.world.Sleep(r.ctx, arg[time.Duration](a, "DURATION")) }

func (r *runner) echo(a args) error {
	var words []string
	for _, w := range a["TEXT"] {
		words = append(words, w.(string))
	}
	r.print("%s", strings.Join(words, " "))
	return nil
}

func (r *runner) exit(args) error {
	r.ended = true
	return nil
}

// await waits for a leader that most replicas follow, or all whose nodes run.
func (r *runner) await(a args) error {
	limit := orElse(a, "DURATION", patience)
	var failed error
	met, err := r.world.Until(r.ctx, limit, func() bool {
		var led bool
		led, failed = r.led(text(a, "leader|ready") == "ready")
		return led || failed != nil && !passes(failed)
	})
	switch {
	case err != nil:
		return err
	case failed != nil:
		return failed
	case !met:
		return fmt.Errorf("nobody leads keyspace %s after %v", r.using, limit)
	}
	return nil
}

// passes says that a node could not be asked for a reason that is over soon, as while it starts.
func passes(err error) bool {
	var e *kv.Error
	return errors.As(err, &e) && (e.Code == kv.Unavailable || e.Code == kv.NotLeader || e.Code == kv.Busy)
}

// led reports whether every shard of the keyspace has a leader that runs, and that more than half of the replicas follow, or
// all that run.
func (r *runner) led(all bool) (bool, error) {
	list, err := r.replicas()
	if err != nil {
		return false, err
	}
	type tally struct{ replicas, up, follow int }
	shards := map[int]*tally{}
	for _, x := range list {
		if shards[x.Shard] == nil {
			shards[x.Shard] = &tally{}
		}
		t := shards[x.Shard]
		t.replicas++
		if x.Up && !x.Paused {
			t.up++
		}
		if follow := followers(list, &x); x.Status.Role == leading && follow > t.follow {
			t.follow = follow
		}
	}
	for _, t := range shards { // order does not matter: all are asked the same
		if t.follow <= t.replicas/2 || all && t.follow < t.up {
			return false, nil
		}
	}
	return len(shards) > 0, nil
}

// leading is the role of a replica that leads.
const leading = "leader"

// followers counts the replicas that run and name another one, or itself, as their leader.
func followers(list []Replica, leader *Replica) (n int) {
	if !leader.Up || leader.Paused {
		return 0
	}
	for _, x := range list {
		if x.Up && !x.Paused && x.Shard == leader.Shard && x.Status.Leader == uint32(leader.Node) {
			n++
		}
	}
	return n
}

// stabilize waits until every group of nodes that can reach each other holds the same.
func (r *runner) stabilize(a args) error {
	s, err := r.space(a)
	if err != nil {
		return err
	}
	if err := r.waitAll(); err != nil {
		return err
	}
	limit := orElse(a, "DURATION", patience)
	differs, err := r.settle(s, limit, r.components)
	if err == nil && differs != "" {
		err = fmt.Errorf("not stable after %v: %s", limit, differs)
	}
	return err
}

// settle lets time pass until the nodes of each group hold the same, and says where they differ if they still do.
func (r *runner) settle(s *space, limit time.Duration, groups func() [][]core.NodeID) (differs string, err error) {
	var failed error
	next := r.world.Now()
	_, err = r.world.Until(r.ctx, limit, func() bool {
		if now := r.world.Now(); now < next {
			return false
		} else {
			next = now + lookEvery
		}
		differs, failed = "", nil
		for _, g := range groups() {
			if differs, failed = r.difference(s, g); failed != nil || differs != "" {
				break
			}
		}
		return failed != nil && !passes(failed) || failed == nil && differs == ""
	})
	if err == nil {
		err = failed
	}
	return differs, err
}

// components are the groups of running nodes that can reach each other, on whatever way.
func (r *runner) components() (groups [][]core.NodeID) {
	left := r.up()
	for len(left) > 0 {
		group := []core.NodeID{left[0]}
		left = left[1:]
		for i := 0; i < len(group); i++ {
			var rest []core.NodeID
			for _, n := range left {
				if r.connected(group[i], n) {
					group = append(group, n)
				} else {
					rest = append(rest, n)
				}
			}
			left = rest
		}
		groups = append(groups, group)
	}
	return groups
}

// check lets the referee judge each keyspace, by its own promise or by another.
func (r *runner) check(a args) error {
	if err := r.waitAll(); err != nil {
		return err
	}
	names := r.spaceNames()
	if a.has("in") {
		if _, err := r.space(a); err != nil {
			return err
		}
		names = []string{text(a, "in")}
	}
	for _, name := range names {
		run, err := r.judged(r.spaces[name])
		if err != nil {
			return err
		}
		as := orElse(a, "as", kv.Consistency(run.Consistency))
		asked := string(as) != run.Consistency
		run.Consistency = string(as)
		r.tellVerdicts(name, run.Consistency, referee.CheckAll(run), asked)
	}
	return nil
}

// tellVerdicts prints what does not hold, with its proof; all that holds is one line, however many checkers there are. What
// was only asked breaks no promise.
func (r *runner) tellVerdicts(space, consistency string, verdicts []referee.Verdict, asked bool) {
	bad := 0
	for _, v := range verdicts {
		if !v.OK() {
			r.print("%s: %s", space, v)
			bad++
		}
		r.broken = r.broken || v.Decision == referee.Broken && !asked
	}
	switch {
	case len(verdicts) == 0:
		r.print("%s: no checker knows what %s promises", space, consistency)
	case bad == 0:
		r.print("%s: %s, by all checkers", space, consistency)
	}
}
