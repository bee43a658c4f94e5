package handover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

// variable is the environment variable that tells a child its end of the pair.
const variable = "GSLB_HANDOVER_FD"

// Child is a process that is to take this one's place.
type Child struct {
	conn  *net.UnixConn
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended
	err   error         // then: how
}

// Start starts it, with this process's streams and environment.
func Start(path string, args []string) (*Child, error) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	for _, fd := range pair {
		syscall.CloseOnExec(fd)
	}
	theirs := os.NewFile(uintptr(pair[1]), "handover")
	defer theirs.Close()
	conn, err := connOf(os.NewFile(uintptr(pair[0]), "handover"))
	if err != nil {
		return nil, err
	}
	c := &Child{conn: conn, ended: make(chan struct{}), cmd: exec.Command(path, args...)}
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.cmd.ExtraFiles = []*os.File{theirs} // descriptor 3
	c.cmd.Env = append(os.Environ(), variable+"=3")
	if err := c.cmd.Start(); err != nil {
		conn.Close()
		return nil, err
	}
	go func() { // ends with the child
		c.err = c.cmd.Wait()
		close(c.ended)
	}()
	return c, nil
}

func connOf(f *os.File) (*net.UnixConn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	conn, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, errors.New("not a unix socket")
	}
	return conn, nil
}

// PID is the child's.
func (c *Child) PID() int { return c.cmd.Process.Pid }

// Ready waits until the child can take over, or ctx ends. On an error the child has ended.
func (c *Child) Ready(ctx context.Context) error { return c.await(ctx, sayReady) }

// Give gives it copies of the sockets, and waits until it serves, or ctx ends. On
// an error the child has ended, and has nothing.
func (c *Child) Give(ctx context.Context, s *Sockets) error {
	if err := sendSockets(c.conn, s); err != nil {
		return c.fail(err)
	}
	return c.await(ctx, sayServing)
}

// Release leaves the child alone, which goes on when this process ends.
func (c *Child) Release() { c.conn.Close() }

func (c *Child) await(ctx context.Context, say string) error {
	stop := context.AfterFunc(ctx, func() { c.conn.SetReadDeadline(time.Now()) })
	defer stop()
	m, files, err := receive(c.conn)
	for _, f := range files {
		f.Close()
	}
	if err == nil && m.Say != say {
		err = fmt.Errorf("it said %q instead of %q", m.Say, say)
	}
	if err != nil {
		return c.fail(errors.Join(ctx.Err(), err))
	}
	return nil
}

// fail ends the child.
func (c *Child) fail(err error) error {
	c.conn.Close() // a child that waits hears of it, and ends
	select {
	case <-c.ended:
	case <-time.After(2 * time.Second):
		_ = c.cmd.Process.Kill()
		<-c.ended
	}
	if c.err != nil {
		err = c.err // its exit status says more than that it is gone
	}
	return fmt.Errorf("the new process: %w", err)
}

// Parent is the process that this one is to take the place of.
type Parent struct{ conn *net.UnixConn }

// FindParent returns it; nil if there is none. It is called once, early: children
// of this process do not hear of it.
func FindParent() (*Parent, error) {
	text, ok := os.LookupEnv(variable)
	if !ok {
		return nil, nil
	}
	os.Unsetenv(variable)
	fd, err := strconv.Atoi(text)
	if err != nil || fd < 3 {
		return nil, fmt.Errorf("%s=%q: must be a descriptor; it is for a process that takes over from another", variable, text)
	}
	syscall.CloseOnExec(fd)
	conn, err := connOf(os.NewFile(uintptr(fd), "handover"))
	if err != nil {
		return nil, fmt.Errorf("%s=%q: %w", variable, text, err)
	}
	return &Parent{conn}, nil
}

// Take says that this process can take over, and waits for the parent's sockets.
func (p *Parent) Take() (*Sockets, error) {
	if err := send(p.conn, message{Say: sayReady}, nil); err != nil {
		return nil, fmt.Errorf("the process to take over from: %w", err)
	}
	s, err := receiveSockets(p.conn)
	if err != nil {
		return nil, fmt.Errorf("the process to take over from: %w", err)
	}
	return s, nil
}

// Serving tells the parent that it can end.
func (p *Parent) Serving() error {
	defer p.conn.Close()
	if err := send(p.conn, message{Say: sayServing}, nil); err != nil {
		return fmt.Errorf("the process to take over from: %w", err)
	}
	return nil
}
