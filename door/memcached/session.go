package memcached

import (
	"strings"

	"github.com/gamutdb/gamut/kv"
)

// A meta command may carry a session of its own in its opaque, so that clients which share a connection, or move between nodes,
// have one each: O@ begins it, and the answer's opaque is O@ with all that the session has seen now, for its next command. Any
// other opaque comes back as it is. Such a command leaves the connection's own session alone.

const (
	sessionFault = "CLIENT_ERROR session: "
	levelFault   = "CLIENT_ERROR level: "
)

// carry looks at the session and the level that a command brings; a text says what is wrong with them.
func (p *pipeline) carry(key []byte, f *metaFlags) (failure string) {
	if f.wrong != nil {
		return levelFault + f.wrong.Error()
	}
	if !f.inSession {
		return ""
	}
	space, _ := p.keyspace(key)
	switch {
	case space == nil: // which is told where the command is added
		return ""
	case space.MergeTokens == nil:
		return sessionFault + "keyspace " + space.Name + " is " + string(space.Consistency) + " and has none"
	}
	token, err := kv.ParseToken(space, string(f.session))
	if err != nil {
		return sessionFault + err.Error()
	}
	f.session = token
	return ""
}

// addMeta is add for a command that may bring a session and a level.
func (p *pipeline) addMeta(r request, key []byte, f *metaFlags) *kv.Op {
	r.carries = f.inSession
	o := p.add(r, key)
	if o == nil {
		return nil
	}
	call := p.call(&p.requests[len(p.requests)-1])
	if f.inSession {
		call.Command.Token = f.session
	}
	if f.level != kv.LevelDefault {
		call.Command.Level = f.level
	}
	return o
}

// opaque shows an opaque: as it came, or what its session has seen now.
func (p *pipeline) opaque(r *request, word []byte) {
	if !r.carries {
		p.out = append(p.out, word...)
		return
	}
	call := p.call(r)
	p.out = append(append(p.out, "O@"...), kv.FormatToken(call.Keyspace.MergeTokens(call.Command.Token, call.Result.Token))...)
}

// ourFault says that a failure is told as it is, whatever the command.
func ourFault(failure string) bool {
	return strings.HasPrefix(failure, sessionFault) || strings.HasPrefix(failure, levelFault)
}
