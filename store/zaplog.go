package store

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// noise are etcd's warnings that tell an operator of this program nothing.
var noise = map[string]bool{
	"simple token is not cryptographically signed":                                         true,
	"Running http and grpc server on single port. This is not recommended for production.": true,
	"failed to set up proposal id generator":                                               true,
}

// serverError is a warning that etcd's server has ended, as when the cluster has taken the member out.
const serverError = "server error"

// expected tells whether an error belongs to the life of a member: its listeners end so when this program ends them, and a new
// member looks for the version of its storage before its first entry is in there, and again some seconds later.
func expected(text string) bool {
	for _, part := range []string{net.ErrClosed.Error(), http.ErrServerClosed.Error(), "mux: server closed", "missing term information"} {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

// zapCore passes etcd's warnings and errors on to slog. It also catches what
// etcd calls fatal: it remembers the message, and instead of ending the
// process only the goroutine that logged it ends. DNS must outlive etcd.
type zapCore struct {
	log    *slog.Logger
	fields []zapcore.Field

	fatal *fatalNote
}

// fatalNote keeps the first fatal message of a member.
type fatalNote struct {
	mu  sync.Mutex
	msg string
}

func (f *fatalNote) set(msg string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.msg == "" {
		f.msg = msg
	}
}

func (f *fatalNote) get() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.msg
}

// newZap returns a zap logger for etcd's use, and where fatal messages land.
func newZap(log *slog.Logger) (*zap.Logger, *fatalNote) {
	note := &fatalNote{}
	core := &zapCore{log: log, fatal: note}
	return zap.New(core, zap.WithFatalHook(zapcore.WriteThenGoexit), zap.WithPanicHook(zapcore.WriteThenGoexit)), note
}

func (c *zapCore) Enabled(l zapcore.Level) bool { return l >= zapcore.WarnLevel }
func (c *zapCore) Sync() error                  { return nil }

func (c *zapCore) With(f []zapcore.Field) zapcore.Core {
	d := *c
	d.fields = append(append([]zapcore.Field(nil), c.fields...), f...)
	return &d
}

func (c *zapCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) && !noise[e.Message] {
		return ce.AddCore(e, c)
	}
	return ce
}

func (c *zapCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range c.fields {
		f.AddTo(enc)
	}
	for _, f := range fields {
		f.AddTo(enc)
	}
	if text, _ := enc.Fields["error"].(string); expected(text) {
		return nil
	}
	if e.Level >= zapcore.DPanicLevel || e.Message == serverError {
		msg := e.Message
		if err, ok := enc.Fields["error"].(string); ok {
			msg += ": " + err
		}
		c.fatal.set(msg)
	}
	level := slog.LevelWarn
	if e.Level >= zapcore.ErrorLevel {
		level = slog.LevelError
	}
	attrs := make([]slog.Attr, 0, len(enc.Fields))
	for k, v := range enc.Fields {
		attrs = append(attrs, slog.Any(k, v))
	}
	c.log.LogAttrs(context.Background(), level, "etcd: "+e.Message, attrs...)
	return nil
}
