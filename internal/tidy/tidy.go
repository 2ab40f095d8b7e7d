// Package tidy holds the house rules as tests.
//
// A rule reads the whole module as syntax trees and says what breaks it, with the reason beside the ban; its tests run
// over the module itself, and over small modules in which it must find something, so that no rule can fall asleep.
//
// Others rely on this: what ARCHITECTURE says about rooms and purity is so, because a change that breaks it does not pass.
//
// Start with rules (rules.go), the list of all; imports.go has the map of the house.
package tidy

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Module is the source of a Go module, by folder.
type Module struct {
	fset  *token.FileSet
	files []*File
	// other are texts that are not Go: go.mod, docs.
	other map[string]string
}

// File is one Go file.
type File struct {
	// Path is relative to the module, with slashes; Room is its folder.
	Path, Room string
	Text       string
	Test       bool
	*ast.File
}

// Prefix is the module's path with a slash.
const Prefix = "github.com/gamutdb/gamut/"

// Load parses all Go files below the root, modules of their own excepted.
func Load(root fs.FS) (*Module, error) {
	m := &Module{fset: token.NewFileSet(), other: map[string]string{}}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if _, err := fs.Stat(root, path.Join(name, "go.mod")); name != "." && (err == nil || strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
				return fs.SkipDir
			}
			return nil
		}
		return m.add(root, name)
	})
	return m, err
}

func (m *Module) add(root fs.FS, name string) error {
	isGo := strings.HasSuffix(name, ".go")
	if !isGo && name != "go.mod" && name != "docs/ARCHITECTURE.md" {
		return nil
	}
	b, err := fs.ReadFile(root, name)
	if err != nil {
		return err
	}
	if !isGo {
		m.other[name] = string(b)
		return nil
	}
	tree, err := parser.ParseFile(m.fset, name, b, parser.ParseComments)
	if err != nil {
		return err
	}
	m.files = append(m.files, &File{Path: name, Room: path.Dir(name), Text: string(b), Test: strings.HasSuffix(name, "_test.go"), File: tree})
	return nil
}

// rooms are the folders with code that is not only tests, in order, each with its files.
func (m *Module) rooms() (names []string, files map[string][]*File) {
	files = map[string][]*File{}
	for _, f := range m.files {
		if f.Test {
			continue
		}
		if files[f.Room] == nil {
			names = append(names, f.Room)
		}
		files[f.Room] = append(files[f.Room], f)
	}
	slices.Sort(names)
	return names, files
}

// at says where something stands.
func (m *Module) at(p token.Pos, format string, args ...any) string {
	position := m.fset.Position(p)
	return fmt.Sprintf("%s:%d: ", position.Filename, position.Line) + fmt.Sprintf(format, args...)
}

// below tells whether a room is one of these or lies inside one.
func below(room string, tops ...string) bool {
	for _, top := range tops {
		if room == top || strings.HasPrefix(room, top+"/") {
			return true
		}
	}
	return false
}

// comments maps the last line of each comment group of a file to its text.
func (m *Module) comments(f *File) map[int]string {
	out := map[int]string{}
	for _, g := range f.Comments {
		out[m.fset.Position(g.End()).Line] = g.Text()
	}
	return out
}
