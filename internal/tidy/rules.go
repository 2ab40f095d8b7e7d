package tidy

import (
	"bytes"
	"go/ast"
	"go/format"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Rule finds what breaks it.
type Rule struct {
	Name  string
	Check func(m *Module) []string
}

// Rules are all of them.
var Rules = []Rule{
	{"one package doc whose first sentence is one clause", packageDocs},
	{"imports follow the map of the house", importMap},
	{"pure rooms take neither time nor chance nor goroutines from the world", purity},
	{"map order reaches no effect", mapOrder},
	{"files and functions stay readable", sizes},
	{"no room for leftovers", roomNames},
	{"no TODO without an issue", todos},
	{"what leaves early says why it may", early},
	{"gofmt has nothing to change", formatted},
	{"every direct dependency is explained", dependencies},
}

// Limits of a file and of a function, in lines. A function of a test may be longer: a table is.
const (
	fileLines     = 800
	functionLines = 70
)

// namedFiles are the files where a package doc sends its readers.
var namedFiles = regexp.MustCompile(`\b[a-z_]+\.go\b`)

var between = regexp.MustCompile(`between [^,:]*? and `)

func packageDocs(m *Module) (found []string) {
	names, files := m.rooms()
	for _, room := range names {
		var docs []*File
		for _, f := range files[room] {
			if f.Doc != nil {
				docs = append(docs, f)
			}
		}
		if len(docs) != 1 {
			found = append(found, room+": has "+[]string{"no package doc", "", "more than one package doc"}[min(len(docs), 2)]+"; exactly one file says what the package is")
			continue
		}
		first, _, _ := strings.Cut(strings.ReplaceAll(docs[0].Doc.Text(), "\n", " "), ". ")
		// "Between a and b" is one place, and what follows a colon explains the clause.
		clause, _, _ := strings.Cut(between.ReplaceAllString(first, ""), ": ")
		if strings.Contains(clause, " and ") {
			found = append(found, m.at(docs[0].Doc.Pos(), "the first sentence of the package doc has an \"and\": the room is two rooms, or its sentence is not found yet"))
		}
		if !strings.HasPrefix(first, "Package "+docs[0].Name.Name+" ") && !strings.HasPrefix(first, "Command ") {
			found = append(found, m.at(docs[0].Doc.Pos(), "the package doc begins with %q", "Package "+docs[0].Name.Name))
		}
		for _, name := range namedFiles.FindAllString(docs[0].Doc.Text(), -1) {
			if !slices.ContainsFunc(m.files, func(f *File) bool { return f.Path == path.Join(room, name) }) {
				found = append(found, m.at(docs[0].Doc.Pos(), "the package doc sends readers to %s, which is not there", name))
			}
		}
	}
	return found
}

// impure are functions of the world that a pure room must not call, by package.
var impure = map[string]map[string]string{
	"time": {
		"Now": "the time comes with Input", "Since": "the time comes with Input", "Until": "the time comes with Input",
		"Sleep": "a pure room cannot wait; it reports a Deadline", "After": "it reports a Deadline", "AfterFunc": "it reports a Deadline",
		"Tick": "it reports a Deadline", "NewTimer": "it reports a Deadline", "NewTicker": "it reports a Deadline",
	},
}

// randConstructors are what math/rand/v2 has beside its global generator.
var randConstructors = []string{"New", "NewPCG", "NewChaCha8", "NewZipf", "Rand", "Source", "PCG", "ChaCha8", "Zipf"}

func purity(m *Module) (found []string) {
	for _, f := range m.files {
		if f.Test || !below(f.Room, pure...) {
			continue
		}
		names := importNames(f)
		ast.Inspect(f.File, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				found = append(found, m.at(n.Pos(), "a goroutine in a pure room: the simulator could not replay its order"))
			case *ast.SelectStmt:
				found = append(found, m.at(n.Pos(), "a select in a pure room: its choice is chance"))
			case *ast.SelectorExpr:
				x, ok := n.X.(*ast.Ident)
				if !ok || x.Obj != nil {
					break
				}
				if reason := impure[names[x.Name]][n.Sel.Name]; reason != "" {
					found = append(found, m.at(n.Pos(), "%s.%s in a pure room: %s", x.Name, n.Sel.Name, reason))
				}
				if names[x.Name] == "math/rand/v2" && !slices.Contains(randConstructors, n.Sel.Name) {
					found = append(found, m.at(n.Pos(), "rand.%s is the global generator: chance comes from Input.Rand", n.Sel.Name))
				}
			}
			return true
		})
	}
	return found
}

