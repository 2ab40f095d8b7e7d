package http

import (
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"
)

// ListenDebug opens the address of the debug server. Profiles show keys and values in memory, so nothing but the loopback
// is accepted, whatever else the node is allowed to bind.
func ListenDebug(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("debug address %q is not host:port: %w", address, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("debug address %q is not on the loopback; use 127.0.0.1", address)
	}
	return net.Listen("tcp", address)
}

// NewDebug makes the server of profiles and traces, for a listener of ListenDebug.
func NewDebug() *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
}
