package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/gamutdb/gamut/cmd/gamut/internal/member"
	"github.com/gamutdb/gamut/cmd/gamut/internal/settings"
)

func startCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "start",
		Short: "Run one node of a cluster",
		Long: "Run one node of a cluster. Settings come from the config file, are overridden by the environment (GAMUT_NODE, GAMUT_DIR,\n" +
			"and so on), then by flags. No file is needed: --node 2 --cluster 1=10.0.0.1:7401,2=10.0.0.2:7401,3=10.0.0.3:7401 is enough.\n" +
			"A running cluster takes a new node in with --join 10.0.0.1:7401 --dir D --host 10.0.0.4; start it again with the same words.",
	}
	config := cmd.Flags().String("config", os.Getenv("GAMUT_CONFIG"), "config file (GAMUT_CONFIG)")
	cmd.Flags().String("node", "", "number of this node in the cluster list")
	cmd.Flags().String("dir", "", "folder of this node's data (default gamut-data/nodeN)")
	cmd.Flags().String("host", "", "address to bind (default: as in the cluster list)")
	cmd.Flags().String("base-port", "", "HTTP port; peers, redis and memcached follow (default: one below the port in the cluster list)")
	cmd.Flags().String("cluster", "", "all nodes, as 1=host:peerport,2=host:peerport")
	cmd.Flags().String("join", "", "host:peerport of a member of a running cluster, to become a member of it")
	cmd.Flags().String("name", "", "name of the cluster; without one the addresses in the list can never change")
	cmd.Flags().String("zone", "", "what may fail together with this node, such as a rack; replicas are spread over zones")
	cmd.Flags().String("keyspaces", "", "keyspaces to make if they are not there yet (default \"default\")")
	cmd.Flags().String("memcached-keyspace", "", "keyspace of memcached clients (default \"default\")")
	cmd.Flags().String("memcached-level", "", "what memcached clients ask of it, such as one or all (default: the keyspace's own promise)")
	cmd.Flags().String("store", "", "where this node keeps the long values of keyspaces with --store node: pebble, memory, memcached://host:port or redis://host:port (default: such keyspaces are refused)")
	cmd.Flags().String("store-memory", "", "most that values take which are kept in memory; what is beyond stays on disk (default 1GiB)")
	cmd.Flags().Bool("insecure", false, "allow addresses that other machines can reach, without TLS or users")
	cmd.Flags().Bool("lab", false, "let whoever reaches the HTTP door hurt this node: cut links, move clocks, fail the disk")
	cmd.Flags().String("debug", "", "loopback address for profiles, such as 127.0.0.1:6060")
	cmd.Flags().String("drain", "", "how long stopping may take (default 10s)")
	cmd.RunE = func(c *cobra.Command, _ []string) error {
		s, err := readSettings(c, *config)
		if err != nil {
			return err
		}
		return runNode(s, c.ErrOrStderr())
	}
	return cmd
}

// readSettings joins file, environment and flags, in this order.
func readSettings(c *cobra.Command, file string) (s settings.Node, err error) {
	if file != "" {
		if s, err = settings.ReadFile(file); err != nil {
			return s, err
		}
	}
	for _, name := range settings.Names {
		if text, ok := os.LookupEnv(settings.Variable(name)); ok {
			if err := s.Override(name, text, settings.Variable(name)); err != nil {
				return s, err
			}
		}
		if f := c.Flags().Lookup(name); f.Changed {
			if err := s.Override(name, f.Value.String(), "--"+name); err != nil {
				return s, err
			}
		}
	}
	return s, s.Resolve()
}

func runNode(s settings.Node, stderr io.Writer) error {
	if s.Exposed() {
		fmt.Fprintf(stderr, "WARNING: insecure: node %d listens on %s without TLS or users; whoever can reach it may read and write everything\n", s.Node, s.Host)
	}
	if s.Lab {
		fmt.Fprintf(stderr, "WARNING: lab: node %d may be attacked through %s/v1/lab; never start it so with data that matters\n", s.Node, s.Advertised(settings.HTTPPort))
	}
	defer runtime.KeepAlive(boundGarbage())
	interrupted := signals()
	m, err := member.Start(s, programVersion(), slog.New(slog.NewTextHandler(stderr, nil)))
	if err != nil {
		return err
	}
	s.Node = m.Number()
	fmt.Fprintf(stderr, "node %d: %s; data in %s\n", s.Node, addresses(&s), s.Dir)
	<-interrupted
	return closeWithin(s.DrainTime(), stderr, m)
}

// garbagePercent is how much garbage may lie beside what is in use before it is collected. Most of a node's memory is write
// buffers and caches without pointers, so that collecting it more often than Go's default of 100 costs next to nothing.
const garbagePercent = 40

// ballastBytes lets about 7 MB of garbage gather. Write buffers and caches lie outside of what Go collects, and the rest is so small
// that 40 % of it are used up twenty times a second under load, each time for some milliseconds.
const ballastBytes = 16 << 20

// boundGarbage leaves a choice in the environment alone. What it returns counts as in use until it is let go, and is never touched, so
// that it takes no memory.
func boundGarbage() (ballast []byte) {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	debug.SetGCPercent(garbagePercent)
	return make([]byte, ballastBytes)
}

func addresses(s *settings.Node) string {
	return fmt.Sprintf("http %s, redis %s, memcached %s, peers %s", s.Advertised(settings.HTTPPort), s.Advertised(settings.RedisPort),
		s.Advertised(settings.MemcachedPort), s.Advertised(settings.PeerPort))
}

// signals is closed by the first interrupt; the second ends the process at once.
func signals() <-chan struct{} {
	received := make(chan os.Signal, 2)
	signal.Notify(received, syscall.SIGINT, syscall.SIGTERM)
	first := make(chan struct{})
	go func() {
		<-received
		close(first)
		<-received
		os.Exit(exitError)
	}()
	return first
}

// closeWithin stops members together and does not wait longer than it was told: all that was acknowledged is on disk.
func closeWithin(drain time.Duration, stderr io.Writer, members ...*member.Member) error {
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	ended := make(chan error, len(members))
	for _, m := range members {
		go func() { ended <- m.Close(ctx) }()
	}
	var failed error
	for range members {
		select {
		case err := <-ended:
			if err != nil {
				failed = err
			}
		case <-ctx.Done():
			fmt.Fprintf(stderr, "gamut: not all was handed over within %v; leaving\n", drain)
			return nil
		}
	}
	return failed
}
