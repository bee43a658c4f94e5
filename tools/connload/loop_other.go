//go:build !linux

package main

import (
	"errors"
	"io"
)

func load(options, io.Reader, io.Writer) (*report, error) {
	return nil, errors.New("runs on Linux only: it needs epoll")
}
