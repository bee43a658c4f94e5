package main

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/miekg/dns"

	"gslb/dnsserver"
	"gslb/handover"
)

// How long a new process may take: to check all that it is to serve, and, from when it
// has the sockets, until it serves.
const (
	takeoverReady = 10 * time.Minute
	takeoverServe = 15 * time.Minute // a million zones are some minutes
)

// self is what this process was started as: the file that lies there when a
// new one is to take over.
type self struct {
	path string
	args []string
}

// thisProcess is asked early, before anybody changes the working directory.
func thisProcess() self {
	path, err := exec.LookPath(os.Args[0])
	if err != nil {
		path = os.Args[0]
	}
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	return self{path, os.Args[1:]}
}

// successor starts the process that is to take this one's place, and waits until
// it says that it can. Until then nothing has changed here. What is to be served
// is checked before, by the program that lies there now: a zone with a fault would be
// found when this process has given up what only one may have.
func (n *node) successor(ctx context.Context) (*handover.Child, error) {
	ctx, cancel := context.WithTimeout(ctx, takeoverReady)
	defer cancel()
	if out, err := exec.CommandContext(ctx, n.self.path, "check", "-config", n.path).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s check: %w: %s", n.self.path, err, strings.Join(strings.Fields(string(out)), " "))
	}
	child, err := handover.Start(n.self.path, n.self.args)
	if err != nil {
		return nil, err
	}
	if err := child.Ready(ctx); err != nil {
		return nil, err
	}
	return child, nil
}

// sockets are copies of all that this node listens on for clients.
func (n *node) sockets() (*handover.Sockets, error) {
	all := new(handover.Sockets)
	var errs []error
	if n.dns != nil {
		errs = append(errs, n.dns.Sockets(all))
	}
	if n.balancer != nil {
		errs = append(errs, n.balancer.Sockets(all))
	}
	return all, errors.Join(errs...)
}

// giveWay hands the sockets to the child and waits until it serves.
func (n *node) giveWay(ctx context.Context, child *handover.Child) error {
	ctx, cancel := context.WithTimeout(ctx, takeoverServe)
	defer cancel()
	all, err := n.sockets()
	if err != nil {
		n.log.Warn("not every socket can be handed over", "error", err)
	}
	defer all.Close()
	return child.Give(ctx, all)
}

// resume makes a node that goes on where this one was when its successor has
// failed. It tries until it succeeds: meanwhile the old one answers, with what it knew last.
func (n *node) resume(ctx context.Context) *node {
	for ctx.Err() == nil {
		all, err := n.sockets()
		if err != nil {
			n.log.Warn("not every socket can be kept", "error", err)
		}
		origin := *n.origin
		origin.BGP = n.inForce().cfg.BGP
		next, err := newNode(ctx, n.path, &origin, n.log, all)
		all.Close()
		if err == nil {
			next.self = n.self
			return next
		}
		n.log.Error("cannot go on yet after a failed takeover; what is served is as it was", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return nil
}

// tellManager tells systemd, where it started this (sd_notify(3)).
func (n *node) tellManager(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		n.log.Warn("the service manager cannot be told", "state", state, "error", err)
	}
}

// leftOver says which sockets of the process before have no use any more.
func (n *node) leftOver(sockets *handover.Sockets) {
	for _, name := range sockets.Names() {
		n.log.Info("no longer listening", "socket", name)
	}
	sockets.Close()
}

// updates stands before what changes zones by DNS messages, and stops it when another
// process takes over the journals: SERVFAIL, so that clients try again.
type updates struct {
	dnsserver.Other
	mu     sync.RWMutex // held by each UPDATE
	paused bool         // guarded by mu
}

// pause returns when no UPDATE is in progress, and there will be none.
func (u *updates) pause() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.paused = true
}

// Respond is part of dnsserver.Other.
func (u *updates) Respond(ctx context.Context, msg []byte, from netip.AddrPort, stream bool, tls *tls.ConnectionState, plain func(query []byte) []byte, send func(msg []byte) error) {
	switch int(msg[2] >> 3 & 0xf) {
	case dns.OpcodeUpdate:
		u.mu.RLock()
		defer u.mu.RUnlock()
		if u.paused {
			_ = send(failure(msg)) // a client that is gone hears nothing
			return
		}
	case dns.OpcodeNotify:
		u.mu.RLock()
		paused := u.paused
		u.mu.RUnlock()
		if paused {
			return // the primary says it again
		}
	}
	u.Other.Respond(ctx, msg, from, stream, tls, plain, send)
}

// failure is the header of a SERVFAIL to msg.
func failure(msg []byte) []byte {
	reply := make([]byte, 12)
	copy(reply, msg[:2])
	reply[2] = msg[2]&0x78 | 0x80 // opcode, and QR
	binary.BigEndian.PutUint16(reply[2:], binary.BigEndian.Uint16(reply[2:])|uint16(dns.RcodeServerFailure))
	return reply
}

// noSuccessor says that a new process has not taken over.
func (n *node) noSuccessor(err error) {
	n.fault("takeover", fmt.Sprintf("a new process was to take over and did not; this one goes on: %v", err))
	n.log.Error("a new process was to take over and did not; this one goes on", "error", err)
}
