package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"
)

// Config is what an agent does. All but State may be zero.
type Config struct {
	Proc     string        // default /proc
	Interval time.Duration // between readings; default 1s
	Rules    Rules
	App      App
	State    string // the file of what an operator says
}

// Agent reads and answers. Its methods may be called by many goroutines at once.
type Agent struct {
	cfg    Config
	log    *slog.Logger
	reader reader

	mu      sync.Mutex
	seq     uint64    // guarded by mu; of the last reading that succeeded
	read    time.Time // guarded by mu; when that was
	figures Figures   // guarded by mu
	word    string    // guarded by mu; what the application says instead of a figure
	failed  string    // guarded by mu; why the application's figure is not known
}

// New makes an Agent that has not read anything.
func New(cfg Config, log *slog.Logger) *Agent {
	if cfg.Proc == "" {
		cfg.Proc = "/proc"
	}
	if cfg.Interval == 0 {
		cfg.Interval = time.Second
	}
	return &Agent{cfg: cfg, log: log, reader: reader{proc: cfg.Proc}}
}

const (
	answerTimeout = 3 * time.Second
	answersMost   = 64 // connections at once
)

// Run reads figures and answers on ln until ctx ends; then it returns nil. It
// closes ln. Another error means that the figures cannot be read at all, or that ln failed.
func (a *Agent) Run(ctx context.Context, ln net.Listener) error {
	if err := a.look(ctx); err != nil {
		ln.Close()
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { a.watch(ctx) })
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	places := make(chan struct{}, answersMost)
	var failed error
	for {
		conn, err := ln.Accept()
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, net.ErrClosed) {
				if temporary(ctx, err) {
					continue
				}
				failed = err
			}
			break
		}
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			a.answer(conn)
		})
	}
	cancel()
	wg.Wait()
	return failed
}

// temporary waits a moment after a failed accept, such as for want of descriptors.
func temporary(ctx context.Context, err error) bool {
	var op *net.OpError
	if !errors.As(err, &op) {
		return false
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(100 * time.Millisecond):
		return true
	}
}

func (a *Agent) watch(ctx context.Context) {
	ticker := time.NewTicker(a.cfg.Interval)
	defer ticker.Stop()
	broken := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := a.look(ctx); err != nil && !broken {
			a.log.Warn("the figures cannot be read; the last ones get old", "error", err)
			broken = true
		} else if err == nil {
			broken = false
		}
	}
}

// look reads all figures once. A failure leaves the number where it was.
func (a *Agent) look(ctx context.Context) error {
	var f Figures
	if err := a.reader.read(&f); err != nil {
		return err
	}
	app, word, err := a.cfg.App.read(ctx)
	f.App, f.HasApp = app, a.cfg.App.File != "" || a.cfg.App.URL != "" || len(a.cfg.App.Exec) > 0
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seq++
	a.read, a.figures, a.word, a.failed = time.Now(), f, word, ""
	if err != nil {
		a.failed = err.Error()
	}
	return nil
}

// answer sends the line and waits for the other end to close, so that nothing it may
// have sent makes a reset of the end.
func (a *Agent) answer(conn net.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(answerTimeout))
	if _, err := conn.Write([]byte(a.Line() + "\n")); err != nil {
		return
	}
	if c, ok := conn.(*net.TCPConn); ok {
		c.CloseWrite()
		c.Read(make([]byte, 256))
	}
}

// Line is the present answer. Of what an operator, the application and the figures say, the
// first that takes the server out counts.
func (a *Agent) Line() string {
	state, why, err := ReadState(a.cfg.State)
	a.mu.Lock()
	defer a.mu.Unlock()
	f := &a.figures
	facts := fmt.Sprintf("seq=%d t=%d.%03d cpu=%.2f memory=%.2f queue=%.2f connections=%.0f",
		a.seq, a.read.Unix(), a.read.UnixMilli()%1000, f.CPU, f.Memory, f.Queue, f.Connections)
	if f.HasApp && a.word == "" && a.failed == "" {
		facts += fmt.Sprintf(" app=%g", f.App)
	}
	if err != nil {
		facts += " state unreadable"
	}
	note := func(words, text string) string {
		return words + " # " + strings.TrimSpace(strings.Map(printable, text)+" "+facts)
	}
	switch {
	case state != Ready:
		return note(state, why)
	case a.word != "":
		return note(a.word, "the application says so")
	case a.failed != "":
		return note("down", a.failed)
	}
	return note(fmt.Sprintf("up ready %.0f%%", max(1, 100*a.cfg.Rules.share(f))), "")
}

func printable(r rune) rune {
	if r < ' ' || r == '#' || r == 0x7f {
		return ' '
	}
	return r
}
