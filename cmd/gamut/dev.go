package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gamutdb/gamut/cmd/gamut/internal/local"
	"github.com/gamutdb/gamut/cmd/gamut/internal/member"
	"github.com/gamutdb/gamut/cmd/gamut/internal/settings"
	"github.com/gamutdb/gamut/door/http/remote"
	"github.com/gamutdb/gamut/kv"
)

// devKeyspaces are one that clients get who select nothing, and one for each consistency that exists.
var devKeyspaces = []string{"default", string(kv.Linearizable), string(kv.Sequential), string(kv.Atomic), string(kv.Quorum), string(kv.Causal), string(kv.Eventual)}

func devCommand() *cobra.Command {
	var nodes, basePort int
	var dir, debug string
	var stores []string
	var processes bool
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a whole cluster on this machine, to try things",
		Long: "Run a whole cluster on this machine, in one process, or with --processes as one child for each node. None is restarted:\n" +
			"kill one, see what happens, and start it again with the command that was printed. An interrupt stops all.",
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := filepath.Abs(dir)
			if err != nil {
				return fmt.Errorf("folder %s: %w", dir, err)
			}
			all, err := settings.Local(nodes, path, basePort, devKeyspaces)
			if err != nil {
				return err
			}
			if len(stores) > 0 {
				if err := settings.StoresFrom(all, stores); err != nil {
					return err
				}
			}
			if debug != "" {
				if err := settings.DebugFrom(all, debug); err != nil {
					return err
				}
			}
			if processes {
				return devProcesses(c, all, path)
			}
			return devMembers(c, all, path)
		},
	}
	cmd.Flags().IntVar(&nodes, "nodes", 3, "how many nodes")
	cmd.Flags().StringVar(&dir, "dir", "gamut-data", "folder of their data")
	cmd.Flags().IntVar(&basePort, "base-port", settings.BasePort, "HTTP port of the first node; the others follow")
	cmd.Flags().StringVar(&debug, "debug", "", "loopback address for profiles of the first node; the others follow in steps of 10")
	cmd.Flags().StringSliceVar(&stores, "store", nil, "where the nodes keep the long values of keyspaces with --store node: a store for each, such as memcached://host:port, or pebble or memory for all")
	cmd.Flags().BoolVar(&processes, "processes", false, "run each node as a process of its own")
	return cmd
}

// devMembers runs all nodes in this process.
func devMembers(c *cobra.Command, all []settings.Node, dir string) error {
	interrupted := signals()
	log := slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	var members []*member.Member
	for _, s := range all {
		m, err := member.Start(s, programVersion(), log)
		if err != nil {
			closeWithin(time.Second, c.ErrOrStderr(), members...)
			return err
		}
		members = append(members, m)
	}
	introduce(c.OutOrStdout(), all, dir)
	if awaitReady(&all[0], interrupted) {
		fmt.Fprintln(c.OutOrStdout(), "ready")
	}
	<-interrupted
	return closeWithin(all[0].DrainTime(), c.ErrOrStderr(), members...)
}

// devProcesses runs each node as a child.
func devProcesses(c *cobra.Command, all []settings.Node, dir string) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("path of this program: %w", err)
	}
	interrupted := signals()
	cluster, err := local.Run(program, all, c.OutOrStdout(), c.ErrOrStderr())
	if err != nil {
		return err
	}
	introduce(c.OutOrStdout(), all, dir)
	if awaitReady(&all[0], interrupted) {
		fmt.Fprintln(c.OutOrStdout(), "ready")
	}
	<-interrupted
	cluster.Stop(all[0].DrainTime() + time.Second)
	return nil
}

// introduce says where everything is.
func introduce(out io.Writer, all []settings.Node, dir string) {
	for i := range all {
		fmt.Fprintf(out, "node %d: %s\n", all[i].Node, addresses(&all[i]))
	}
	fmt.Fprintf(out, "data in %s\nkeyspaces %s\n", dir, strings.Join(all[0].Keyspaces, ", "))
}

// awaitReady waits for the node's /readyz; false: somebody had enough before.
func awaitReady(s *settings.Node, interrupted <-chan struct{}) bool {
	cluster := remote.New([]string{s.Address(settings.HTTPPort)}, time.Second)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		err := cluster.Ready(ctx)
		cancel()
		if err == nil {
			return true
		}
		select {
		case <-interrupted:
			return false
		case <-time.After(50 * time.Millisecond):
		}
	}
}
