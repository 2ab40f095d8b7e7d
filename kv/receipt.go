package kv

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Receipt says how a command was answered: what was asked for and what was given, by whom, and of when. A zero field says
// nothing: not every protocol has an answer to each.
type Receipt struct {
	Keyspace string `json:"keyspace"`
	// Asked is the level of the request, Met the one that was given; default stands for the keyspace's own promise.
	Asked string `json:"asked"`
	Met   string `json:"met"`
	// Weak says that the replicas of reads and writes need not overlap: with writes, or reads, at the keyspace's default level
	// such a read may miss what was acknowledged, and such a write may be missed (R + W <= N).
	Weak bool `json:"weak,omitempty"`
	// Evicted says that this read found values that the stores had lost, and deleted their keys: the keyspace is a cache.
	Evicted bool `json:"evicted,omitempty"`
	// Group is the replica group that answered.
	Group uint64 `json:"group,omitempty"`
	// Groups are those of a transaction over several shards, and Txn is its id.
	Groups []uint64 `json:"groups,omitempty"`
	Txn    string   `json:"txn,omitempty"`
	// Version is the record's; Stamp is the same in words where versions are stamps: milliseconds, counter, replica.
	Version uint64 `json:"version,omitempty"`
	Stamp   string `json:"stamp,omitempty"`
	// Position is how far the group's log was applied to the state that answered; of a change, its own place in the log.
	Position uint64 `json:"position,omitempty"`
	// AsOf is when the answer was true.
	AsOf time.Time `json:"asOf,omitzero"`
	// Siblings is how many values the key has beside the one that was read.
	Siblings uint32 `json:"siblings,omitempty"`
	// Token is what the client's session has seen with this answer.
	Token string `json:"token,omitempty"`
}

// NewReceipt is the receipt of an answer. Its position is there if the command asked for one.
func NewReceipt(ks *Keyspace, c *Call, r *Result) Receipt {
	receipt := Receipt{Keyspace: ks.Name, Asked: c.Command.Level.String(), Met: r.Met(ks), Weak: ks.Weak(r.Level), Evicted: r.Marks&MarkEvicted != 0, Group: c.Group,
		Version: r.Version, Position: r.Position, Stamp: r.Stamp(), Siblings: r.Siblings}
	if r.AsOf != 0 {
		receipt.AsOf = time.UnixMilli(r.AsOf).UTC()
	}
	if len(r.Token) > 0 {
		receipt.Token = FormatToken(r.Token)
	}
	if len(c.Groups) > 0 {
		receipt.Group, receipt.Groups = 0, c.Groups
	}
	if !c.Txn.IsZero() {
		receipt.Txn = c.Txn.String()
	}
	return receipt
}

// NewTxnReceipt is the receipt of a transaction that was executed, at the level that was asked for. Its keyspaces stand in the order
// in which it names them, AsOf is when the last of its groups had voted.
func NewTxnReceipt(t *Txn, r *TxnResult, asked Level) Receipt {
	receipt := Receipt{Asked: asked.String(), Met: LevelLinearizable.String()}
	var names []string
	add := func(ks *Keyspace) {
		if !slices.Contains(names, ks.Name) {
			names = append(names, ks.Name)
		}
	}
	for i := range t.Conds {
		add(t.Conds[i].Keyspace)
	}
	ops := t.Then
	if r.Else {
		ops = t.Else
	}
	for i := range ops {
		add(ops[i].Keyspace)
	}
	receipt.Keyspace = strings.Join(names, ",")
	if len(r.Groups) == 1 {
		receipt.Group = r.Groups[0]
	} else {
		receipt.Groups = r.Groups
	}
	if !r.ID.IsZero() {
		receipt.Txn = r.ID.String()
	}
	last := int64(0)
	for i := range r.Items {
		last = max(last, r.Items[i].AsOf)
	}
	if last != 0 {
		receipt.AsOf = time.UnixMilli(last).UTC()
	}
	return receipt
}

// FormatGroups is a list of groups in words, ParseGroups reads it.
func FormatGroups(groups []uint64) string {
	var words []string
	for _, g := range groups {
		words = append(words, strconv.FormatUint(g, 10))
	}
	return strings.Join(words, ",")
}

// ParseGroups reads what FormatGroups wrote.
func ParseGroups(text string) (groups []uint64, err error) {
	if text == "" {
		return nil, nil
	}
	for word := range strings.SplitSeq(text, ",") {
		g, err := strconv.ParseUint(word, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("list of groups %q: %w", text, err)
		}
		groups = append(groups, g)
	}
	return groups, nil
}

// Stamp is the version in words where replicas give their own: milliseconds, counter and replica; else empty.
func (r *Result) Stamp() string {
	if r.Origin == 0 {
		return ""
	}
	at := HLC(r.Version)
	return fmt.Sprintf("%d.%d@%d", at.UnixMilli(), uint16(at), r.Origin)
}

// Met is the level that an answer was given at, in words: the keyspace's own promise unless the answer names another one.
func (r *Result) Met(ks *Keyspace) string {
	if r.Level == LevelDefault {
		return string(ks.Consistency)
	}
	return r.Level.String()
}

// ReceiptField is one thing that a receipt says, in words.
type ReceiptField struct{ Name, Text string }

// Fields are what the receipt says, in a fixed order, without what it does not say.
func (r *Receipt) Fields() []ReceiptField {
	list := []ReceiptField{{"keyspace", r.Keyspace}, {"asked", r.Asked}, {"met", r.Met}}
	add := func(name, text string, said bool) {
		if said {
			list = append(list, ReceiptField{name, text})
		}
	}
	add("weak", "true", r.Weak)
	add("evicted", "true", r.Evicted)
	add("group", strconv.FormatUint(r.Group, 10), r.Group != 0)
	add("groups", FormatGroups(r.Groups), len(r.Groups) > 0)
	add("txn", r.Txn, r.Txn != "")
	add("version", strconv.FormatUint(r.Version, 10), r.Version != 0)
	add("stamp", r.Stamp, r.Stamp != "")
	add("position", strconv.FormatUint(r.Position, 10), r.Position != 0)
	add("as_of", r.AsOf.Format("2006-01-02T15:04:05.000Z"), !r.AsOf.IsZero())
	add("siblings", strconv.FormatUint(uint64(r.Siblings), 10), r.Siblings != 0)
	add("token", r.Token, r.Token != "")
	return list
}
