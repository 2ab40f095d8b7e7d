package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker for releases.
var version = ""

// programVersion is the release, or what Go knows of the commit.
func programVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}

func versionCommand(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		RunE: func(c *cobra.Command, _ []string) error {
			return g.only(c, []string{"VERSION", "GO"}, map[string]string{"version": programVersion(), "go": runtime.Version()}, programVersion(), runtime.Version())
		},
	}
}
