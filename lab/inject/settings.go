package inject

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gamutdb/gamut/core"
)

// Settings are all faults of one node.
type Settings struct {
	// In are the links from peers to this node, Out those from this node to peers, of which only Down and Flap count:
	// everything else happens to a frame where it arrives.
	In  map[core.NodeID]Link `json:"in,omitempty"`
	Out map[core.NodeID]Link `json:"out,omitempty"`

	Clock Clock `json:"clock"`
	Disk  Disk  `json:"disk"`
}

// Link is one direction between two nodes.
type Link struct {
	// Down loses everything. With Flap it is down for that long, then up for as long, and so on.
	Down bool     `json:"down,omitempty"`
	Flap Duration `json:"flap,omitempty"`
	// Delay comes on top of what the network takes, Jitter is the most that is drawn on top of both for each frame.
	Delay  Duration `json:"delay,omitempty"`
	Jitter Duration `json:"jitter,omitempty"`
	// Loss, Duplicate and Reorder are chances from 0 to 1 of the protocol messages of a frame. What is reordered comes up to
	// reorderMax later than it should.
	Loss      float64 `json:"loss,omitempty"`
	Duplicate float64 `json:"duplicate,omitempty"`
	Reorder   float64 `json:"reorder,omitempty"`
}

// Clock is how the node's clocks differ from the machine's.
type Clock struct {
	// Offset is how far the wall clock is ahead (behind, if negative): at most a year.
	Offset Duration `json:"offset,omitempty"`
	// Rate is how much too fast the monotonic clock runs, in millionths: -50,000 to 50,000.
	Rate int64 `json:"rate,omitempty"`
}

// Disk is how the node's disk behaves.
type Disk struct {
	// SyncDelay is how much longer each sync takes.
	SyncDelay Duration `json:"syncDelay,omitempty"`
	// Hung: syncs do not return until it is false again.
	Hung bool `json:"hung,omitempty"`
	// SyncError: the next sync of the log fails, once. The node must end.
	SyncError bool `json:"syncError,omitempty"`
	// Full: the file system says that no byte is free, so that the node refuses writes. NoSpace: writes fail, as on a disk
	// that was filled faster than the node could look.
	Full    bool `json:"full,omitempty"`
	NoSpace bool `json:"noSpace,omitempty"`
}

// Duration is a time.Duration that stands in JSON as text: "50ms".
type Duration time.Duration

// String is the duration as Go writes it.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalJSON writes the text.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON reads the text.
func (d *Duration) UnmarshalJSON(b []byte) error {
	text, err := strconv.Unquote(string(b))
	if err != nil {
		return fmt.Errorf("%s is not a duration such as \"50ms\"", b)
	}
	parsed, err := time.ParseDuration(text)
	*d = Duration(parsed)
	return err
}

// Bounds of the settings: what is longer looks like a link or a disk that is down, and is better said so.
const (
	delayMax  = time.Minute
	offsetMax = 366 * 24 * time.Hour
	rateMax   = 50_000
)

// Validate says which setting is out of bounds.
func (s *Settings) Validate() error {
	for _, side := range []map[core.NodeID]Link{s.In, s.Out} {
		for _, peer := range slices.Sorted(maps.Keys(side)) {
			l := side[peer]
			if err := l.validate(); err != nil {
				return fmt.Errorf("the link with node %d: %w", peer, err)
			}
		}
	}
	for _, peer := range slices.Sorted(maps.Keys(s.Out)) {
		if l := s.Out[peer]; l != (Link{Down: l.Down, Flap: l.Flap}) {
			return fmt.Errorf("the link to node %d: only down and flap can be set where a link begins; set the rest on node %d, as its link from here", peer, peer)
		}
	}
	if off := time.Duration(s.Clock.Offset); off.Abs() > offsetMax {
		return fmt.Errorf("a clock offset of %v; the limit is %v either way", off, offsetMax)
	}
	if s.Clock.Rate < -rateMax || s.Clock.Rate > rateMax {
		return fmt.Errorf("a clock rate of %d millionths; the limit is %d either way", s.Clock.Rate, rateMax)
	}
	if d := time.Duration(s.Disk.SyncDelay); d < 0 || d > delayMax {
		return fmt.Errorf("a sync delay of %v; give 0 to %v", d, delayMax)
	}
	return nil
}

