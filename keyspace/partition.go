package keyspace

import (
	"bytes"
	"cmp"
	"sort"

	"github.com/gamutdb/gamut/kv"
)

// Partitioners: how keys are spread over shards. Hash is written as nothing in a descriptor.
const (
	byHash    = "hash"
	byOrder   = "ordered"
	byNumeric = "numeric"
)

// checkPartitioner checks what a user asked for, and makes as many shards as there are ranges.
func checkPartitioner(spec *kv.CreateKeyspace) error {
	switch spec.Partitioner {
	case "", byHash:
		spec.Partitioner = ""
		if len(spec.Splits) > 0 {
			return kv.Errorf(kv.Invalid, "splits are for the partitioners %s and %s; keys that are spread by hash have none", byOrder, byNumeric)
		}
		return nil
	case byOrder, byNumeric:
	default:
		return kv.Errorf(kv.Invalid, "partitioner %q is not known; give %s, %s or %s", spec.Partitioner, byHash, byOrder, byNumeric)
	}
	splits := make([][]byte, len(spec.Splits))
	for i := range splits {
		splits[i] = []byte(spec.Splits[i])
	}
	if err := checkSplits(spec.Partitioner, splits); err != nil {
		return err
	}
	if spec.Shards > 1 && spec.Shards != len(splits)+1 {
		return kv.Errorf(kv.Invalid, "%d splits make %d shards, not %d; leave the number out", len(splits), len(splits)+1, spec.Shards)
	}
	spec.Shards = len(splits) + 1
	return nil
}

// checkSplits checks that ranges are in order.
func checkSplits(partitioner string, splits [][]byte) error {
	order, ok := orders[partitioner]
	if !ok {
		return kv.Errorf(kv.Invalid, "partitioner %q is not known", partitioner)
	}
	for i, split := range splits {
		switch {
		case len(split) == 0:
			return kv.Errorf(kv.Invalid, "an empty split would make an empty shard")
		case len(split) > kv.KeyMax:
			return kv.Errorf(kv.Invalid, "a split of %d bytes; the limit of a key is %d", len(split), kv.KeyMax)
		case i > 0 && order(splits[i-1], split) >= 0:
			return kv.Errorf(kv.Invalid, "the splits %q and %q are not in rising order", splits[i-1], split)
		}
	}
	return nil
}

// orders are how partitioners compare keys.
var orders = map[string]func(a, b []byte) int{"": bytes.Compare, byOrder: bytes.Compare, byNumeric: compareNumbers}

// compareNumbers orders decimal numbers by their value, and all other keys behind them by their bytes.
func compareNumbers(a, b []byte) int {
	x, y := isNumber(a), isNumber(b)
	switch {
	case x && y:
		return cmp.Or(cmp.Compare(len(a), len(b)), bytes.Compare(a, b))
	case x:
		return -1
	case y:
		return 1
	}
	return bytes.Compare(a, b)
}

// isNumber reports whether a key is a number in its shortest form.
func isNumber(key []byte) bool {
	for _, c := range key {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(key) == 1 || len(key) > 1 && key[0] != '0'
}

// shardOf is how the keyspace's keys are mapped to its shards. It changes when a shard is split.
func (d *Descriptor) shardOf() func(key []byte) int {
	shards, splits, order := len(d.Shards), d.Terms.Splits, orders[d.Terms.Partitioner]
	if d.Terms.Partitioner == "" {
		return func(key []byte) int { return ShardOf(key, shards) }
	}
	return func(key []byte) int {
		return sort.Search(len(splits), func(i int) bool { return order(key, splits[i]) < 0 })
	}
}

// Sharding is into how many shards a keyspace of such a wish spreads its keys, and how.
func Sharding(spec kv.CreateKeyspace) (shards int, shardOf func(key []byte) int, err error) {
	if err := checkPartitioner(&spec); err != nil {
		return 0, nil, err
	}
	d := &Descriptor{Terms: termsOf(&spec), Shards: make([]Shard, max(1, spec.Shards))}
	return len(d.Shards), d.shardOf(), nil
}

func termsOf(spec *kv.CreateKeyspace) Terms {
	t := Terms{LeaseOff: spec.Lease == "off", Partitioner: spec.Partitioner, Atomic: spec.Atomic, ClientStamps: spec.ClientStamps, Store: spec.Store, Evictable: spec.Evictable,
		MinMembers: spec.MinMembers, Refuse: spec.Conflict == "refuse", Siblings: spec.Conflict == siblings,
		SplitBytes: spec.SplitBytes, SplitWrites: spec.SplitWrites, CommitOrder: spec.CommitOrder}
	for _, split := range spec.Splits {
		t.Splits = append(t.Splits, []byte(split))
	}
	return t
}
