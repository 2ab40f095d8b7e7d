package txn

import (
	"slices"

	"github.com/gamutdb/gamut/kv"
)

// forgetMax is how many transactions one command lets a group forget.
const forgetMax = 512

// Together makes one command for each group out of commands that let it forget one transaction each (rule V4). Nobody waits for the
// answers, which are those for the first one of each.
func Together(forgets []Send) (list []Send) {
	for _, s := range forgets {
		i := slices.IndexFunc(list, func(l Send) bool { return l.Group == s.Group && len(l.Command.Tx.Others) < forgetMax-1 })
		if i < 0 {
			tx := *s.Command.Tx
			list = append(list, Send{Group: s.Group, Command: kv.Command{Tx: &tx}})
			continue
		}
		tx := list[i].Command.Tx
		tx.Step, tx.Others = kv.TxForgetMany, append(tx.Others, s.Command.Tx.ID)
	}
	return list
}