func (l *Link) validate() error {
	for _, d := range []Duration{l.Flap, l.Delay, l.Jitter} {
		if d < 0 || time.Duration(d) > delayMax {
			return fmt.Errorf("flap, delay and jitter are 0 to %v each, not %v", delayMax, d)
		}
	}
	for _, p := range []float64{l.Loss, l.Duplicate, l.Reorder} {
		if !(p >= 0 && p <= 1) {
			return fmt.Errorf("loss, duplicate and reorder are chances from 0 to 1, not %v", p)
		}
	}
	if l.Flap > 0 && !l.Down {
		return fmt.Errorf("flap %v without down: say both", l.Flap)
	}
	return nil
}

func (s *Settings) clone() Settings {
	c := *s
	c.In, c.Out = maps.Clone(s.In), maps.Clone(s.Out)
	return c
}

// drop forgets healthy links.
func (s *Settings) drop() {
	healthy := func(_ core.NodeID, l Link) bool { return l == Link{} }
	maps.DeleteFunc(s.In, healthy)
	maps.DeleteFunc(s.Out, healthy)
}

// String lists what is set, in the words of the JSON.
func (s *Settings) String() string {
	var parts []string
	say := func(what string, v any) {
		if b, err := json.Marshal(v); err == nil && string(b) != "{}" {
			parts = append(parts, what+" "+string(b))
		}
	}
	for _, peer := range slices.Sorted(maps.Keys(s.In)) {
		say(fmt.Sprintf("from node %d", peer), s.In[peer])
	}
	for _, peer := range slices.Sorted(maps.Keys(s.Out)) {
		say(fmt.Sprintf("to node %d", peer), s.Out[peer])
	}
	say("clock", s.Clock)
	say("disk", s.Disk)
	return join(parts)
}

// Request changes what a request to the door asks to change: a PUT replaces the part that its path names, a DELETE all.
func (s *Settings) Request(method, path string, body []byte) error {
	if method == "DELETE" {
		*s = Settings{}
		return nil
	}
	next := s.clone()
	var err error
	switch part := strings.TrimPrefix(path, "/v1/lab/"); part {
	case "faults":
		next = Settings{}
		err = decode(body, &next)
	case "clock":
		next.Clock = Clock{}
		err = decode(body, &next.Clock)
	case "disk":
		next.Disk = Disk{}
		err = decode(body, &next.Disk)
	default:
		err = next.requestLink(part, body)
	}
	if err == nil {
		err = next.Validate()
	}
	if err == nil {
		next.drop()
		*s = next
	}
	return err
}

// requestLink replaces one link; part is links/PEER/in or links/PEER/out.
func (s *Settings) requestLink(part string, body []byte) error {
	words := strings.Split(part, "/")
	peer := uint64(0)
	if len(words) == 3 && words[0] == "links" && (words[2] == "in" || words[2] == "out") {
		peer, _ = strconv.ParseUint(words[1], 10, 32) // 0 if it is no number, which no node has
	}
	if peer == 0 {
		return fmt.Errorf("%q is no part of the settings; give faults, clock, disk, links/PEER/in or links/PEER/out, PEER being the number of a node", part)
	}
	var l Link
	if err := decode(body, &l); err != nil {
		return err
	}
	side := &s.In
	if words[2] == "out" {
		side = &s.Out
	}
	if *side == nil {
		*side = map[core.NodeID]Link{}
	}
	(*side)[core.NodeID(peer)] = l
	return nil
}

func decode(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	return d.Decode(into)
}
