package redis

import "github.com/gamutdb/gamut/kv"

// runCommitted answers when all that the session has written to a keyspace with a commit order is committed.
func runCommitted(c *conn, w *writer, _ [][]byte) {
	ks, fault := c.selected()
	if fault != "" {
		w.fail(fault)
		return
	}
	c.batch.Reset(c.batch.Deadline)
	c.scratch.Conds = c.scratch.Conds[:0]
	c.scratch.Ops = append(c.scratch.Ops[:0], kv.Op{})
	call := c.addCall(ks, 0)
	call.Command.Level = kv.LevelCommitted
	c.await()
	if call.Result.Err() != nil {
		w.failure(&call.Result)
		return
	}
	w.ok()
}
