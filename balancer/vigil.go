package balancer

import "time"

// limits are the times and the rate that a connection is held to, of a Config.
type limits struct {
	idle, close time.Duration
	first       time.Duration // from its server's accept to the client's first byte; 0: any
	rate        int64         // bytes a second at least, while there are any; 0: any
	rateTime    time.Duration // how long it may be slower
}

func limitsOf(c *Config) limits {
	return limits{idle: c.IdleTimeout, close: c.CloseTimeout, first: c.FirstByteTimeout, rate: int64(c.MinRate), rateTime: c.MinRateTime}
}

// strict tells whether they ask for more than not to be idle.
func (l limits) strict() bool { return l.first > 0 || l.rate > 0 }

// vigil ends connections that are idle, silent or too slow. Its engine looks
// from time to time, so bytes cost nothing for it. It counts what passes between
// looks as it was asked for: a process that was stopped finds nobody idle for that.
//
//	ends when                                                    as
//	no byte moved for the idle time-out                          idle timeout
//	half-closed, and no byte moved for the close time-out        close timeout
//	the client has said nothing for the first-byte time-out      no first byte
//	bytes moved, but fewer than the least rate, for its time     too slow
//
// A slow reader moves no bytes for as long as it takes to empty its socket's
// buffer, so what the ends acknowledge counts as moved, too. The zero vigil is
// of a connection that has just begun.
type vigil struct {
	moved       int64
	acked       uint64
	quiet, slow time.Duration
	silent      time.Duration
}

// every is how long to wait until the next look.
func (l limits) every(half bool) time.Duration {
	d := l.idle / 4
	if half {
		d = l.close / 4
	}
	if l.first > 0 {
		d = min(d, l.first/4)
	}
	if l.rate > 0 {
		d = min(d, l.rateTime/4)
	}
	return d
}

// look tells how c ends, endOpen if it does not. It is called each limits.every;
// half is whether one end has finished, acked how many bytes both have acknowledged.
func (v *vigil) look(c *connection, l limits, half bool, acked uint64) ending {
	every, limit, end := l.every(half), l.idle, endIdle
	if half {
		limit, end = l.close, endHalf
	}
	moved := c.up.Load() + c.down.Load()
	progress := max(moved-v.moved, int64(acked-v.acked))
	v.moved, v.acked = moved, acked
	if progress == 0 {
		v.quiet += every
	} else {
		v.quiet = 0
	}
	switch wanted := int64(float64(l.rate) * every.Seconds()); {
	case progress >= wanted:
		v.slow = 0
	case progress > 0:
		v.slow += every
	}
	if c.up.Load() == 0 {
		v.silent += every
	}
	switch {
	case v.quiet >= limit:
		return end
	case l.first > 0 && c.up.Load() == 0 && v.silent >= l.first:
		return endSilent
	case l.rate > 0 && v.slow >= l.rateTime:
		return endSlow
	}
	return endOpen
}

// turned is that the connection is half-closed now: from here on its close time-out counts.
func (v *vigil) turned() { v.quiet = 0 }
