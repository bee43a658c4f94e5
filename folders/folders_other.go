//go:build !linux

package folders

// watcher is none.
type watcher struct{}

type event struct{}

func open() (watcher, error) { return watcher{}, ErrUnsupported }

// Close ends the watching.
func (w *watcher) Close() error { return nil }

// Set says which folders to watch.
func (w *watcher) Set([]string) (fresh bool, err error) { return false, ErrUnsupported }

func (w *watcher) events() <-chan event { return nil }
func (w *watcher) failure() error       { return ErrUnsupported }
func (w *watcher) take(event, *pending) {}
