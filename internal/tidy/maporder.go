package tidy

import (
	"go/ast"
	"go/types"
	"path"
	"strings"
)

// mapOrder wants every loop over a map in a pure room to say why its order reaches no effect: Go visits maps in an order
// of its own each time, so that one seed would give two traces.
func mapOrder(m *Module) (found []string) {
	names, files := m.rooms()
	check := &checker{module: m, files: files, done: map[string]*types.Package{}, info: types.Info{Types: map[ast.Expr]types.TypeAndValue{}}}
	for _, room := range names {
		if !below(room, pure...) {
			continue
		}
		check.room(room)
		for _, f := range files[room] {
			comments := m.comments(f)
			ast.Inspect(f.File, func(n ast.Node) bool {
				loop, ok := n.(*ast.RangeStmt)
				if !ok || !check.isMap(loop.X) {
					return true
				}
				if !strings.HasPrefix(comments[m.fset.Position(loop.Pos()).Line-1], orderMark) {
					found = append(found, m.at(loop.Pos(), "a loop over a map in a pure room: sort its keys, or say above it \"// %s…\"", orderMark))
				}
				return true
			})
		}
	}
	return found
}

// checker finds types as far as our own rooms tell them: packages of others stay empty, and what needs them untyped.
type checker struct {
	module *Module
	files  map[string][]*File
	done   map[string]*types.Package
	info   types.Info
}

func (c *checker) room(room string) *types.Package {
	if p := c.done[room]; p != nil {
		return p
	}
	var trees []*ast.File
	for _, f := range c.files[room] {
		trees = append(trees, f.File)
	}
	config := types.Config{Importer: c, Error: func(error) {}, FakeImportC: true}
	p, err := config.Check(Prefix+room, c.module.fset, trees, &c.info)
	if err != nil && p == nil {
		p = types.NewPackage(Prefix+room, path.Base(room))
	}
	c.done[room] = p
	return p
}

// Import implements types.Importer.
func (c *checker) Import(name string) (*types.Package, error) {
	if room, ours := strings.CutPrefix(name, Prefix); ours && c.files[room] != nil {
		return c.room(room), nil
	}
	base := path.Base(name)
	if strings.HasPrefix(base, "v") && strings.Trim(base[1:], "0123456789") == "" {
		base = path.Base(path.Dir(name))
	}
	p := types.NewPackage(name, base)
	p.MarkComplete()
	return p, nil
}

func (c *checker) isMap(x ast.Expr) bool {
	if t := c.info.TypeOf(x); t != nil {
		if _, ok := t.Underlying().(*types.Map); ok {
			return true
		}
	}
	call, ok := x.(*ast.CallExpr)
	if !ok {
		return false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	from, ok := sel.X.(*ast.Ident)
	return ok && from.Name == "maps"
}
