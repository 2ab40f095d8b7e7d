package kv

import "time"

// HLC is a hybrid logical clock's reading: 48 bits of Unix milliseconds, then 16 bits that count within one (rule H1).
type HLC uint64

// HLCOf is the smallest reading of a millisecond.
func HLCOf(unixMilli int64) HLC { return HLC(uint64(unixMilli) << 16) }

// UnixMilli is the reading's wall part.
func (h HLC) UnixMilli() int64 { return int64(h >> 16) }

// Time is the reading's wall part as a time.
func (h HLC) Time() time.Time { return time.UnixMilli(h.UnixMilli()).UTC() }
