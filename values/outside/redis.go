package outside

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/gamutdb/gamut/values"
)

type redisStore struct {
	address string
	client  *redis.Client
	slots   slots
}

func openRedis(u *url.URL) (Store, error) {
	if u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("the address %s says more than user, host, port and the number of a database", u.Redacted())
	}
	o, err := redis.ParseURL(u.String())
	if err != nil {
		return nil, fmt.Errorf("the address %s: %w", u.Redacted(), err)
	}
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = dialTimeout, callTimeout, callTimeout, callTimeout
	o.MaxRetries, o.PoolSize, o.DialerRetries, o.DisableIdentity = -1, connections, 1, true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	redis.SetLogger(quiet{})
	plain := *u
	plain.User = nil
	return &redisStore{plain.String(), redis.NewClient(o), make(slots, connections)}, nil
}

// quiet drops what the client would write to standard error: each call says what failed.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

// Address is the store's kind and where it is.
func (r *redisStore) Address() string { return r.address }

// call bounds what a call of the client takes with all that it does for it.
func call() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 2*callTimeout)
}

// Get asks for a value.
func (r *redisStore) Get(name string) ([]byte, error) {
	defer r.slots.take()()
	ctx, cancel := call()
	defer cancel()
	v, err := r.client.Get(ctx, name).Bytes()
	switch {
	case errors.Is(err, redis.Nil):
		return nil, values.ErrMissing
	case err != nil && strings.HasPrefix(err.Error(), "WRONGTYPE"):
		return nil, values.ErrMissing // somebody else's: what is put there replaces it
	case err != nil:
		return nil, fmt.Errorf("%s: get: %w", r.address, err)
	}
	return v, nil
}

// Put stores a value without an end.
func (r *redisStore) Put(name string, value []byte) error {
	defer r.slots.take()()
	ctx, cancel := call()
	defer cancel()
	err := r.client.Set(ctx, name, value, 0).Err()
	switch {
	case err == nil:
		return nil
	case strings.HasPrefix(err.Error(), "OOM"):
		return fmt.Errorf("%s: %w", r.address, values.ErrFull)
	}
	return fmt.Errorf("%s: set: %w", r.address, err)
}

// Delete removes a value.
func (r *redisStore) Delete(name string) error {
	defer r.slots.take()()
	ctx, cancel := call()
	defer cancel()
	if err := r.client.Del(ctx, name).Err(); err != nil {
		return fmt.Errorf("%s: del: %w", r.address, err)
	}
	return nil
}

// Evicts asks for the setting; a server that does not tell it is taken not to.
func (r *redisStore) Evicts() string {
	ctx, cancel := call()
	defer cancel()
	set, err := r.client.ConfigGet(ctx, "maxmemory*").Result()
	if err != nil || set["maxmemory"] == "0" || set["maxmemory-policy"] == "" || set["maxmemory-policy"] == "noeviction" {
		return ""
	}
	return "redis drops values when it is full (maxmemory-policy " + set["maxmemory-policy"] + "); set it to noeviction"
}

// Close ends the connections.
func (r *redisStore) Close() error { return r.client.Close() }
