package folders

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// what is asked for: each way in which a file can come, go, or be written. A write
// that is not closed yet counts too, so that a change settles when its writer is done.
const what = unix.IN_MODIFY | unix.IN_CLOSE_WRITE | unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR

// watcher is inotify(7).
type watcher struct {
	file   *os.File
	fd     int
	told   chan event
	closed chan struct{}
	err    *error
	byName map[string]watched
	names  map[int32][]string // of each folder watched: it may have several
}

// watched is a folder that is watched: which one, since another may take its place.
type watched struct {
	wd       int32
	dev, ino uint64
}

// event is one of the system's.
type event struct {
	wd   int32
	mask uint32
	name string
}

func open() (watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return watcher{}, os.NewSyscallError("inotify_init1", err)
	}
	w := watcher{file: os.NewFile(uintptr(fd), "inotify"), fd: fd, told: make(chan event, 256), closed: make(chan struct{}), err: new(error), byName: make(map[string]watched), names: make(map[int32][]string)}
	go w.read()
	return w, nil
}

// Close ends the watching.
func (w *watcher) Close() error {
	close(w.closed)
	return w.file.Close()
}

func (w *watcher) events() <-chan event { return w.told }
func (w *watcher) failure() error       { return *w.err }

// read hands on events until the watcher is closed.
func (w *watcher) read() {
	defer close(w.told)
	buf := make([]byte, 64<<10)
	for {
		n, err := w.file.Read(buf)
		if err != nil {
			*w.err = err
			return
		}
		for b := buf[:n]; len(b) >= unix.SizeofInotifyEvent; {
			head := (*unix.InotifyEvent)(unsafe.Pointer(&b[0]))
			end := unix.SizeofInotifyEvent + int(head.Len)
			name := b[unix.SizeofInotifyEvent:end]
			if i := bytes.IndexByte(name, 0); i >= 0 {
				name = name[:i]
			}
			select {
			case w.told <- event{head.Wd, head.Mask, string(name)}:
			case <-w.closed:
				*w.err = os.ErrClosed
				return
			}
			b = b[end:]
		}
	}
}

// take adds an event to a change.
func (w *watcher) take(e event, p *pending) {
	if e.mask&unix.IN_Q_OVERFLOW != 0 {
		p.all = true
	}
	for _, dir := range slices.Clone(w.names[e.wd]) { // none: it is not watched any more
		switch {
		case e.mask&(unix.IN_IGNORED|unix.IN_UNMOUNT|unix.IN_DELETE_SELF|unix.IN_MOVE_SELF) != 0:
			w.forget(dir)
			p.all = true
		case e.mask&unix.IN_ISDIR != 0: // one with files of interest is watched itself
		case isLink(filepath.Join(dir, e.name)):
			p.all = true // files may be found through it
		default:
			p.paths[filepath.Join(dir, e.name)] = true
		}
	}
}

func isLink(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

func (w *watcher) forget(dir string) {
	was, ok := w.byName[dir]
	if !ok {
		return
	}
	delete(w.byName, dir)
	w.names[was.wd] = slices.DeleteFunc(w.names[was.wd], func(name string) bool { return name == dir })
	if len(w.names[was.wd]) == 0 {
		delete(w.names, was.wd)
		_, _ = unix.InotifyRmWatch(w.fd, uint32(was.wd)) // it may be gone already
	}
}

// Set says which folders to watch. fresh tells whether some of them were not watched
// before, or are others than before under the same name: their files must be looked
// at. Folders that cannot be watched are in the error; the others are.
func (w *watcher) Set(dirs []string) (fresh bool, err error) {
	want := make(map[string]bool, len(dirs))
	var errs []error
	for _, dir := range dirs {
		want[dir] = true
		again, err := w.add(dir)
		fresh = fresh || again
		errs = append(errs, err)
	}
	for dir := range w.byName {
		if !want[dir] {
			w.forget(dir)
		}
	}
	return fresh, errors.Join(errs...)
}

func (w *watcher) add(dir string) (fresh bool, err error) {
	was, known := w.byName[dir]
	var s unix.Stat_t
	if err := unix.Stat(dir, &s); err != nil {
		w.forget(dir)
		return false, fmt.Errorf("%s: cannot be watched: %w", dir, err)
	}
	if known && was.dev == s.Dev && was.ino == s.Ino {
		return false, nil
	}
	w.forget(dir)
	wd, err := unix.InotifyAddWatch(w.fd, dir, what)
	switch {
	case errors.Is(err, unix.ENOSPC):
		return false, fmt.Errorf("%s: cannot be watched: too many folders are: raise fs.inotify.max_user_watches", dir)
	case err != nil:
		return false, fmt.Errorf("%s: cannot be watched: %w", dir, err)
	}
	w.byName[dir] = watched{int32(wd), s.Dev, s.Ino}
	w.names[int32(wd)] = append(w.names[int32(wd)], dir)
	return true, nil
}
