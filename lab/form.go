package lab

import (
	"fmt"
	"slices"
	"strings"
)

// form is one way to write a statement, as a row of the table spells it:
//
//	put [CLIENT] KEY VALUE [LEVEL] {at=NODE}
//
// Small words stand for themselves, and a | between them gives the choice; names in capitals are arguments, of the kind of
// that name, and ( | ) is one that is one of the words in it. [ ] may be left out, ... may be repeated, { } is an option,
// written behind the arguments as at=2 or at 2.
type form struct {
	row     *row
	chapter string
	words   [][]string
	params  []param
	options []param
}

type param struct {
	name     string
	kind     *kind
	choice   []string // one of these words, instead of a kind
	optional bool
	many     bool
}

func newForm(r *row, chapter string) *form {
	f := &form{row: r, chapter: chapter}
	for _, token := range strings.Fields(r.form) {
		switch {
		case token[0] == '{':
			name, of, _ := strings.Cut(strings.Trim(token, "{}"), "=")
			f.options = append(f.options, newParam(of, name))
		case token[0] == '[':
			p := newParam(strings.Trim(token, "[]"), "")
			p.optional = true
			f.params = append(f.params, p)
		case isUpper(token):
			f.params = append(f.params, newParam(token, ""))
		case token[0] == '(' || len(f.params) > 0:
			f.params = append(f.params, newParam(strings.Trim(token, "()"), ""))
		default:
			f.words = append(f.words, strings.Split(token, "|"))
		}
	}
	return f
}

func isUpper(s string) bool { return s[0] >= 'A' && s[0] <= 'Z' }

func newParam(text, name string) param {
	base, many := strings.CutSuffix(text, "...")
	p := param{name: name, many: many}
	if name == "" {
		p.name = base
	}
	if isUpper(base) {
		p.kind = kindNamed(base)
	} else {
		p.choice = strings.Split(base, "|")
	}
	return p
}

// args are the arguments of a statement by the names of their parameters.
type args map[string][]any

// arg is an argument, or the zero value if it was left out.
func arg[T any](a args, name string) (v T) {
	if list := a[name]; len(list) > 0 {
		return list[0].(T)
	}
	return v
}

// orElse is an argument, or what stands for it if it was left out.
func orElse[T any](a args, name string, otherwise T) T {
	if list := a[name]; len(list) > 0 {
		return list[0].(T)
	}
	return otherwise
}

func (a args) has(name string) bool { return len(a[name]) > 0 }

// begins reports whether words begin as the form does, and what is left of them.
func (f *form) begins(words []word) (rest []word, ok bool) {
	if len(words) < len(f.words) {
		return nil, false
	}
	for i, spellings := range f.words {
		if words[i].quoted || !slices.ContainsFunc(spellings, func(s string) bool { return strings.EqualFold(s, words[i].text) }) {
			return nil, false
		}
	}
	return words[len(f.words):], true
}

// misfit says why words are not as a form wants them: the more of them were taken, the better it knows what was meant.
type misfit struct {
	taken int
	why   string
}

// fit takes the words as arguments. An argument that may be left out is taken if it can be.
func (f *form) fit(n *names, words []word) (args, *misfit) {
	got := args{}
	if bad := f.place(n, words, 0, 0, got); bad != nil {
		return nil, bad
	}
	return got, nil
}

// place fits words from at on to the parameters from p on, and tries the other ways if the rest does not fit: an argument
// that may be repeated takes as many words as it can, then one less, and so on.
func (f *form) place(n *names, words []word, at, p int, got args) *misfit {
	if p == len(f.params) {
		return f.placeOptions(n, words, at, got)
	}
	param := &f.params[p]
	values, worst := param.take(n, words[at:])
	worst.taken += at
	least := 1
	if param.optional {
		least = 0
	}
	for count := len(values); count >= least; count-- {
		got[param.name] = values[:count:count]
		bad := f.place(n, words, at+count, p+1, got)
		if bad == nil || param.optional && at == len(words) {
			return bad
		}
		worst = further(worst, bad)
	}
	delete(got, param.name)
	return worst
}

// take reads as many words as the parameter can have, and says why it takes no more.
func (p *param) take(n *names, words []word) (values []any, why *misfit) {
	for _, w := range words {
		v, err := p.read(n, w)
		if err != nil {
			return values, &misfit{len(values), err.Error()}
		}
		values = append(values, v)
		if !p.many {
			return values, &misfit{}
		}
	}
	return values, &misfit{len(values), "it ends where " + p.says() + " should follow"}
}

// further is the misfit that took more words, the first of two that took as many; nil if the second is none.
func further(a, b *misfit) *misfit {
	if b == nil || a == nil || b.taken > a.taken {
		return b
	}
	return a
}

func (f *form) placeOptions(n *names, words []word, at int, got args) *misfit {
	for at < len(words) {
		w := words[at]
		name, value, joined := strings.Cut(w.text, "=")
		i := slices.IndexFunc(f.options, func(o param) bool { return o.name == name })
		if w.quoted || i < 0 {
			return &misfit{at, fmt.Sprintf("%q is more than it takes", w.text)}
		}
		if !joined {
			if at++; at == len(words) {
				return &misfit{at, fmt.Sprintf("%s needs a value", name)}
			}
			value = words[at].text
		}
		v, err := f.options[i].read(n, word{text: value})
		if err != nil {
			return &misfit{at, fmt.Sprintf("%s: %v", name, err)}
		}
		if got.has(name) {
			return &misfit{at, fmt.Sprintf("%s is given twice", name)}
		}
		got[name] = []any{v}
		at++
	}
	return nil
}

func (p *param) read(n *names, w word) (any, error) {
	if p.kind != nil {
		return p.kind.read(n, w)
	}
	for _, c := range p.choice {
		if !w.quoted && strings.EqualFold(c, w.text) {
			return c, nil
		}
	}
	return nil, fmt.Errorf("%q is not %s", w.text, p.says())
}

func (p *param) says() string {
	if p.kind != nil {
		return p.name
	}
	return strings.Join(p.choice, " or ")
}
