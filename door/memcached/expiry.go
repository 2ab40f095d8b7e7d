package memcached

import "github.com/gamutdb/gamut/kv"

// relativeMax is the longest exptime that counts from now, in seconds; a larger one is Unix time.
const relativeMax = 60 * 60 * 24 * 30

// secondsMax keeps milliseconds within an int64.
const secondsMax = 1 << 52

// setExpiry gives an operation the expiry that an exptime means.
func setExpiry(o *kv.Op, exptime int64) {
	switch {
	case exptime == 0:
		o.Expiry = kv.ExpireNever
	case exptime < 0:
		// Immediately: any time that has passed.
		o.Expiry, o.Expire = kv.ExpireAt, 1
	case exptime <= relativeMax:
		o.Expiry, o.Expire = kv.ExpireIn, exptime*1000
	default:
		o.Expiry, o.Expire = kv.ExpireAt, min(exptime, secondsMax)*1000
	}
}

// remaining is the time that a record has left, in whole seconds, as of its answer. It is rounded up, so that a TTL that
// was just set reads back as it was.
func remaining(expireAt, asOf int64) int64 { return max(0, (expireAt-asOf+999)/1000) }
