package redis

import (
	"strconv"

	"github.com/gamutdb/gamut/kv"
)

// writer appends replies to a buffer, in the connection's version of the protocol.
type writer struct {
	buf   []byte
	resp3 bool
}

func (w *writer) simple(s string) {
	w.buf = append(w.buf, '+')
	w.buf = append(w.buf, s...)
	w.end()
}

func (w *writer) ok() { w.buf = append(w.buf, "+OK\r\n"...) }

// fail writes an error; its text begins with the error's kind, such as ERR. Line ends in it would break the protocol.
func (w *writer) fail(text string) {
	w.buf = append(w.buf, '-')
	from := len(w.buf)
	w.buf = append(w.buf, text...)
	for i := from; i < len(w.buf); i++ {
		if w.buf[i] == '\r' || w.buf[i] == '\n' {
			w.buf[i] = ' '
		}
	}
	w.end()
}

func (w *writer) integer(n int64) { w.number(':', n) }

func (w *writer) flag(b bool) {
	if b {
		w.integer(1)
	} else {
		w.integer(0)
	}
}

func (w *writer) bulk(b []byte) {
	w.number('$', int64(len(b)))
	w.buf = append(w.buf, b...)
	w.end()
}

func (w *writer) text(s string) {
	w.number('$', int64(len(s)))
	w.buf = append(w.buf, s...)
	w.end()
}

// verbatim is text for people: a type of its own in RESP3.
func (w *writer) verbatim(s string) {
	if !w.resp3 {
		w.text(s)
		return
	}
	w.number('=', int64(len(s)+4))
	w.buf = append(w.buf, "txt:"...)
	w.buf = append(w.buf, s...)
	w.end()
}

func (w *writer) null() {
	if w.resp3 {
		w.buf = append(w.buf, "_\r\n"...)
	} else {
		w.buf = append(w.buf, "$-1\r\n"...)
	}
}

func (w *writer) nullArray() {
	if w.resp3 {
		w.buf = append(w.buf, "_\r\n"...)
	} else {
		w.buf = append(w.buf, "*-1\r\n"...)
	}
}

func (w *writer) array(n int) { w.number('*', int64(n)) }

// mapping opens a map of n pairs, which RESP2 knows as an array of twice the length.
func (w *writer) mapping(n int) {
	if w.resp3 {
		w.number('%', int64(n))
	} else {
		w.array(2 * n)
	}
}

// attributes opens n pairs that say something about the reply behind them. Only RESP3 has such.
func (w *writer) attributes(n int) { w.number('|', int64(n)) }

// receipts says how the calls of a reply were answered, if they asked for it: one by its fields, several by a list.
func (w *writer) receipts(calls []*kv.Call) {
	if !w.resp3 || len(calls) == 0 || !calls[0].Command.Receipt {
		return
	}
	fields := func(open func(n int), call *kv.Call) {
		receipt := kv.NewReceipt(call.Keyspace, call, &call.Result)
		w.receipt(open, &receipt)
	}
	if len(calls) == 1 {
		if failures[calls[0].Result.Code] == "" {
			fields(w.attributes, calls[0])
		}
		return
	}
	w.attributes(1)
	w.text("receipts")
	w.array(len(calls))
	for _, call := range calls {
		fields(w.mapping, call)
	}
}

func (w *writer) receipt(open func(n int), r *kv.Receipt) {
	list := r.Fields()
	open(len(list))
	for _, f := range list {
		w.text(f.Name)
		w.text(f.Text)
	}
}

func (w *writer) set(n int) {
	if w.resp3 {
		w.number('~', int64(n))
	} else {
		w.array(n)
	}
}

func (w *writer) number(kind byte, n int64) {
	w.buf = append(w.buf, kind)
	w.buf = strconv.AppendInt(w.buf, n, 10)
	w.end()
}

func (w *writer) end() { w.buf = append(w.buf, '\r', '\n') }
