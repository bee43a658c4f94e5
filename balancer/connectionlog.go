package balancer

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// The connection log has a share of the connections, each when it has ended. Who
// carries connections puts entries into a channel and never waits: one that finds
// it full is counted, not written.

// entry is one ended connection.
type entry struct {
	file string // "": the node's log
	most int64  // size of the file
	line LoggedConnection
}

// LoggedConnection is a line of the connection log, in JSON.
type LoggedConnection struct {
	At       time.Time `json:"at"` // when it ended
	Frontend string    `json:"frontend"`
	Client   string    `json:"client"`                // address and port
	Name     string    `json:"server_name,omitempty"` // of its ClientHello, where routes go by it
	Server   string    `json:"server,omitempty"`      // empty: none took it
	// Wait is until a server had accepted it, First from the client's first byte (or the
	// accept) to the server's first byte, Duration from accept to end; seconds.
	Wait     float64 `json:"wait,omitempty"`
	First    float64 `json:"first,omitempty"`
	Duration float64 `json:"duration"`
	Up       int64   `json:"bytes_up"`
	Down     int64   `json:"bytes_down"`
	// End is how it ended: client or server (who finished first), client reset, server reset, idle
	// timeout, close timeout, no first byte, too slow, cut, refused, no PROXY header, denied, not TLS,
	// no route, full.
	End string `json:"end"`
}

// entriesMost is how many entries may wait to be written.
const entriesMost = 4096

// log has the connection logged, if it is among the share that is.
func (f *frontend) log(c *connection, how ending, now instant) {
	cfg := f.config()
	if cfg.LogConnections == 0 || cfg.LogConnections < 1 && rand.Float64() >= cfg.LogConnections {
		return
	}
	e := entry{cfg.ConnectionLog, cfg.ConnectionLogSize, LoggedConnection{
		At: at(now).Round(0).UTC(), Frontend: f.name, Client: c.from.client.String(), Name: c.name,
		First: seconds(c.first.Load()), Duration: seconds(now - c.begun), Up: c.up.Load(), Down: c.down.Load(), End: how.String(),
	}}
	if c.to != nil {
		e.line.Server, e.line.Wait = c.to.address, seconds(c.served-c.begun)
	}
	select {
	case f.entries <- e:
	default:
		f.unlogged.Add(1)
	}
}

// seconds is a span of instants, to the microsecond.
func seconds(span instant) float64 { return math.Round(float64(span)/1e3) / 1e6 }

// writeLog writes entries until ctx ends, and what waits then. A file that cannot be
// written is told once a minute; what was to be in it is in the node's log meanwhile.
func writeLog(ctx context.Context, entries <-chan entry, log *slog.Logger) {
	files := map[string]*logFile{}
	defer func() {
		for _, f := range files {
			f.close()
		}
	}()
	write := func(e entry) {
		if e.file != "" {
			if files[e.file] == nil {
				files[e.file] = &logFile{path: e.file, log: log}
			}
			if files[e.file].write(e) {
				return
			}
		}
		l := e.line
		log.Info("balancer: connection", "frontend", l.Frontend, "client", l.Client, "server_name", l.Name, "server", l.Server, "wait", l.Wait,
			"first", l.First, "duration", l.Duration, "bytes_up", l.Up, "bytes_down", l.Down, "end", l.End)
	}
	for {
		select {
		case e := <-entries:
			write(e)
			continue
		case <-ctx.Done():
		}
		for {
			select {
			case e := <-entries:
				write(e)
			default:
				return
			}
		}
	}
}

// logFile is a file of the connection log.
type logFile struct {
	path   string
	log    *slog.Logger
	file   *os.File // nil: not open
	size   int64
	looked time.Time // when it was last seen to be the one at path
	warned time.Time
}

func (f *logFile) close() {
	if f.file != nil {
		f.file.Close()
		f.file = nil
	}
}

func (f *logFile) write(e entry) bool {
	line, err := json.Marshal(e.line)
	if err == nil {
		err = f.ready(int64(len(line)+1), e.most)
	}
	if err == nil {
		var n int
		n, err = f.file.Write(append(line, '\n'))
		f.size += int64(n)
	}
	if err == nil {
		return true
	}
	f.close()
	if time.Since(f.warned) > time.Minute {
		f.warned = time.Now()
		f.log.Warn("balancer: the connection log cannot be written; it is in this log meanwhile", "file", f.path, "error", err)
	}
	return false
}

// ready opens the file if it is not open, was moved away (as logrotate does), or
// would become larger than most.
func (f *logFile) ready(more, most int64) error {
	if f.file != nil && time.Since(f.looked) > time.Second {
		f.looked = time.Now()
		is, err1 := f.file.Stat()
		named, err2 := os.Stat(f.path)
		if err1 != nil || err2 != nil || !os.SameFile(is, named) {
			f.close()
		}
	}
	if f.file != nil && f.size+more > most {
		f.close()
		if err := os.Rename(f.path, f.path+".1"); err != nil {
			return err
		}
	}
	if f.file != nil {
		return nil
	}
	file, err := os.OpenFile(f.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	f.file, f.looked = file, time.Now()
	if info, err := file.Stat(); err == nil {
		f.size = info.Size()
	}
	return nil
}

func (c Config) validateLog(bad func(key, msg string)) {
	if !(c.LogConnections >= 0 && c.LogConnections <= 1) {
		bad("log_connections", fmt.Sprintf("%v: must be a share, 0 (none) to 1 (all)", c.LogConnections))
	}
	if c.ConnectionLog != "" && c.LogConnections == 0 {
		bad("connection_log", fmt.Sprintf("%q: needs log_connections, the share that is logged", c.ConnectionLog))
	}
	if c.ConnectionLog != "" && !filepath.IsAbs(c.ConnectionLog) {
		bad("connection_log", fmt.Sprintf("%q: must be a whole path, such as /var/log/gslb/connections.jsonl", c.ConnectionLog))
	}
	if c.ConnectionLogSize != 0 && c.ConnectionLogSize < 1000 {
		bad("connection_log_size", fmt.Sprintf("%d: must be 1000 bytes or more", c.ConnectionLogSize))
	}
}
