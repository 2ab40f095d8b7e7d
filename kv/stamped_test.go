package kv

import "testing"

func TestStampedIsOfQuorumKeyspacesAndTheirWrites(t *testing.T) {
	quorum, paxos := &Keyspace{Name: "q", Consistency: Quorum}, &Keyspace{Name: "p", Consistency: Linearizable}
	for _, c := range []struct {
		ks   *Keyspace
		kind OpKind
		text string
		want uint64
		code Code
	}{
		{quorum, OpSet, "", 0, OK},
		{paxos, OpSet, "", 0, OK},
		{quorum, OpSet, "1700000000000", 1700000000000 << 16, OK},
		{quorum, OpDelete, "1700000000000.7", 1700000000000<<16 | 7, OK},
		{quorum, OpSet, "0.1", 1, OK},
		{quorum, OpSet, "0", 0, Invalid},
		{quorum, OpSet, "1.65536", 0, Invalid},
		{quorum, OpSet, "1.", 0, Invalid},
		{quorum, OpSet, "-1", 0, Invalid},
		{quorum, OpSet, "999999999999999999", 0, Invalid},
		{quorum, OpSet, "1.2@3", 0, Invalid},
		{quorum, OpGet, "1", 0, Invalid},
		{paxos, OpSet, "1", 0, Unsupported},
	} {
		o := Op{Kind: c.kind}
		r := Result{}
		if err := c.ks.Stamped(&o, c.text); err != nil {
			r = Failed(err)
		}
		if r.Code != c.code || o.NewVersion != c.want {
			t.Errorf("%s %d %q: %v %q, %d; want %v, %d", c.ks.Name, c.kind, c.text, r.Code, r.Detail, o.NewVersion, c.code, c.want)
		}
	}
}
