// Package handover lets a process take the place of another one, sockets and
// all: whoever connects or asks meanwhile waits in the sockets' queues and is
// served by the one or the other.
//
// The parent starts the child with one end of a pair of unix sockets, over which
// they agree:
//
//	child   ready   its configuration can be served
//	parent  sockets what it listens on (SCM_RIGHTS, unix(7)), when it has stopped all that only one of them may do
//	child   serving it serves; the parent lets its connections finish and ends
//
// A child that ends before it serves has taken nothing: the parent's sockets are
// still open. The package knows no sockets but by name.
package handover

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Sockets are open sockets by what they are for. The zero Sockets has none. It
// may be used by many goroutines at once.
type Sockets struct {
	mu     sync.Mutex
	byName map[string][]*os.File
}

// Add puts sockets in, which are the receiver's from now on.
func (s *Sockets) Add(name string, files ...*os.File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byName == nil {
		s.byName = map[string][]*os.File{}
	}
	s.byName[name] = append(s.byName[name], files...)
}

// Take takes the sockets of that name out: they are the caller's, to be closed.
// None of a nil Sockets.
func (s *Sockets) Take(name string) []*os.File {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	files := s.byName[name]
	delete(s.byName, name)
	return files
}

// Names returns the names of all that are left, sorted.
func (s *Sockets) Names() []string {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.byName))
}

// Close closes what is left.
func (s *Sockets) Close() {
	for _, name := range s.Names() {
		for _, f := range s.Take(name) {
			f.Close()
		}
	}
}

// Duplicate returns another descriptor for what f is open for; it is the caller's, and f
// stays open. Unlike [os.File.Fd] it leaves alone whether calls block, which is the
// socket's, not the descriptor's: whoever else has it would be made to block.
func Duplicate(f *os.File) (fd int, err error) {
	e := onDescriptor(f, func(n uintptr) { fd, err = unix.FcntlInt(n, unix.F_DUPFD_CLOEXEC, 0) })
	if e != nil {
		return -1, e
	}
	return fd, os.NewSyscallError("fcntl", err)
}

// onDescriptor calls do with f's descriptor, likewise.
func onDescriptor(f *os.File, do func(fd uintptr)) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(do)
}

// The messages.
const (
	sayReady   = "ready"
	saySockets = "sockets"
	saySockEnd = "end of sockets"
	sayServing = "serving"
)

// message is one of them, as JSON in a packet of its own.
type message struct {
	Say   string   `json:"say"`
	Names []string `json:"names,omitempty"` // of the sockets that come along
}

const (
	atOnce      = 64 // sockets in one packet; the system takes 253 (SCM_MAX_FD)
	packetOctet = 64 << 10
)

func send(c *net.UnixConn, m message, files []*os.File) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			if err := onDescriptor(f, func(n uintptr) { fds[i] = int(n) }); err != nil {
				return err
			}
		}
		rights = syscall.UnixRights(fds...)
	}
	_, _, err = c.WriteMsgUnix(text, rights, nil)
	return err
}

// errGone is what receive returns when the other end has ended.
var errGone = errors.New("it has ended")

func receive(c *net.UnixConn) (m message, files []*os.File, err error) {
	text, rights := make([]byte, packetOctet), make([]byte, syscall.CmsgSpace(4*atOnce))
	n, r, flags, _, err := c.ReadMsgUnix(text, rights)
	if err != nil {
		return m, nil, err
	}
	if n == 0 {
		return m, nil, errGone
	}
	all, err := syscall.ParseSocketControlMessage(rights[:r])
	if err != nil {
		return m, nil, err
	}
	for _, one := range all {
		fds, err := syscall.ParseUnixRights(&one)
		if err != nil {
			return m, files, err
		}
		for _, fd := range fds {
			syscall.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "handover"))
		}
	}
	if flags&(syscall.MSG_TRUNC|syscall.MSG_CTRUNC) != 0 {
		return m, files, errors.New("a message was cut off (are there descriptors left?)")
	}
	if err := json.Unmarshal(text[:n], &m); err != nil {
		return m, files, err
	}
	if len(m.Names) != len(files) {
		return m, files, fmt.Errorf("%d sockets came for %d names", len(files), len(m.Names))
	}
	return m, files, nil
}

// sendSockets sends copies of all.
func sendSockets(c *net.UnixConn, s *Sockets) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	var files []*os.File
	flush := func() error {
		err := send(c, message{saySockets, names}, files)
		names, files = nil, nil
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(s.byName)) {
		for _, f := range s.byName[name] {
			names, files = append(names, name), append(files, f)
			if len(files) == atOnce {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	return send(c, message{Say: saySockEnd}, nil)
}

func receiveSockets(c *net.UnixConn) (*Sockets, error) {
	s := new(Sockets)
	for {
		m, files, err := receive(c)
		for i, f := range files {
			if i < len(m.Names) {
				s.Add(m.Names[i], f)
			} else {
				f.Close()
			}
		}
		switch {
		case err != nil:
		case m.Say == saySockEnd:
			return s, nil
		case m.Say != saySockets:
			err = fmt.Errorf("%q instead of sockets", m.Say)
		}
		if err != nil {
			s.Close()
			return nil, err
		}
	}
}
