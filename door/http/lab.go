package http

import (
	"net/http"

	"github.com/gamutdb/gamut/kv"
)

// lab serves what hurts the node on purpose, or says that nobody asked for that.
func (s *Server) lab() http.Handler {
	if s.opts.Lab != nil {
		return s.opts.Lab
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		WriteProblem(w, http.StatusForbidden, "not_lab", "this node was not started to be attacked; start it with --lab if it may lose what it holds")
	})
}

// WriteError answers an outcome that is not a success, for handlers that are mounted here.
func WriteError(w http.ResponseWriter, e *kv.Error) { new(Server).failCode(w, e.Code, e.Detail) }

// WriteProblem answers what is wrong with a request that never became a command, under a name of the caller's own.
func WriteProblem(w http.ResponseWriter, status int, name, detail string) {
	writeError(w, answer{name: name, status: status}, detail, true)
}
