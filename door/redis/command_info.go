package redis

import (
	"slices"
	"sort"
	"strings"
)

// commandNames are the names of all commands, sorted, so that COMMAND answers the same each time.
func commandNames() []string {
	var names []string
	for name, cmd := range commands {
		if cmd.refusal == "" {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

func subcommandNames(container string) []string {
	var names []string
	for name := range commands[container].subcommands {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func runCommand(c *conn, w *writer, args [][]byte) {
	names := commandNames()
	w.array(len(names))
	for _, name := range names {
		w.commandInfo(commands[name])
	}
}

func runCommandCount(c *conn, w *writer, args [][]byte) { w.integer(int64(len(commandNames()))) }

func runCommandInfo(c *conn, w *writer, args [][]byte) {
	if len(args) == 2 {
		runCommand(c, w, args)
		return
	}
	w.array(len(args) - 2)
	for _, name := range args[2:] {
		cmd := commands[strings.ToLower(string(name))]
		if cmd == nil || cmd.refusal != "" {
			w.nullArray()
			continue
		}
		w.commandInfo(cmd)
	}
}

// commandInfo is the ten-part description that Redis 7 gives of a command.
func (w *writer) commandInfo(cmd *command) {
	flags := strings.Fields(cmd.flags)
	w.array(10)
	w.text(cmd.name)
	w.integer(int64(cmd.arity))
	w.simpleSet(flags)
	w.integer(int64(cmd.firstKey))
	w.integer(int64(cmd.lastKey))
	w.integer(int64(cmd.keyStep))
	w.simpleSet(aclCategories(cmd, flags))
	w.array(0)
	w.keySpecs(cmd, flags)
	names := make([]string, 0, len(cmd.subcommands))
	for name := range cmd.subcommands {
		names = append(names, name)
	}
	sort.Strings(names)
	w.array(len(names))
	for _, name := range names {
		w.commandInfo(cmd.subcommands[name])
	}
}

func (w *writer) simpleSet(words []string) {
	w.set(len(words))
	for _, word := range words {
		w.simple(word)
	}
}

func aclCategories(cmd *command, flags []string) []string {
	var categories []string
	for _, pair := range [][2]string{{"readonly", "@read"}, {"write", "@write"}, {"fast", "@fast"}, {"admin", "@admin"}} {
		if slices.Contains(flags, pair[0]) {
			categories = append(categories, pair[1])
		}
	}
	if !slices.Contains(flags, "fast") {
		categories = append(categories, "@slow")
	}
	return append(categories, "@"+cmd.group)
}

// keySpecs says where a command's keys stand, in the form that cluster clients read.
func (w *writer) keySpecs(cmd *command, flags []string) {
	if cmd.firstKey == 0 {
		w.array(0)
		return
	}
	access := "RW"
	if slices.Contains(flags, "readonly") {
		access = "RO"
	}
	w.array(1)
	w.mapping(3)
	w.text("flags")
	w.simpleSet([]string{access})
	w.text("begin_search")
	w.mapping(2)
	w.text("type")
	w.text("index")
	w.text("spec")
	w.mapping(1)
	w.text("index")
	w.integer(int64(cmd.firstKey))
	w.text("find_keys")
	w.mapping(2)
	w.text("type")
	w.text("range")
	w.text("spec")
	w.mapping(3)
	w.text("lastkey")
	last := cmd.lastKey
	if last > 0 {
		last -= cmd.firstKey
	}
	w.integer(int64(last))
	w.text("keystep")
	w.integer(int64(cmd.keyStep))
	w.text("limit")
	w.integer(0)
}

func runCommandList(c *conn, w *writer, args [][]byte) {
	names := commandNames()
	if len(args) > 2 {
		if len(args) != 5 || !is(args[2], "FILTERBY") || !is(args[3], "PATTERN") {
			w.fail(faultSyntax)
			return
		}
		names = slices.DeleteFunc(names, func(name string) bool { return !globMatch(args[4], []byte(name)) })
	}
	w.array(len(names))
	for _, name := range names {
		w.text(name)
	}
}

func runCommandDocs(c *conn, w *writer, args [][]byte) {
	names := commandNames()
	if len(args) > 2 {
		names = names[:0]
		for _, arg := range args[2:] {
			name := strings.ToLower(string(arg))
			if cmd := commands[name]; cmd != nil && cmd.refusal == "" {
				names = append(names, name)
			}
		}
	}
	w.mapping(len(names))
	for _, name := range names {
		w.text(name)
		w.mapping(2)
		w.text("summary")
		w.text(commands[name].summary)
		w.text("group")
		w.text(commands[name].group)
	}
}

// runCommandGetKeys picks the keys out of a command.
func runCommandGetKeys(c *conn, w *writer, args [][]byte) {
	cmd, fault := lookup(args[2:])
	switch {
	case strings.HasPrefix(fault, "ERR wrong number"):
		w.fail("ERR Invalid number of arguments specified for command")
		return
	case fault != "" || cmd.refusal != "":
		w.fail("ERR Invalid command specified")
		return
	case cmd.firstKey == 0:
		w.fail("ERR The command has no key arguments")
		return
	}
	var keys [][]byte
	last := cmd.lastKey
	if last < 0 {
		last += len(args) - 2
	}
	for i := cmd.firstKey; i <= last; i += cmd.keyStep {
		keys = append(keys, args[2+i])
	}
	writeKeys(w, keys)
}
