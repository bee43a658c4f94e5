//go:build !unix

package upkeep

import "os"

// lock makes the folder. There is no lock here: one process at a time may change keys.
func lock(folder string) (unlock func(), err error) {
	return func() {}, os.MkdirAll(folder, 0o700)
}
