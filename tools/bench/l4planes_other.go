//go:build !linux

package main

import (
	"context"
	"errors"
	"io"
)

func comparePlanes(context.Context, *options, string, io.Writer) (string, map[string]string, error) {
	return "", nil, errors.New("network namespaces need Linux")
}
