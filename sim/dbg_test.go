package sim

import ("testing";"fmt";"strings")

func TestDbg(t *testing.T) {
	o := anyTxn(*seedFlag); o.Trace = true; o.TraceLines = 1000000
	r := RunTxn(o)
	fmt.Println(r.Failure)
	for _, h := range r.History { fmt.Println("H", h.String(), h.Subs) }
	for _, l := range r.Trace { if strings.Contains(l,"client")||strings.Contains(l,"txn")||strings.Contains(l,"recover")||strings.Contains(l,"starts")||strings.Contains(l,"crash")||strings.Contains(l,"heal") { fmt.Println("T", l) } }
}
