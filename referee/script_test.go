package referee

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gamutdb/gamut/kv"
)

// parse reads a run written by hand, a line for each operation:
//
//	a 1-2 set x=1 v5        client a, called at 1, returned at 2, version 5
//	a 1-2? set x=1          unknown outcome; 1-2! is refused
//	b 3-4 get x=1           what was read; x=- is missing
//	b 3-4 cas x=1>2         and create, delete x, incr x+2=5, append x=<1>
//	b 3-4 include s=m       and exclude s=m, with none behind it if it was not there; members s=m,n
//	b 3-4 txn get x=1; append y=<2>
//	                        behind it: @2 node, t5@2 stamp, l=one level, s=tok session, ttl=5, to=6 where an append ended, met=tentative
//	final x=1 y=-           what was left; replica 1 x=1/t5@2, bank 10 x y
func parse(t *testing.T, text string) *Run {
	t.Helper()
	r := &Run{Search: 10 * time.Second}
	clients := map[string]int{}
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		f := strings.Fields(line)
		switch f[0] {
		case "final":
			r.Final = Final{}
			for _, pair := range f[1:] {
				if k, v, _ := strings.Cut(pair, "="); v != "-" {
					r.Final[k] = strings.ReplaceAll(v, ",", " ")
				}
			}
		case "replica":
			r.Replicas = append(r.Replicas, parseReplica(t, f))
		case "bank":
			r.Bank = &Bank{Total: number(t, f[1]), Accounts: f[2:]}
		default:
			if _, ok := clients[f[0]]; !ok {
				clients[f[0]] = len(clients)
			}
			o := parseOp(t, f)
			o.Client = clients[f[0]]
			r.History = append(r.History, o)
		}
	}
	r.History.Sort()
	return r
}

func number(t *testing.T, s string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func parseStamp(t *testing.T, s string) Stamp {
	t.Helper()
	time, origin, _ := strings.Cut(s, "@")
	return Stamp{kv.HLC(number(t, time)), uint32(number(t, origin))}
}

func parseReplica(t *testing.T, f []string) Replica {
	p := Replica{Node: uint32(number(t, f[1])), Group: 1, Records: map[string]Record{}}
	for _, pair := range f[2:] {
		k, v, _ := strings.Cut(pair, "=")
		v, stamp, ok := strings.Cut(v, "/t")
		rec := Record{Value: v, Deleted: v == "-"}
		if rec.Deleted {
			rec.Value = ""
		}
		if ok {
			rec.Stamp = parseStamp(t, stamp)
		}
		p.Records[k] = rec
	}
	return p
}

func parseOp(t *testing.T, f []string) Op {
	t.Helper()
	o := Op{Outcome: Done}
	span := strings.TrimRight(f[1], "?!")
	switch f[1][len(span):] {
	case "?":
		o.Outcome, o.Code = Unknown, kv.Unknown
	case "!":
		o.Outcome, o.Code = Refused, kv.Busy
	}
	from, to, _ := strings.Cut(span, "-")
	o.Call, o.Return = number(t, from), number(t, to)
	if f[2] == "txn" {
		o.Kind = Txn
		for _, part := range strings.Split(strings.Join(f[3:], " "), ";") {
			one := Op{Outcome: Done}
			words := strings.Fields(part)
			parseAccess(t, &one, words[0], words[1], words[2:])
			o.Subs = append(o.Subs, one.accesses()[0])
			o.Level = one.Level
		}
		return o
	}
	parseAccess(t, &o, f[2], f[3], f[4:])
	return o
}

func parseAccess(t *testing.T, o *Op, kind, what string, more []string) {
	t.Helper()
	o.Kind = Kind(kind)
	key, v, _ := strings.Cut(what, "=")
	o.Key = key
	switch o.Kind {
	case Get:
		if o.Got = v; v == "-" {
			o.Got, o.Code = "", kv.NotFound
		}
	case Members:
		o.Got = strings.ReplaceAll(v, ",", " ")
	case Exclude:
		o.Expect = v
	case Cas:
		o.Expect, o.Value, _ = strings.Cut(v, ">")
	case Incr:
		k, by, _ := strings.Cut(key, "+")
		o.Key, o.Delta, o.Int = k, number(t, by), number(t, v)
	default:
		o.Value = v
	}
	for _, w := range more {
		switch {
		case strings.HasPrefix(w, "l="):
			o.Level = w[2:]
		case strings.HasPrefix(w, "s="):
			o.Session = w[2:]
		case strings.HasPrefix(w, "ttl="):
			o.TTL = number(t, w[4:])
		case strings.HasPrefix(w, "to="):
			o.Int = number(t, w[3:])
		case strings.HasPrefix(w, "met="):
			o.Met = w[4:]
		case w[0] == '@':
			o.Node = uint32(number(t, w[1:]))
		case w[0] == 't':
			o.Stamp = parseStamp(t, w[1:])
		case w[0] == 'v':
			o.Version = uint64(number(t, w[1:]))
		case w == "none":
			o.Code = kv.NotFound
		case w == "failed":
			o.Code = kv.ConditionFailed
		default:
			t.Fatalf("what is %q?", w)
		}
	}
}

// script is a run written by hand and what a checker must say of it.
type script struct {
	check, name string
	want        string // a Decision, or the pattern of a broken one
	text        string
}

// TestScripts judges runs written by hand, good and bad.
func TestScripts(t *testing.T) {
	held, caught := map[string]bool{}, map[string]bool{}
	for _, s := range scripts {
		t.Run(s.check+": "+s.name, func(t *testing.T) {
			c, ok := CheckerNamed(s.check)
			if !ok {
				t.Fatal("no such checker")
			}
			v := c.Check(parse(t, s.text))
			if v.Check != s.check {
				t.Errorf("the verdict is called %q", v.Check)
			}
			if string(v.Decision) != s.want && (v.Decision != Broken || v.Pattern != s.want) {
				t.Errorf("want %s, got %s", s.want, v)
			}
			held[s.check] = held[s.check] || v.Decision == Holds
			caught[s.check] = caught[s.check] || v.Decision == Broken
			if v.Decision != Holds && v.Why == "" {
				t.Errorf("no reason in %s", v)
			}
			if err := proven(&v); err != nil {
				t.Errorf("%v in %s", err, v)
			}
		})
	}
	for _, c := range Checkers {
		if !held[c.Name] || !caught[c.Name] {
			t.Errorf("the checker %s has no script that passes, or none that fails", c.Name)
		}
	}
}

// proven checks that the links of a verdict are between operations of its proof, and follow each other.
func proven(v *Verdict) error {
	in := map[int]bool{}
	for _, o := range v.Proof {
		in[o.ID] = true
	}
	for i, l := range v.Links {
		if !in[l.From] || !in[l.To] {
			return fmt.Errorf("link %d is not between operations of the proof", i)
		}
		if i > 0 && v.Links[i-1].To != l.From {
			return fmt.Errorf("link %d does not follow the one before", i)
		}
		if l.Why == "" || l.Relation == "" {
			return fmt.Errorf("link %d has no reason", i)
		}
	}
	return nil
}
