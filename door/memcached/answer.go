package memcached

import (
	"strconv"
	"strings"

	"github.com/gamutdb/gamut/kv"
)

// directMin is from where on a value is written by itself instead of being copied into the output buffer.
const directMin = 16 << 10

func (p *pipeline) answer(r *request) {
	if len(p.out) >= bufferFree {
		p.flush()
	}
	switch r.kind {
	case answerText:
		p.line(r, r.text)
	case answerValues:
		p.values(r)
	case answerStats:
		p.out = p.server.appendStats(p.out, r.text)
	case answerFlushed:
		p.flushed(r)
	default:
		p.single(r)
	}
}

// single answers a request of one call.
func (p *pipeline) single(r *request) {
	res := &p.call(r).Result
	if failed := p.failure(r, res); failed {
		return
	}
	switch r.kind {
	case answerStored:
		p.line(r, p.stored(r, res))
	case answerNumber:
		p.number(r, res)
	case answerDeleted:
		p.tally.deleted(res.Code == kv.OK)
		p.line(r, choose(res.Code == kv.OK, "DELETED", "NOT_FOUND"))
	case answerTouched:
		p.tally.touched(res.Code == kv.OK)
		p.line(r, choose(res.Code == kv.OK, "TOUCHED", "NOT_FOUND"))
	case answerMetaGet:
		p.metaGot(r, res)
	case answerMetaSet:
		p.metaStored(r, res)
	case answerMetaDelete:
		p.metaDeleted(r, res)
	case answerMetaNumber:
		p.metaCounted(r, res)
	case answerMetaDebug:
		p.metaDebugged(r, res)
	}
}

func choose(condition bool, yes, no string) string {
	if condition {
		return yes
	}
	return no
}

// line answers one line unless the client asked for none.
func (p *pipeline) line(r *request, text string) {
	if !r.quiet {
		p.out = append(append(p.out, text...), '\r', '\n')
	}
}

// failure answers a result that tells nothing about the record: the one place where codes become errors. For a text
// command noreply silences even these, since its client would take the line for the next command's answer; the meta
// protocol always shows errors.
func (p *pipeline) failure(r *request, res *kv.Result) bool {
	text := ""
	switch res.Code {
	case kv.OK, kv.NotFound, kv.ConditionFailed:
		return false
	case kv.NotInteger, kv.NotFloat, kv.Overflow:
		text = notNumber
	case kv.TooLong:
		text = tooLarge
	case kv.WrongType:
		text = "CLIENT_ERROR " + detailed("", res.Detail)
	case kv.Invalid:
		text = "CLIENT_ERROR " + detailed("", res.Detail)
	case kv.NotLeader:
		text = "SERVER_ERROR " + detailed("unavailable no leader", res.Detail)
	default:
		text = "SERVER_ERROR " + detailed(res.Code.String(), res.Detail)
	}
	if !r.quiet || r.kind >= answerMetaGet {
		p.out = append(append(p.out, text...), '\r', '\n')
	}
	p.tally.failed(res.Code)
	return true
}

// detailed joins words and a detail to one line.
func detailed(words, detail string) string {
	detail = strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, detail)
	return strings.TrimSpace(words + " " + detail)
}

func (p *pipeline) stored(r *request, res *kv.Result) string {
	switch {
	case res.Code == kv.OK:
		p.tally.countIf(r.version, casHits)
		return "STORED"
	case res.Code == kv.NotFound:
		p.tally.countIf(r.version, casMisses)
		return r.missing
	case r.version:
		p.tally.count(casBadValue)
		return "EXISTS"
	}
	return "NOT_STORED"
}

func (p *pipeline) number(r *request, res *kv.Result) {
	down := p.call(r).Command.Ops[0].Down
	p.tally.counted(down, res.Code == kv.OK)
	if res.Code != kv.OK {
		p.line(r, "NOT_FOUND")
		return
	}
	if !r.quiet {
		p.out = append(append(p.out, res.Value...), '\r', '\n')
	}
}

func (p *pipeline) flushed(r *request) {
	for _, c := range p.batch.Calls()[r.from:r.to] {
		if p.failure(r, &c.Result) {
			return
		}
	}
	p.line(r, "OK")
}

// values answers a get. If one read failed, the answer ends there with the error instead of END: a failure must not look
// like a miss.
func (p *pipeline) values(r *request) {
	calls := p.batch.Calls()[r.from:r.to]
	for _, c := range calls {
		if p.failure(r, &c.Result) {
			p.conn.keys.failed = p.conn.keys.active && !r.last
			return
		}
	}
	for _, c := range calls {
		res, o := &c.Result, &c.Command.Ops[0]
		p.tally.got(o.Kind == kv.OpExpire, res.Code == kv.OK)
		if res.Code != kv.OK {
			continue
		}
		p.out = append(append(p.out, "VALUE "...), o.Key...)
		p.out = appendUint(append(p.out, ' '), uint64(res.Flags))
		p.out = appendUint(append(p.out, ' '), uint64(len(res.Value)))
		if r.version {
			p.out = appendUint(append(p.out, ' '), res.Version)
		}
		p.block(res.Value)
	}
	if r.last {
		p.out = append(p.out, "END\r\n"...)
	}
}

// block ends a line and puts a data block behind it.
func (p *pipeline) block(value []byte) {
	p.out = append(p.out, '\r', '\n')
	p.largest = max(p.largest, len(value))
	if len(value) < directMin {
		p.out = append(p.out, value...)
	} else {
		p.flush()
		if !p.broken {
			p.broken = !p.conn.write(value)
		}
	}
	p.out = append(p.out, '\r', '\n')
	if len(p.out) >= bufferFree {
		p.flush()
	}
}

func appendUint(b []byte, n uint64) []byte { return strconv.AppendUint(b, n, 10) }
