//go:build !unix

package zones

import "os"

func open(path string) (*os.File, error) { return os.Open(path) }
