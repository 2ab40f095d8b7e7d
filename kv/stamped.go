package kv

import (
	"strconv"
	"strings"
)

// Stamped gives a write a stamp of its client's own: milliseconds since 1970 and, behind a point, a counter of those within one, as
// receipts show it. An empty text is none. The error says what is wrong with it (Invalid), or with the keyspace (Unsupported); whether that
// was created with client stamps is for its replicas to say (rule Q1 of docs/QUORUM.md).
func (k *Keyspace) Stamped(o *Op, text string) error {
	if text == "" {
		return nil
	}
	if k.Consistency != Quorum {
		return Errorf(Unsupported, "keyspace %s is %s and orders its writes itself; a stamp of the client's own is for quorum keyspaces", k.Name, k.Consistency)
	}
	if o.Kind != OpSet && o.Kind != OpDelete {
		return Errorf(Invalid, "only a put or a deletion takes a stamp of the client's own")
	}
	stamp, err := parseStamp(text)
	if err != nil {
		return err
	}
	o.NewVersion = uint64(stamp)
	return nil
}

func parseStamp(text string) (HLC, error) {
	millis, counter, counted := strings.Cut(text, ".")
	ms, err := strconv.ParseUint(millis, 10, 47)
	count := uint64(0)
	if counted && err == nil {
		count, err = strconv.ParseUint(counter, 10, 16)
	}
	stamp := HLCOf(int64(ms)) | HLC(count)
	if err != nil || stamp == 0 {
		return 0, Errorf(Invalid, "stamp %q is not milliseconds since 1970 with, if need be, a point and a counter below 65536 behind them", text)
	}
	return stamp, nil
}
