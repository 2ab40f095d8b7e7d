package client

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gamutdb/gamut/door/http/remote"
	"github.com/gamutdb/gamut/kv"
)

// Outcomes of operations that were executed, and found something else than was wished.
var (
	// ErrNotFound: there is no such key.
	ErrNotFound = errors.New("not found")
	// ErrCondition: the condition of a write does not hold; nothing was changed.
	ErrCondition = errors.New("the condition does not hold")
)

// RefusedError says that an operation was certainly not executed, now or later. Errors.As finds the *kv.Error behind it.
type RefusedError struct {
	Code kv.Code
	err  error
}

// Error says what was refused and why.
func (e *RefusedError) Error() string { return e.err.Error() }

// Unwrap is what the cluster said.
func (e *RefusedError) Unwrap() error { return e.err }

// UnknownError says that nobody knows whether an operation was executed, or will be yet.
type UnknownError struct {
	// ID is for Client.Outcome, which tells for certain; empty: nobody can, for the keyspace keeps no table of requests.
	ID  string
	err error
}

// Error says what is unknown and why.
func (e *UnknownError) Error() string {
	if e.ID == "" || strings.Contains(e.err.Error(), e.ID) {
		return e.err.Error()
	}
	return e.err.Error() + "; its outcome can be asked for: " + e.ID
}

// Unwrap is what the cluster said.
func (e *UnknownError) Unwrap() error { return e.err }

// outcome is an operation's error in the words of this package. maybe says that an earlier try may have been executed.
func outcome(what string, err error, maybe bool) error {
	var e *kv.Error
	isCode := errors.As(err, &e)
	switch {
	case err == nil:
		return nil
	case maybe && (!isCode || e.Code.Refused() && e.Code != kv.Fenced || e.Code == kv.Unknown):
		return &UnknownError{err: fmt.Errorf("%s: %w", what, &kv.Error{Code: kv.Unknown, Detail: "an earlier try may have been executed, or may be yet; the last one: " + err.Error()})}
	case isCode && e.Code == kv.NotFound:
		return fmt.Errorf("%s: %w", what, errors.Join(ErrNotFound, err))
	case isCode && (e.Code == kv.ConditionFailed):
		return fmt.Errorf("%s: %w", what, errors.Join(ErrCondition, err))
	case isCode && e.Code == kv.Unknown:
		return &UnknownError{err: fmt.Errorf("%s: %w", what, err)}
	case isCode:
		return &RefusedError{e.Code, fmt.Errorf("%s: %w", what, err)}
	case errors.Is(err, remote.ErrNoAnswer):
		return &RefusedError{kv.Unavailable, fmt.Errorf("%s: %w", what, err)}
	}
	return fmt.Errorf("%s: %w", what, err)
}
