package memcached

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/gamutdb/gamut/kv"
)

// recacheStale gives the right to recache to those that read a stale record nobody had been told to recache. A read of
// such a record is a write in memcached; here only this rare read is, in a second batch. It wins nothing if the record has
// changed since; a later command of the same connection cannot have done that, see mustWait.
func (p *pipeline) recacheStale() {
	submitted := false
	for i := range p.requests {
		r := &p.requests[i]
		if r.kind != answerMetaGet {
			continue
		}
		call := p.call(r)
		view := viewOf(call, r.plan.view)
		if view.Code != kv.OK || view.Marks != kv.MarkStale {
			continue
		}
		if !submitted {
			p.second.Reset(p.batch.Deadline)
			submitted = true
		}
		again := p.second.Add()
		again.Keyspace, again.Command.Level = call.Keyspace, p.server.options.writeLevel()
		again.Command.Conds = append(again.Command.Conds, kv.Cond{Key: r.key, Kind: kv.CondVersion, Version: view.Version})
		o := addOp(&again.Command, r.key)
		o.Kind, o.Quiet = kv.OpRecache, true
	}
	if !submitted {
		return
	}
	p.server.db.Submit(&p.second)
	p.second.Wait()
	p.mergeMarks()
}

// mergeMarks carries the second batch's results to the reads that asked for them, in the same order.
func (p *pipeline) mergeMarks() {
	again := p.second.Calls()
	for i := range p.requests {
		r := &p.requests[i]
		if r.kind != answerMetaGet {
			continue
		}
		call := p.call(r)
		view := viewOf(call, r.plan.view)
		if view.Code != kv.OK || view.Marks != kv.MarkStale {
			continue
		}
		switch res := &again[0].Result; {
		case res.Code == kv.OK && res.Marks&kv.MarkWon != 0:
			view.Marks |= kv.MarkWon
		case res.Code.Refused() || res.Code == kv.Unknown:
			call.Result = kv.Result{Code: res.Code, Detail: res.Detail}
		default:
			view.Marks |= kv.MarkSent
		}
		again = again[1:]
	}
}

// viewOf is the result of one of a call's operations.
func viewOf(c *kv.Call, i uint8) *kv.Result {
	if len(c.Command.Ops) > 1 && int(i) < len(c.Result.Items) {
		return &c.Result.Items[i]
	}
	return &c.Result
}

func (p *pipeline) metaGot(r *request, res *kv.Result) {
	call := p.call(r)
	view, ttl := viewOf(call, r.plan.view), viewOf(call, r.plan.ttl)
	if p.failure(r, view) {
		return
	}
	hit := view.Code == kv.OK
	p.tally.got(call.Command.Ops[r.plan.view].Kind == kv.OpExpire, hit)
	if !hit {
		if !r.quiet {
			p.metaLine(r, "EN", nil, "Ok")
		}
		return
	}
	size, withValue := len(view.Value), !call.Command.Ops[r.plan.view].Quiet
	if withValue {
		p.out = append(p.out, "VA "...)
		p.out = appendUint(p.out, uint64(size))
	} else {
		p.out = append(p.out, "HD"...)
		size = int(view.Int)
	}
	shown := shownRecord{version: view.Version, flags: view.Flags, size: size, expireAt: ttl.ExpireAt, asOf: res.AsOf}
	if r.plan.zeroTTL && !view.Existed {
		shown.expireAt = 0
	}
	p.metaFlags(r, &shown, "stcfOk")
	p.marks(view.Marks)
	p.endMeta(withValue, view.Value)
}

// endMeta ends a line, with the data block if there is to be one.
func (p *pipeline) endMeta(withValue bool, value []byte) {
	if withValue {
		p.block(value)
	} else {
		p.out = append(p.out, '\r', '\n')
	}
}

func (p *pipeline) marks(m kv.Mark) {
	if m&kv.MarkSent != 0 && m&kv.MarkWon == 0 {
		p.out = append(p.out, " Z"...)
	}
	if m&kv.MarkStale != 0 {
		p.out = append(p.out, " X"...)
	}
	if m&kv.MarkWon != 0 {
		p.out = append(p.out, " W"...)
	}
}

func (p *pipeline) metaStored(r *request, res *kv.Result) {
	code, version, size := "HD", res.Version, r.size
	switch res.Code {
	case kv.OK:
		if r.quiet {
			return
		}
		if k := p.call(r).Command.Ops[0].Kind; k == kv.OpAppend || k == kv.OpPrepend {
			size = int(res.Int)
		}
	case kv.NotFound:
		code, version = r.missing, 0
	default:
		code, version = "EX", 0
		if w := p.call(r).Command.Ops[0].When; w == kv.IfAbsent || w == kv.IfPresent {
			code = "NS"
		}
	}
	p.metaLine(r, code, &shownRecord{version: version, size: size}, "Okcs")
}

