package main

import (
	"math/rand/v2"
	"strconv"
)

// shape is the way in which a workload is driven.
type shape int

const (
	closedLoop   shape = iota // each client waits for its replies before it goes on
	fixedRate                 // operations are due at a steady rate, whatever the replies do
	overload                  // the same at overloadFactor times what the system takes in a closed loop
	afterLoad                 // nothing is sent; memory is read right after the keys were written
	quiet                     // nothing is sent; processor time is read
	afterLeader               // writes while the leader is killed
	whileJoining              // writes while a node joins and takes its share over, once in a run
)

// overloadFactor is how much more than its capacity a system is offered.
const overloadFactor = 4

// workload is one thing to measure.
type workload struct {
	name, title string
	shape       shape
	write       bool
	clients     int
	pipeline    int
	rate        float64 // operations per second, of fixedRate
	pair        bool    // each operation writes two keys, both or none
}

var workloads = []workload{
	{name: "memory", title: "Memory of all servers after loading the keys", shape: afterLoad},
	{name: "idle", title: "Processor time of all servers while nobody asks", shape: quiet},
	{name: "write-c1", title: "Write, 1 client", write: true, clients: 1, pipeline: 1},
	{name: "write-c256", title: "Write, 256 clients", write: true, clients: 256, pipeline: 1},
	{name: "write-c50-p16", title: "Write, 50 clients, pipeline of 16", write: true, clients: 50, pipeline: 16},
	{name: "read-c256", title: "Read, 256 clients", clients: 256, pipeline: 1},
	{name: "read-c50-p16", title: "Read, 50 clients, pipeline of 16", clients: 50, pipeline: 16},
	{name: "pair-c50", title: "Two keys written together or not at all, 50 clients", write: true, clients: 50, pipeline: 1, pair: true},
	{name: "rate-2000", title: "2,000 writes per second over 64 clients, open loop", shape: fixedRate, write: true, clients: 64, pipeline: 1, rate: 2000},
	{name: "overload", title: "Writes at 4 times the capacity over 64 clients, open loop", shape: overload, write: true, clients: 64, pipeline: 1},
	{name: "failover", title: "Time without writes after kill -9 of the leader", shape: afterLeader, write: true},
	{name: "join", title: "Writes of 50 clients while a fourth node joins and takes its share over", shape: whileJoining, write: true, clients: 50, pipeline: 1},
}

func workloadNames() []string {
	names := make([]string, len(workloads))
	for i, w := range workloads {
		names[i] = w.name
	}
	return names
}

const (
	maxKeys       = 100_000_000
	maxValueBytes = 1 << 20
	keyDigits     = 12
)

// keyBytes is the length of every key.
const keyBytes = len("key:") + keyDigits

// appendKey writes the name of key number n.
func appendKey(to []byte, n int) []byte {
	to = append(to, "key:"...)
	var digits [20]byte
	number := strconv.AppendInt(digits[:0], int64(n), 10)
	for range keyDigits - len(number) {
		to = append(to, '0')
	}
	return append(to, number...)
}

// data is where clients take keys and values from. Values are pieces of random bytes, so that no system gains by
// compressing them.
type data struct {
	keys       int
	valueBytes int
	noise      []byte
}

func newData(keys, valueBytes int) *data {
	noise := make([]byte, valueBytes+1<<16)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	return &data{keys: keys, valueBytes: valueBytes, noise: noise}
}

func (d *data) value(random *rand.Rand) []byte {
	at := random.IntN(len(d.noise) - d.valueBytes)
	return d.noise[at : at+d.valueBytes]
}
