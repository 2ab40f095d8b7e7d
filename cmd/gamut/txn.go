package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gamutdb/gamut/cmd/gamut/internal/statements"
	doorhttp "github.com/gamutdb/gamut/door/http"
	"github.com/gamutdb/gamut/door/http/remote"
)

func txnCommand(g *global) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "txn [STATEMENT]...",
		Short: "Change keys of any shards and linearizable keyspaces at one instant, or none of them",
		Long: `Change keys of any shards and linearizable keyspaces at one instant, or none of them.

Statements are arguments, lines of --file, or lines of standard input:

  if KEY absent|present|is VALUE|version N     conditions, first
  get KEY · put KEY VALUE [ttl TIME] · delete KEY · incr KEY [BY] · append KEY VALUE · prepend KEY VALUE · expire KEY TIME · persist KEY
  in KEYSPACE                                  what follows is about another keyspace
  else                                         what follows happens if a condition does not hold
  or                                           (with a commit order) conditions and operations of an alternative follow
  merge append|max|min|sum|copy                (with a commit order) what is done with puts if a condition does not hold

JSON is taken, too, as POST /v1/txn takes it.`,
		Example: `  gamut txn 'if stock is 3' 'incr stock -1' 'put order-17 chair' else 'get stock'`,
		Args:    cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			text, err := txnText(c, args, file)
			if err != nil {
				return err
			}
			t, err := statements.Parse(text, g.keyspace)
			if err != nil {
				return usage(err)
			}
			return g.transact(c, t)
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "file of statements; - is standard input")
	cmd.AddCommand(outcomeCommand(g, "outcome ID", "Tell what became of a transaction whose outcome was unknown; one that is not decided is decided by asking"))
	return g.receiptFlag(cmd)
}

// txnText is where the statements stand.
func txnText(c *cobra.Command, args []string, file string) ([]byte, error) {
	switch {
	case len(args) > 0 && file != "":
		return nil, usage(errors.New("give statements or --file, not both"))
	case len(args) > 0:
		return []byte(strings.Join(args, "\n")), nil
	case file == "" || file == "-":
		return io.ReadAll(c.InOrStdin())
	}
	return os.ReadFile(file)
}

func (g *global) transact(c *cobra.Command, t *doorhttp.Txn) error {
	body, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("transaction: %w", err)
	}
	ctx, cancel := bounded(c)
	defer cancel()
	var answer doorhttp.TxnBody
	q := remote.Request{Method: "POST", Path: "/v1/txn", Body: body, Header: g.askReceipt(g.levelHeader(nil))}
	resp, err := g.cluster().Do(ctx, q)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return fmt.Errorf("answer to the transaction: %w", err)
	}
	if err := g.takeReceipt(t.Keyspace, resp); err != nil {
		return err
	}
	if answer.Branch != "" && answer.Branch != "then" && !g.raw(c) {
		fmt.Fprintf(c.ErrOrStderr(), "a condition does not hold: %s was executed\n", answer.Branch)
	}
	p, err := g.printer(c, "OP", "KEY", "RESULT")
	if err != nil {
		return err
	}
	if !p.JSON() {
		g.tellReceipt(c)
	}
	ops := executedOf(t, answer.Branch)
	for i := range answer.Results {
		row, err := g.withReceipt(map[string]any{"op": ops[i].Op, "branch": answer.Branch, "id": answer.ID, "answer": answer.Results[i]})
		if err != nil {
			return err
		}
		if err := p.Row(row,
			ops[i].Op, ops[i].Key, resultText(&answer.Results[i])); err != nil {
			return err
		}
	}
	return p.Close()
}

// executedOf are the operations of a branch of a transaction.
func executedOf(t *doorhttp.Txn, branch string) []doorhttp.TxnOperation {
	var n int
	if branch == "else" {
		return t.Else
	}
	if _, err := fmt.Sscanf(branch, "alternative %d", &n); err == nil && n >= 1 && n <= len(t.Alternatives) {
		return t.Alternatives[n-1].Operations
	}
	return t.Operations
}

// resultText is the answer to one operation in a word.
func resultText(r *doorhttp.TxnResult) string {
	switch {
	case r.Result != "ok":
		return r.Result
	case r.Int != nil:
		return strconv.FormatInt(*r.Int, 10)
	case r.Value != nil:
		return *r.Value
	case r.Value64 != "":
		return "base64:" + r.Value64
	}
	return r.Result
}
