package main

import (
	"errors"
	"time"

	"github.com/urfave/cli/v3"

	"gslb/config"
)

// spanFlag is a flag with a span of time, days and weeks among its units, as in the
// configuration: "30m", "2d", "1w".
type spanFlag = cli.FlagBase[time.Duration, cli.NoConfig, spanValue]

type spanValue time.Duration

// Create is part of cli.ValueCreator.
func (spanValue) Create(v time.Duration, p *time.Duration, _ cli.NoConfig) cli.Value {
	*p = v
	return (*spanValue)(p)
}

// ToString is part of cli.ValueCreator.
func (spanValue) ToString(v time.Duration) string { return v.String() }

// Set is part of cli.Value.
func (s *spanValue) Set(text string) error {
	d, err := config.ParseDuration(text)
	if err != nil {
		return errors.New(`want a time with its unit, such as 30s, 5m, 2h or 2d`)
	}
	*s = spanValue(d)
	return nil
}

// Get is part of cli.Value.
func (s *spanValue) Get() any { return time.Duration(*s) }

// String is part of cli.Value.
func (s *spanValue) String() string { return time.Duration(*s).String() }
