package redis

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gamutdb/gamut/kv"
)

func sortByID(all []*conn) {
	slices.SortFunc(all, func(a, b *conn) int { return int(a.id - b.id) })
}

func runPing(c *conn, w *writer, args [][]byte) {
	switch len(args) {
	case 1:
		w.simple("PONG")
	case 2:
		w.bulk(args[1])
	default:
		w.fail(wrongArity("ping"))
	}
}

func runEcho(c *conn, w *writer, args [][]byte) { w.bulk(args[1]) }

func runQuit(c *conn, w *writer, args [][]byte) {
	w.ok()
	c.closing = true
}

// runReset makes the connection as it was when it began.
func runReset(c *conn, w *writer, args [][]byte) {
	c.transaction, c.watched = nil, nil
	c.mute, c.muteNext, c.muteThis = false, false, false
	c.level, c.sessions, c.receipt = kv.LevelDefault, kv.Sessions{}, false
	c.useKeyspace(c.server.options.Keyspace)
	c.useProtocol(2)
	c.mu.Lock()
	c.name = ""
	c.mu.Unlock()
	w.simple("RESET")
}

func (c *conn) useProtocol(version int) {
	c.literals.resp3 = version == 3
	c.mu.Lock()
	c.shownProtocol = version
	c.mu.Unlock()
}

func (c *conn) useKeyspace(name string) {
	c.keyspaceName, c.keyspace = name, nil
	c.mu.Lock()
	c.shownKeyspace = name
	c.mu.Unlock()
}

// runSelect takes a keyspace by its name; a number is Redis' way to say so, and 0 is the default one.
func runSelect(c *conn, w *writer, args [][]byte) {
	name := string(args[1])
	number, err := strconv.Atoi(name)
	if err == nil && number == 0 {
		name = c.server.options.Keyspace
	}
	if c.server.db.Keyspace(name) != nil {
		c.useKeyspace(name)
		w.ok()
		return
	}
	if err == nil {
		w.fail("ERR DB index is out of range")
		return
	}
	w.fail(c.noKeyspace(name, ""))
}

// authFault answers credentials as a Redis without passwords does: the user "default" needs none.
func authFault(user []byte) string {
	if string(user) == "default" {
		return ""
	}
	return "WRONGPASS invalid username-password pair or user is disabled."
}

func runAuth(c *conn, w *writer, args [][]byte) {
	switch {
	case len(args) > 3:
		w.fail(faultSyntax)
	case len(args) == 2:
		w.fail("ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?")
	case authFault(args[1]) != "":
		w.fail(authFault(args[1]))
	default:
		w.ok()
	}
}

// runHello sets the version of the protocol. Nothing is changed unless all of it is right.
func runHello(c *conn, w *writer, args [][]byte) {
	version := int64(2)
	if w.resp3 {
		version = 3
	}
	if len(args) > 1 {
		n, ok := parseInt(args[1])
		if !ok {
			w.fail("ERR Protocol version is not an integer or out of range")
			return
		}
		if n < 2 || n > 3 {
			w.fail("NOPROTO unsupported protocol version")
			return
		}
		version = n
	}
	fault, name, named := parseHello(args)
	if fault != "" {
		w.fail(fault)
		return
	}
	if named {
		c.setName(name)
	}
	c.useProtocol(int(version))
	w.mapping(7)
	w.text("server")
	w.text("redis")
	w.text("version")
	w.text(redisVersion)
	w.text("proto")
	w.integer(version)
	w.text("id")
	w.integer(c.id)
	w.text("mode")
	w.text("standalone")
	w.text("role")
	w.text("master")
	w.text("modules")
	w.array(0)
}

func parseHello(args [][]byte) (fault, name string, named bool) {
	for i := 2; i < len(args); i++ {
		switch {
		case is(args[i], "AUTH") && i+2 < len(args):
			if fault := authFault(args[i+1]); fault != "" {
				return fault, "", false
			}
			i += 2
		case is(args[i], "SETNAME") && i+1 < len(args):
			i++
			if !validName(args[i]) {
				return faultName, "", false
			}
			name, named = string(args[i]), true
		default:
			return fmt.Sprintf("ERR Syntax error in HELLO option '%s'", cText(args[i], len(args[i]))), "", false
		}
	}
	return "", name, named
}

