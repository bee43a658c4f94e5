//go:build !linux

package main

import (
	"context"
	"io"
)

const blastCommand = "blast"

func blast([]string, io.Writer) error { return errLinuxOnly }

func benchXDP(context.Context, *options, string, io.Writer) (string, map[string]string, error) {
	return "", nil, errLinuxOnly
}
