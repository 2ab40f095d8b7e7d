package machine

import "github.com/gamutdb/gamut/kv"

// Claims are the keys of commands that have not been executed, so that those who come later can keep their places behind them.
// The zero value claims nothing.
type Claims struct {
	keys map[string]claim
	// all are the claims to every key, any those to some.
	all, any claim
}

// claim is how many commands are going to read something, and how many to write it.
type claim struct{ reads, writes int }

func (c *claim) add(write bool, n int) {
	if write {
		c.writes += n
	} else {
		c.reads += n
	}
}

// against reports whether one of these must come before a read or a write: two reads may change places.
func (c claim) against(write bool) bool { return c.writes > 0 || write && c.reads > 0 }

// Add claims the keys of a command. A scan claims nothing, or every write of the group would wait behind one that waits.
func (c *Claims) Add(command *kv.Command) { c.count(command, 1) }

// Remove takes back what Add claimed for the same command.
func (c *Claims) Remove(command *kv.Command) { c.count(command, -1) }

func (c *Claims) count(command *kv.Command, n int) {
	if clears(command) {
		c.all.add(true, n)
		c.any.add(true, n)
	}
	for _, a := range accesses(command, false) {
		if c.keys == nil {
			c.keys = map[string]claim{}
		}
		k := c.keys[string(a.key)]
		k.add(a.write, n)
		if c.keys[string(a.key)] = k; k == (claim{}) {
			delete(c.keys, string(a.key))
		}
		c.any.add(a.write, n)
	}
}

// Before reports whether a command must keep its place behind one that has claimed its keys.
func (c *Claims) Before(command *kv.Command) bool {
	if c.any == (claim{}) {
		return false
	}
	if clears(command) && c.any.against(true) || scans(command) && c.any.against(false) {
		return true
	}
	for _, a := range accesses(command, false) {
		if c.keys[string(a.key)].against(a.write) || c.all.against(a.write) {
			return true
		}
	}
	return false
}

func clears(c *kv.Command) bool { return has(c, kv.OpClear) }

func scans(c *kv.Command) bool { return has(c, kv.OpScan) }

func has(c *kv.Command, kind kv.OpKind) bool {
	for i := range c.Ops {
		if c.Ops[i].Kind == kind {
			return true
		}
	}
	return false
}
