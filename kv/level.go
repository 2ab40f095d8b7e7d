package kv

// Level is what one request asks of its keyspace. A level that the keyspace cannot give is answered Unsupported, never lowered.
type Level uint8

// Levels. LevelDefault is the keyspace's own promise.
const (
	LevelDefault      Level = 0
	LevelLinearizable Level = 1
)

// Consistency is the one word by which a keyspace chooses how its replicas agree.
type Consistency string

// Consistencies that can be created today.
const (
	Linearizable Consistency = "linearizable"
)