func (p *pipeline) metaDeleted(r *request, res *kv.Result) {
	p.tally.deleted(res.Code == kv.OK)
	switch res.Code {
	case kv.OK:
		if !r.quiet {
			p.metaLine(r, "HD", nil, "Ok")
		}
	case kv.NotFound:
		p.metaLine(r, "NF", nil, "Ok")
	default:
		p.metaLine(r, "EX", nil, "Ok")
	}
}

func (p *pipeline) metaCounted(r *request, res *kv.Result) {
	p.tally.counted(p.call(r).Command.Ops[0].Down, res.Code == kv.OK)
	switch res.Code {
	case kv.OK:
	case kv.NotFound:
		p.metaLine(r, "NF", nil, "Ok")
		return
	default:
		p.metaLine(r, "EX", nil, "Ok")
		return
	}
	// As in memcached, q is for the nominal answer: a record that was made is told.
	if r.quiet && res.Existed {
		return
	}
	withValue := hasFlag(r.flags, 'v')
	if withValue {
		p.out = append(p.out, "VA "...)
		p.out = appendUint(p.out, uint64(len(res.Value)))
	} else {
		p.out = append(p.out, "HD"...)
	}
	p.metaFlags(r, &shownRecord{version: res.Version, expireAt: res.ExpireAt, asOf: res.AsOf}, "ctOk")
	p.endMeta(withValue, res.Value)
}

func (p *pipeline) metaDebugged(r *request, res *kv.Result) {
	if res.Code != kv.OK {
		p.out = append(p.out, "EN\r\n"...)
		return
	}
	p.out = append(p.out, "ME "...)
	if r.binary {
		p.out = base64.StdEncoding.AppendEncode(p.out, r.key)
	} else {
		p.out = append(p.out, r.key...)
	}
	ttl := int64(-1)
	if res.ExpireAt != 0 {
		ttl = remaining(res.ExpireAt, res.AsOf)
	}
	p.out = strconv.AppendInt(append(p.out, " exp="...), ttl, 10)
	p.out = appendUint(append(p.out, " cas="...), res.Version)
	p.out = appendUint(append(p.out, " size="...), uint64(res.Int))
	p.out = append(p.out, '\r', '\n')
}

// shownRecord is what the flags of a meta command can show of a record.
type shownRecord struct {
	version        uint64
	flags          uint32
	size           int
	expireAt, asOf int64
}

// metaLine answers a code and those of the request's flags that its command shows.
func (p *pipeline) metaLine(r *request, code string, shown *shownRecord, shows string) {
	p.out = append(p.out, code...)
	p.metaFlags(r, shown, shows)
	p.out = append(p.out, '\r', '\n')
}

// metaFlags shows flags in the order in which they were asked for.
func (p *pipeline) metaFlags(r *request, shown *shownRecord, shows string) {
	for word, rest := nextWord(r.flags); len(word) > 0; word, rest = nextWord(rest) {
		if strings.IndexByte(shows, word[0]) < 0 {
			continue
		}
		p.out = append(p.out, ' ')
		switch word[0] {
		case 'O':
			p.opaque(r, word)
		case 'k':
			p.metaKey(r)
		case 's':
			p.out = appendUint(append(p.out, 's'), uint64(shown.size))
		case 'c':
			p.out = appendUint(append(p.out, 'c'), shown.version)
		case 'f':
			p.out = appendUint(append(p.out, 'f'), uint64(shown.flags))
		case 't':
			p.ttl(shown)
		}
	}
}

func (p *pipeline) metaKey(r *request) {
	p.out = append(p.out, 'k')
	if !r.binary {
		p.out = append(p.out, r.key...)
		return
	}
	p.out = base64.StdEncoding.AppendEncode(p.out, r.key)
	p.out = append(p.out, " b"...)
}

func (p *pipeline) ttl(shown *shownRecord) {
	if shown.expireAt == 0 {
		p.out = append(p.out, "t-1"...)
		return
	}
	p.out = strconv.AppendInt(append(p.out, 't'), remaining(shown.expireAt, shown.asOf), 10)
}

// hasFlag looks for a flag among those of a meta command.
func hasFlag(flags []byte, flag byte) bool {
	for word, rest := nextWord(flags); len(word) > 0; word, rest = nextWord(rest) {
		if word[0] == flag {
			return true
		}
	}
	return false
}
