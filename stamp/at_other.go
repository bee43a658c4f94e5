//go:build !linux

package stamp

import "os"

// At is the stamp of the file at a path as it is now.
func At(path string) (Stamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Stamp{}, err
	}
	return Of(info), nil
}
