package zones

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"gslb/parallel"
)

// ReadFile reads a zone from a master file; see Read.
func ReadFile(cfg Config) (*Zone, error) { return new(master).readFile(cfg) }

// Read reads a zone in master file format (RFC 1035, section 5), with $TTL,
// $ORIGIN, $INCLUDE (relative to the file it stands in) and $GENERATE. All
// faults that are found, up to 20, come as one error, each with file, line and
// column, or the line alone where it is the record as a whole that is at fault.
func Read(cfg Config, r io.Reader) (*Zone, error) { return new(master).readZone(cfg, r) }

// readAll reads many zones, as many at a time as there are processors. The
// zones and the errors are in the order of cfgs, those of others left out.
func readAll(cfgs []Config) (zones []*Zone, errs []error) {
	zones, errs = make([]*Zone, len(cfgs)), make([]error, len(cfgs))
	parallel.Workers(len(cfgs), func() func(int) {
		var m master // its buffers serve one zone after another
		return func(i int) { zones[i], errs[i] = m.readFile(cfgs[i]) }
	})
	return slices.DeleteFunc(zones, func(z *Zone) bool { return z == nil }), slices.DeleteFunc(errs, func(err error) bool { return err == nil })
}

func (m *master) readFile(cfg Config) (*Zone, error) {
	f, err := open(cfg.File)
	if err != nil {
		return nil, fmt.Errorf("zone %s: %w", cfg.Name, err)
	}
	defer f.Close()
	return m.readZone(cfg, &whole{File: f})
}

// whole reads a file up to the size that it had at first, and so does not ask
// for its end: a call less for each of many small files.
type whole struct {
	*os.File
	info os.FileInfo
	read int64
}

func (w *whole) Stat() (info os.FileInfo, err error) {
	w.info, err = w.File.Stat()
	return w.info, err
}

func (w *whole) Read(b []byte) (int, error) {
	if w.info != nil && w.info.Mode().IsRegular() {
		left := w.info.Size() - w.read
		if left <= 0 {
			return 0, io.EOF
		}
		b = b[:min(int64(len(b)), left)]
	}
	n, err := w.File.Read(b)
	w.read += int64(n)
	return n, err
}

func (m *master) readZone(cfg Config, r io.Reader) (*Zone, error) {
	b, err := newBuilder(cfg)
	if err != nil {
		return nil, fmt.Errorf("zone %s: %w", cfg.Name, err)
	}
	z := b.zone
	warnings, errs := m.read(z.Name, cfg.File, z.apex, r, b)
	z.Warnings = append(z.Warnings, warnings...)
	if len(errs) > 0 {
		b.release()
	} else {
		for _, e := range b.finish() {
			errs = append(errs, inFile(z, e))
		}
		sortErrors(errs)
		if len(errs) > maxFaults {
			errs = append(errs[:maxFaults], fmt.Errorf("zone %s: %s: and %d more", z.Name, cfg.File, len(errs)-maxFaults))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return z, nil
}

func sortErrors(errs []error) {
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
}