const faultName = "ERR Client names cannot contain spaces, newlines or special characters."

// nameMax bounds what a connection may have another one hold for it.
const nameMax = 1024

func validName(name []byte) bool {
	for _, b := range name {
		if b < '!' || b > '~' {
			return false
		}
	}
	return len(name) <= nameMax
}

func (c *conn) setName(name string) {
	c.mu.Lock()
	c.name = name
	c.mu.Unlock()
}

func runClientSetName(c *conn, w *writer, args [][]byte) {
	if !validName(args[2]) {
		w.fail(faultName)
		return
	}
	c.setName(string(args[2]))
	w.ok()
}

func runClientGetName(c *conn, w *writer, args [][]byte) {
	if c.name == "" {
		w.null()
		return
	}
	w.text(c.name)
}

func runClientID(c *conn, w *writer, args [][]byte) { w.integer(c.id) }

func runClientSetInfo(c *conn, w *writer, args [][]byte) {
	if !validName(args[3]) {
		w.fail("ERR " + strings.ToLower(cText(args[2], 64)) + " cannot contain spaces, newlines or special characters.")
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case is(args[2], "LIB-NAME"):
		c.library = string(args[3])
	case is(args[2], "LIB-VER"):
		c.libraryVer = string(args[3])
	default:
		w.fail("ERR Unrecognized option '" + cText(args[2], 128) + "'")
		return
	}
	w.ok()
}

// runClientSwitch is CLIENT NO-EVICT and NO-TOUCH: nothing is evicted here, so both ways are the same.
func runClientSwitch(c *conn, w *writer, args [][]byte) {
	if !is(args[2], "ON") && !is(args[2], "OFF") {
		w.fail(faultSyntax)
		return
	}
	w.ok()
}

func runClientReply(c *conn, w *writer, args [][]byte) {
	switch {
	case is(args[2], "ON"):
		c.mute, c.muteThis = false, false
		w.ok()
	case is(args[2], "OFF"):
		c.mute, c.muteThis = true, true
	case is(args[2], "SKIP"):
		c.muteNext, c.muteThis = !c.mute, true
	default:
		w.fail(faultSyntax)
	}
}

func runClientInfo(c *conn, w *writer, args [][]byte) {
	now := time.Now()
	c.show(now)
	w.verbatim(c.describe(now))
}

func runClientList(c *conn, w *writer, args [][]byte) {
	var ids map[int64]bool
	switch {
	case len(args) == 2:
	case is(args[2], "TYPE") && len(args) == 4:
		if !is(args[3], "NORMAL") {
			w.verbatim("")
			return
		}
	case is(args[2], "ID") && len(args) > 3:
		ids = map[int64]bool{}
		for _, arg := range args[3:] {
			n, ok := parseInt(arg)
			if !ok {
				w.fail("ERR Invalid client ID")
				return
			}
			ids[n] = true
		}
	default:
		w.fail(faultSyntax)
		return
	}
	var b strings.Builder
	now := time.Now()
	c.show(now)
	for _, other := range c.server.clients() {
		if ids == nil || ids[other.id] {
			b.WriteString(other.describe(now))
		}
	}
	w.verbatim(b.String())
}

// describe is the connection's line in CLIENT LIST.
func (c *conn) describe(now time.Time) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	db := "0"
	if _, err := strconv.Atoi(c.shownKeyspace); err == nil {
		db = c.shownKeyspace
	}
	return fmt.Sprintf("id=%d addr=%s laddr=%s name=%s age=%d idle=%d flags=N db=%s sub=0 psub=0 multi=%d cmd=%s user=default "+
		"resp=%d lib-name=%s lib-ver=%s keyspace=%s\n", c.id, c.remote, c.local, c.name, int(now.Sub(c.since).Seconds()),
		int(now.Sub(c.lastActive).Seconds()), db, c.queued, c.lastCommand, c.shownProtocol, c.library, c.libraryVer, c.shownKeyspace)
}

// runClientKill has Redis' old form, by address, and the new one, by filters that must all match.
func runClientKill(c *conn, w *writer, args [][]byte) {
	if len(args) == 3 {
		if c.server.kill(c, false, func(other *conn) bool { return other.remote == string(args[2]) }) == 0 {
			w.fail("ERR No such client")
			return
		}
		w.ok()
		return
	}
	filter, skipMe, fault := parseKill(args[2:])
	if fault != "" {
		w.fail(fault)
		return
	}
	w.integer(int64(c.server.kill(c, skipMe, filter)))
}

