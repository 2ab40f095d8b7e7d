package redis

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/gamutdb/gamut/kv"
)

// Limits that no option moves.
const (
	// requestMax is the longest request in bytes: one value of the greatest length with room for its company.
	requestMax = 2 * kv.ValueMax
	// bulkMax is Redis' proto-max-bulk-len: a longer announcement is taken for garbage, not for a value.
	bulkMax = 512 << 20
	// inlineMax is Redis' PROTO_INLINE_MAX_SIZE: the longest line of a request.
	inlineMax = 64 << 10
	// argumentsMax is the number of arguments from which on a request is thrown away instead of kept.
	argumentsMax = 1 << 20
	// batchBytes and batchCommands end a batch: what follows in the pipeline waits for its answers.
	batchBytes    = 1 << 20
	batchCommands = 1024
)

// Options set up a Server. The zero value is usable.
type Options struct {
	// Keyspace is what a connection uses that selects nothing, and what SELECT 0 means. Default "default".
	Keyspace string
	// ConnectionsMax is how many clients may be connected at once; one more is told so and closed. Default 20,000.
	ConnectionsMax int
	// RequestDeadline is when an unanswered command ends as unknown. Default 5 s.
	RequestDeadline time.Duration
	// WriteStall is how long a client may leave a reply unread, or a large request unfinished, before it is cut off.
	// Default 10 s.
	WriteStall time.Duration
	// OutputMaxConnection bounds the bytes of the replies to one batch of one connection; beyond it the client is cut off.
	// Default 64 MiB.
	OutputMaxConnection int64
	// OutputMax bounds the bytes of large replies held for all connections together. A read that may exceed it waits, and
	// is refused at its deadline; clients that leave their replies unread are cut off sooner. Default 128 MiB.
	OutputMax int64
	// InputMax bounds the bytes of large requests held for all connections together; what exceeds it is refused. Default 128 MiB.
	InputMax int64
	// Version is Gamut's, for INFO.
	Version string
	// Info gives the fields of INFO's section "gamut".
	Info func() map[string]string
	// Explain says in sentences what a keyspace promises; false if there is none of that name.
	Explain func(keyspace string) ([]string, bool)
	// Observe, if set, is told of answered calls, those of a batch with the same outcome together, and how long they
	// took. It is called by all connections at once.
	Observe func(code kv.Code, calls int, took time.Duration)
	// Logger takes a line for each client that was cut off. Default slog.Default.
	Logger *slog.Logger
}

// Validate fills in the defaults and checks the bounds.
func (o *Options) Validate() error {
	if o.Keyspace == "" {
		o.Keyspace = "default"
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Version == "" {
		o.Version = "0"
	}
	setDefault(&o.ConnectionsMax, 20_000)
	setDefault(&o.RequestDeadline, 5*time.Second)
	setDefault(&o.WriteStall, 10*time.Second)
	setDefault(&o.OutputMaxConnection, 64<<20)
	setDefault(&o.OutputMax, 128<<20)
	setDefault(&o.InputMax, 128<<20)
	switch {
	case o.ConnectionsMax < 1:
		return fmt.Errorf("redis door: connections max is %d, want at least 1", o.ConnectionsMax)
	case o.RequestDeadline < time.Millisecond:
		return fmt.Errorf("redis door: request deadline is %v, want at least 1ms", o.RequestDeadline)
	case o.WriteStall < 10*time.Millisecond:
		return fmt.Errorf("redis door: write stall is %v, want at least 10ms", o.WriteStall)
	case o.OutputMaxConnection < kv.ValueMax:
		return fmt.Errorf("redis door: output max of a connection is %d, want at least one value of %d", o.OutputMaxConnection, kv.ValueMax)
	case o.OutputMax < o.OutputMaxConnection:
		return fmt.Errorf("redis door: output max is %d, want at least that of one connection, %d", o.OutputMax, o.OutputMaxConnection)
	case o.InputMax < requestMax:
		return fmt.Errorf("redis door: input max is %d, want at least one request of %d", o.InputMax, requestMax)
	}
	return nil
}

func setDefault[T int | int64 | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}
