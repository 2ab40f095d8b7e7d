package referee

import "time"

// Run is what is known of one run of a cluster: what its clients saw, what was done to it, and what was left at the end.
type Run struct {
	// Name tells people what was run; Seed replays it, if it can be replayed.
	Name        string `json:"name,omitempty"`
	Seed        uint64 `json:"seed,omitempty"`
	Consistency string `json:"consistency,omitempty"`
	Workload    string `json:"workload,omitempty"`
	// Bank is what a bank promises; nil if there is none.
	Bank *Bank `json:"bank,omitempty"`
	// Search bounds what the search for a linear order of one key may take; 0: a minute.
	Search time.Duration `json:"-"`

	History  History   `json:"-"`
	Events   []Event   `json:"-"`
	Final    Final     `json:"-"`
	Replicas []Replica `json:"-"`
}

// Final is what each key held at the end, after the last operation, as a client reads it; a key that is not in it was
// missing. A nil Final was not looked at.
type Final map[string]string

// Replica is what one replica held at the end, after the last heal.
type Replica struct {
	Node  uint32 `json:"node"`
	Group uint64 `json:"group"`
	// Records are its keys. A key that is not in it is missing there.
	Records map[string]Record `json:"records"`
}

// Record is a key as a replica holds it. Deleted says that it is a tombstone.
type Record struct {
	Value   string `json:"value,omitempty"`
	Deleted bool   `json:"deleted,omitempty"`
	Version uint64 `json:"version,omitempty"`
	Stamp   Stamp  `json:"stamp,omitzero"`
}

// Bank is a set of accounts, keys with decimal numbers, whose sum never changes.
type Bank struct {
	Accounts []string `json:"accounts"`
	Total    int64    `json:"total"`
}

// Event is something that was done to the cluster, or that happened in it.
type Event struct {
	// What is one word: crash, start, pause, resume, cut, mend, disk, clock, leader, heal, and the like.
	What string `json:"event"`
	// At and End are nanoseconds on the clock of the history; End is 0 for what takes no time or does not end.
	At  int64 `json:"at"`
	End int64 `json:"end,omitempty"`
	// Nodes are whom it concerns; of a one-way cut, the first is the sender.
	Nodes []uint32 `json:"nodes,omitempty"`
	// Detail says more in words.
	Detail string `json:"detail,omitempty"`
}
