package bayou

import (
	"strings"
	"testing"

	"github.com/gamutdb/gamut/kv"
)

func TestWhatNeedsAllReplicasIsRefused(t *testing.T) {
	for _, c := range []struct {
		command kv.Command
		why     string
	}{
		{kv.Command{Ops: []kv.Op{{Kind: kv.OpSet}}}, ""},
		{kv.Command{Ops: []kv.Op{{Kind: kv.OpSet}, {Kind: kv.OpDelete}, {Kind: kv.OpGet}}}, ""},
		{kv.Command{Ops: []kv.Op{{Kind: kv.OpScan}}}, ""},
		{kv.Command{Ops: []kv.Op{{Kind: kv.OpCounter, Expiry: kv.ExpireKeep, Magnitude: 1}}}, ""},
		{kv.Command{Level: kv.LevelReadYourWrites, Ops: []kv.Op{{Kind: kv.OpGet}}}, ""},
		{kv.Command{Level: kv.LevelLinearizable, Ops: []kv.Op{{Kind: kv.OpGet}}}, "cannot be given"},
		{kv.Command{Ops: []kv.Op{{Kind: kv.OpSet, When: kv.IfAbsent}}}, "condition"},
		{kv.Command{Conds: []kv.Cond{{}}, Ops: []kv.Op{{Kind: kv.OpSet}}}, "condition"},
		{kv.Command{Ops: []kv.Op{{Kind: kv.OpAppend}}}, "present value"},
		{kv.Command{Ops: []kv.Op{{Kind: kv.OpSet, Old: true}}}, "before a change"},
		{kv.Command{Ops: []kv.Op{{Kind: kv.OpSet, Expiry: kv.ExpireKeep}}}, "time to live"},
		{kv.Command{Ops: []kv.Op{{Kind: kv.OpCounter, Expiry: kv.ExpireKeep, Down: true}}}, "subtraction"},
		{kv.Command{Ops: []kv.Op{{Kind: kv.OpScan}, {Kind: kv.OpSet}}}, "scan"},
		{kv.Command{Session: kv.Session{Seq: 1}, Ops: []kv.Op{{Kind: kv.OpIncr, Delta: 1}}}, "twice"},
	} {
		err := Offers(&c.command)
		switch {
		case c.why == "" && err != nil:
			t.Errorf("%+v: %v", c.command, err)
		case c.why != "" && (err == nil || kv.Failed(err).Code != kv.Unsupported || !strings.Contains(err.Error(), c.why)):
			t.Errorf("%+v: %v, not for %q", c.command, err, c.why)
		}
	}
}