// importNames maps the names by which a file knows its imports to their paths.
func importNames(f *File) map[string]string {
	names := map[string]string{}
	for _, spec := range f.Imports {
		full := strings.Trim(spec.Path.Value, `"`)
		name := path.Base(full)
		if majorVersion.MatchString(name) {
			name = path.Base(path.Dir(full))
		}
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = full
	}
	return names
}

// orderMark is how a loop over a map says that it is harmless.
const orderMark = "order does not matter: "

func sizes(m *Module) (found []string) {
	for _, f := range m.files {
		if lines := strings.Count(f.Text, "\n"); lines > fileLines {
			found = append(found, f.Path+": has "+strconv.Itoa(lines)+" lines; a file is one idea, and ends at "+strconv.Itoa(fileLines))
		}
		if f.Test {
			continue
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			lines := m.fset.Position(fn.End()).Line - m.fset.Position(fn.Pos()).Line + 1
			if lines > functionLines {
				found = append(found, m.at(fn.Pos(), "%s has %d lines; a function ends at %d", fn.Name.Name, lines, functionLines))
			}
		}
	}
	return found
}

var leftovers = []string{"util", "utils", "common", "helper", "helpers", "types", "misc", "shared", "pkg", "base"}

func roomNames(m *Module) (found []string) {
	names, files := m.rooms()
	for _, room := range names {
		if name := files[room][0].Name.Name; slices.Contains(leftovers, name) || slices.Contains(leftovers, path.Base(room)) {
			found = append(found, room+": a package named "+name+" says where things were put, not what they are")
		}
	}
	return found
}

// The marks are taken apart so that this file does not break its own rule.
var (
	todo      = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)
	todoIssue = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\(#[0-9]+\)`)
)

func todos(m *Module) (found []string) {
	for _, f := range m.files {
		for _, group := range f.Comments {
			for _, c := range group.List {
				if todo.MatchString(todoIssue.ReplaceAllString(c.Text, "")) {
					found = append(found, m.at(c.Pos(), "work left over needs the number of an issue, as in TO"+"DO(#12)"))
				}
			}
		}
	}
	return found
}

func early(m *Module) (found []string) {
	for _, f := range m.files {
		if f.Test {
			continue
		}
		comments := m.comments(f)
		ast.Inspect(f.File, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || sel.Sel.Name != "SendEarly" && sel.Sel.Name != "ReplyEarly" {
				return true
			}
			if comments[m.fset.Position(call.Pos()).Line-1] == "" {
				found = append(found, m.at(call.Pos(), "%s without a comment directly above: say why it stays true if this node forgets", sel.Sel.Name))
			}
			return true
		})
	}
	return found
}

func formatted(m *Module) (found []string) {
	for _, f := range m.files {
		b, err := format.Source([]byte(f.Text))
		if err != nil || !bytes.Equal(b, []byte(f.Text)) {
			found = append(found, f.Path+": is not as gofmt writes it")
		}
	}
	return found
}

var requirement = regexp.MustCompile(`(?m)^\s*(?:require\s+)?(\S+\.\S+/\S+) v\S+(.*)$`)

// dependencies wants every module that we import named in the architecture. go.mod marks the others as indirect, but
// only after a tidy, so the imports decide.
func dependencies(m *Module) (found []string) {
	doc, ok := m.other["docs/ARCHITECTURE.md"]
	if !ok {
		return nil
	}
	imported := map[string]bool{}
	for _, f := range m.files {
		for _, spec := range f.Imports {
			imported[strings.Trim(spec.Path.Value, `"`)] = true
		}
	}
	for _, match := range requirement.FindAllStringSubmatch(m.other["go.mod"], -1) {
		module, direct := match[1], false
		for name := range imported {
			direct = direct || below(name, module)
		}
		if direct && !named(doc, module) {
			found = append(found, "docs/ARCHITECTURE.md: does not say why we depend on "+module)
		}
	}
	return found
}

// named tells whether prose names a module, by one of the words of its path behind the host.
func named(doc, module string) bool {
	for _, word := range strings.Split(module, "/")[1:] {
		if !majorVersion.MatchString(word) && regexp.MustCompile(`(?i)\b`+regexp.QuoteMeta(word)+`\b`).MatchString(doc) {
			return true
		}
	}
	return false
}

var majorVersion = regexp.MustCompile(`^v[0-9]+$`)
