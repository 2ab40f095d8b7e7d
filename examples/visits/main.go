// Command visits counts who came by, with the Go client.
//
// It adds to a counter for each name that it is given, in the keyspace that -keyspace names, and prints what it came to.
// What is not known it says, and counts no one twice.
//
// Others rely on this: a name that was printed is counted, whatever dies meanwhile.
//
// Start with count.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/gamutdb/gamut/client"
)

func main() {
	addresses := flag.String("addr", "127.0.0.1:7400", "HTTP addresses of nodes, separated by commas")
	keyspace := flag.String("keyspace", "default", "keyspace")
	flag.Parse()
	if err := count(context.Background(), os.Stdout, strings.Split(*addresses, ","), *keyspace, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "visits:", err)
		os.Exit(1)
	}
}

// count adds one for each name.
func count(ctx context.Context, out io.Writer, addresses []string, keyspace string, names []string) error {
	c, err := client.Open(addresses, client.Options{})
	if err != nil {
		return err
	}
	defer c.Close()
	visits := c.Keyspace(keyspace)
	for _, name := range names {
		n, err := visits.Incr(ctx, "visits of "+name, 1)
		var unknown *client.UnknownError
		if errors.As(err, &unknown) {
			fmt.Fprintf(out, "%s: perhaps counted: %v\n", name, err)
			continue
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s: %d\n", name, n)
	}
	return nil
}