func parseKill(args [][]byte) (filter func(*conn) bool, skipMe bool, fault string) {
	var filters []func(*conn) bool
	skipMe = true
	for ; len(args) >= 2; args = args[2:] {
		value := string(args[1])
		switch {
		case is(args[0], "ID"):
			id, ok := parseInt(args[1])
			if !ok || id < 1 {
				return nil, false, "ERR client-id should be greater than 0"
			}
			filters = append(filters, func(other *conn) bool { return other.id == id })
		case is(args[0], "ADDR"):
			filters = append(filters, func(other *conn) bool { return other.remote == value })
		case is(args[0], "LADDR"):
			filters = append(filters, func(other *conn) bool { return other.local == value })
		case is(args[0], "TYPE"):
			filters = append(filters, func(*conn) bool { return strings.EqualFold(value, "normal") })
		case is(args[0], "USER") && value != "default":
			return nil, false, "ERR No such user '" + cText(args[1], 128) + "'"
		case is(args[0], "USER"):
		case is(args[0], "SKIPME") && (is(args[1], "YES") || is(args[1], "NO")):
			skipMe = is(args[1], "YES")
		default:
			return nil, false, faultSyntax
		}
	}
	if len(args) > 0 {
		return nil, false, faultSyntax
	}
	return func(other *conn) bool {
		return !slices.ContainsFunc(filters, func(f func(*conn) bool) bool { return !f(other) })
	}, skipMe, ""
}

// kill ends the connections that a filter names and counts them. The asking one ends after its answer.
func (s *Server) kill(asking *conn, skipMe bool, filter func(*conn) bool) int {
	n := 0
	for _, other := range s.clients() {
		switch {
		case !filter(other) || other == asking && skipMe:
			continue
		case other == asking:
			asking.closing = true
		default:
			other.socket.Close()
		}
		n++
	}
	return n
}

// runLevel shows or sets what the connection asks of its keyspaces.
func runLevel(c *conn, w *writer, args [][]byte) {
	if len(args) == 1 {
		w.text(c.level.String())
		return
	}
	level, err := kv.ParseLevel(cText(args[1], 64))
	if err != nil {
		w.fail("ERR " + err.Error())
		return
	}
	c.level = level
	w.ok()
}

// runSession shows what the connection has seen of its keyspace, or takes over what another one has; an empty token begins
// anew.
func runSession(c *conn, w *writer, args [][]byte) {
	ks, fault := c.selected()
	if fault != "" {
		w.fail(fault)
		return
	}
	if len(args) == 1 {
		w.text(kv.FormatToken(c.sessions.Token(ks)))
		return
	}
	token, err := kv.ParseToken(ks, string(args[1]))
	if err != nil {
		r := kv.Failed(err)
		w.failure(&r)
		return
	}
	c.sessions.Set(ks, token)
	w.ok()
}

// runReceipt shows or sets whether replies to commands on keys say how they were given. They say so in attributes, which only
// RESP3 has.
func runReceipt(c *conn, w *writer, args [][]byte) {
	switch {
	case len(args) == 1 && c.receipt:
		w.text("on")
	case len(args) == 1:
		w.text("off")
	case is(args[1], "OFF"):
		c.receipt = false
		w.ok()
	case !is(args[1], "ON"):
		w.fail(faultSyntax)
	case !w.resp3:
		w.fail("ERR receipts are attributes of replies, which RESP3 has and RESP2 has not: say HELLO 3 first")
	default:
		c.receipt = true
		w.ok()
	}
}

// runExplain says what a keyspace promises.
func runExplain(c *conn, w *writer, args [][]byte) {
	name := c.keyspaceName
	if len(args) == 2 {
		name = string(args[1])
	}
	if c.server.options.Explain == nil {
		w.fail("ERR this node explains no keyspaces")
		return
	}
	lines, ok := c.server.options.Explain(name)
	if !ok {
		w.fail(fmt.Sprintf("ERR no keyspace %q", name))
		return
	}
	w.array(len(lines))
	for _, line := range lines {
		w.text(line)
	}
}
