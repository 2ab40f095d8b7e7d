package kv

// Validate checks what a client sent against the limits; the error says which one, and by how much it was missed.
func (c *Command) Validate() error {
	if c.Tx != nil || c.absorbs() {
		return nil // a node made it, of a transaction that was checked as a whole, or of what a group held
	}
	if len(c.Ops) == 0 {
		return Errorf(Invalid, "a command needs at least one operation")
	}
	if len(c.Ops) > OpsMax || len(c.Conds) > OpsMax {
		return Errorf(Invalid, "a command of %d operations; the limit is %d", max(len(c.Ops), len(c.Conds)), OpsMax)
	}
	bytes, keys := 0, 0
	for i := range c.Conds {
		if err := checkKey(c.Conds[i].Key); err != nil {
			return err
		}
		bytes += len(c.Conds[i].Value)
		keys += len(c.Conds[i].Key)
	}
	for i := range c.Ops {
		if err := c.Ops[i].validate(len(c.Ops) > 1); err != nil {
			return err
		}
		o := &c.Ops[i]
		bytes += len(o.Value) + len(o.Expect)
		keys += len(o.Key) + len(o.Key2) + len(o.End)
	}
	if bytes > 2*ValueMax {
		return Errorf(Invalid, "a command of %d bytes; the limit is %d", bytes, 2*ValueMax)
	}
	// Keys count on their own, so that the greatest values always pass. Together they bound what crosses the wire at once.
	if keys > 2*ValueMax {
		return Errorf(Invalid, "a command with %d bytes of keys; the limit is %d", keys, 2*ValueMax)
	}
	return c.Merge.validate(c)
}

func (o *Op) validate(several bool) error {
	switch {
	case o.Kind >= opKinds || o.When > IfValue || o.Expiry > ExpireIn || o.ExpireWhen > ExpireIfSomeAndLess:
		return Errorf(Invalid, "operation %d with condition %d, expiry %d, %d is not known", o.Kind, o.When, o.Expiry, o.ExpireWhen)
	case len(o.Value) > ValueMax || len(o.Expect) > ValueMax:
		return Errorf(Invalid, "a value of %d bytes; the limit is %d", max(len(o.Value), len(o.Expect)), ValueMax)
	case isReference(o.Value):
		return Errorf(Invalid, "a value of %d bytes that begin like a reference of ours; no such value can be stored", len(o.Value))
	case uint64(o.Offset)+uint64(len(o.Value)) > ValueMax:
		return Errorf(Invalid, "the range ends at %d; the limit of a value is %d bytes", uint64(o.Offset)+uint64(len(o.Value)), ValueMax)
	}
	switch o.Kind {
	case OpNone, OpClear:
		return nil
	case OpScan:
		// A scan among changes would have to merge them; nobody needs it.
		if several {
			return Errorf(Unsupported, "a scan cannot be part of a command of several operations")
		}
		return nil
	case OpRename, OpCopy:
		if err := checkKey(o.Key2); err != nil {
			return err
		}
	}
	return checkKey(o.Key)
}

func checkKey(key []byte) error {
	if len(key) > KeyMax {
		return Errorf(Invalid, "a key of %d bytes; the limit is %d", len(key), KeyMax)
	}
	return nil
}

func isReference(value []byte) bool {
	_, is := ParseReference(value)
	return is
}
