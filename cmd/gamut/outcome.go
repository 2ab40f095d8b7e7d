package main

import (
	"crypto/rand"
	"encoding/binary"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	doorhttp "github.com/gamutdb/gamut/door/http"
	"github.com/gamutdb/gamut/door/http/remote"
	"github.com/gamutdb/gamut/kv"
)

func outcomeCommand(g *global, use, short string) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		Long: short + `.

ID is what the error said that left the outcome open. The answer is done, with the result, or "not done"; of a transaction over several
shards, committed or aborted. It is final: what is told to be not done is kept from happening later. Outcomes are kept for 20 minutes after the
last request of the node or client that sent the write, those of transactions for 10.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := kv.CheckOutcomeID(args[0]); err != nil {
				return usage(err)
			}
			ctx, cancel := bounded(c)
			defer cancel()
			var o struct {
				kv.RequestOutcome
				Participants []uint64 `json:"participants,omitempty"`
			}
			if err := g.cluster().JSON(ctx, remote.Request{Method: http.MethodGet, Path: "/v1/outcome/" + url.PathEscape(args[0])}, &o); err != nil {
				return err
			}
			text := o.Outcome
			if results := append([]string{o.Result}, o.Results...); o.Result != "" && (o.Result != "ok" || len(o.Results) > 0) {
				text += ": " + strings.Join(results, ", ")
			}
			return g.only(c, []string{"OUTCOME"}, o, text)
		},
	}
}

// numbered gives a write a number of its own, and returns the id under which it can be asked for if no answer comes.
func numbered(q *remote.Request, keyspace, key string) (id string) {
	if q.Method == http.MethodGet || q.Method == http.MethodHead {
		return ""
	}
	s := kv.Session{Seq: 1}
	rand.Read(s.Client[:]) // it never fails
	var created [8]byte
	binary.BigEndian.PutUint64(created[:], uint64(time.Now().UnixMilli())<<16)
	copy(s.Client[:6], created[:6])
	if q.Header == nil {
		q.Header = http.Header{}
	}
	q.Header.Set(doorhttp.HeaderRequest, s.Number()+"; optional")
	return kv.RequestID{Keyspace: keyspace, Key: []byte(key), Session: s}.String()
}
