package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// edited is what it took until a server served the change of one zone.
type edited struct{ cpu, wall float64 } // seconds

// edit changes the address of a name in one of the zones, the middle one of many,
// has gslb reload, and waits until it is served. It changes it back the same way,
// so that the next server finds the files as they were.
func (s *server) edit(ctx context.Context, d *dataset, within time.Duration) (took edited, err error) {
	file, name := d.static, staticName(d.names/2)
	was := "A " + staticAddress(d.names/2).String()
	if n := len(d.many); n > 0 {
		file, name, was = d.many[n/2].file, "www."+manyZone(n/2), "A 192.0.2.80"
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return took, err
	}
	const now = "203.0.113.99"
	if took, err = s.change(ctx, file, bytes.Replace(text, []byte(was+"\n"), []byte("A "+now+"\n"), 1), name, now, within); err != nil {
		return took, err
	}
	_, err = s.change(ctx, file, text, name, was[2:], within)
	return took, err
}

// change replaces a file and tells what it took until the name had the address.
func (s *server) change(ctx context.Context, file string, text []byte, name, address string, within time.Duration) (took edited, err error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	aside := file + ".new~"
	if err := errors.Join(os.WriteFile(aside, text, 0o644), os.Rename(aside, file)); err != nil {
		return took, err
	}
	before, err := s.cpuTime()
	if err != nil {
		return took, err
	}
	began := time.Now()
	if err := s.signal(syscall.SIGHUP); err != nil {
		return took, err
	}
	client := dns.Client{Timeout: time.Second}
	for {
		m, _, err := client.ExchangeContext(ctx, new(dns.Msg).SetQuestion(name, dns.TypeA), s.address)
		if err == nil && len(m.Answer) == 1 {
			if a, ok := m.Answer[0].(*dns.A); ok && a.A.String() == address {
				break
			}
		}
		select {
		case <-ctx.Done():
			return took, fmt.Errorf("the change of %s was not served: %w: %s", name, ctx.Err(), s.lastWords())
		case <-time.After(5 * time.Millisecond):
		}
	}
	wall := time.Since(began)
	after, err := s.cpuTime()
	return edited{cpu: (after - before).Seconds(), wall: wall.Seconds()}, err
}
