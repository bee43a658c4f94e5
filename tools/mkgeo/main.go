// Mkgeo writes a MaxMind DB file in MaxMind's schema from a plain CSV table, for
// networks that no published database knows, for tests and for benchmarks.
//
//	mkgeo -type city|country|enterprise|isp|asn -o out.mmdb table.csv
//	mkgeo -type city|asn|… -random 500000 -seed 1 -o out.mmdb
//	mkgeo -random 500000 -seed 1 -o table.csv
//
// The table's header row names its columns, in any order:
//
//	network             192.0.2.0/24, 2001:db8::/32 or an address; required
//	continent           AF AN AS EU NA OC SA
//	country             ISO 3166-1, two letters
//	registered_country  likewise
//	subdivision         ISO 3166-2: 11 or KR-11; subdivision2 for one within it
//	city                the English name
//	latitude, longitude degrees
//	isp, organization   names
//	asn, as_org         number (4766 or AS4766) and name
//
// Empty fields are unknown. Each type takes the columns that its edition carries and
// leaves the others alone, so one table can serve several. Of nested networks the
// longest one wins, in whatever order they stand. Lines that begin with # are
// comments. With -epoch the output depends on nothing but the table and the flags.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gslb/durable"
)

//go:generate go run . -type city -epoch 1767225600 -o ../../cmd/gslb/demo/geo/demo-city.mmdb ../../cmd/gslb/demo/geo/demo.csv
//go:generate go run . -type isp -epoch 1767225600 -o ../../cmd/gslb/demo/geo/demo-isp.mmdb ../../cmd/gslb/demo/geo/demo.csv

func main() {
	err := run(os.Args[1:], os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		fmt.Fprintf(os.Stderr, "mkgeo: %v\n", err)
		os.Exit(1)
	}
}

type options struct {
	edition      string
	databaseType string
	out          string
	epoch        int64
	random       int
	seed         uint64
	table        string // empty with random
}

func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("mkgeo", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.edition, "type", "", "edition to write: "+strings.Join(editionNames(), ", "))
	flags.StringVar(&o.databaseType, "database-type", "", `type in the metadata (default "gslb-City" and so on)`)
	flags.StringVar(&o.out, "o", "", "file to write; with -random also one that ends in .csv")
	flags.Int64Var(&o.epoch, "epoch", 0, "build time in seconds since 1970 (default now)")
	flags.IntVar(&o.random, "random", 0, "make up about so many networks instead of reading a table")
	flags.Uint64Var(&o.seed, "seed", 1, "seed of -random")
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: mkgeo -type TYPE -o out.mmdb table.csv\n       mkgeo -type TYPE -random N -o out.mmdb")
		flags.PrintDefaults()
	}
	var tables []string
	for { // package flag stops at the first argument that is none; flags may follow it
		if err := flags.Parse(args); err != nil {
			return o, err
		}
		if flags.NArg() == 0 {
			break
		}
		tables = append(tables, flags.Arg(0))
		args = flags.Args()[1:]
	}
	switch {
	case o.out == "":
		return o, errors.New("-o missing: must name the file to write")
	case o.random < 0:
		return o, fmt.Errorf("-random %d: must be at least 1", o.random)
	case o.random > 0 && len(tables) > 0:
		return o, fmt.Errorf("both -random and the table %q: give one of them", tables[0])
	case o.random == 0 && len(tables) != 1:
		return o, fmt.Errorf("%d tables: give one CSV file, or -random N", len(tables))
	case o.epoch < 0:
		return o, fmt.Errorf("-epoch %d: must not be negative", o.epoch)
	}
	if len(tables) > 0 {
		o.table = tables[0]
	}
	return o, nil
}

func run(args []string, stderr io.Writer) error {
	o, err := parseOptions(args, stderr)
	if err != nil {
		return err
	}
	rows, name := []row(nil), fmt.Sprintf("mkgeo -random %d -seed %d", o.random, o.seed)
	if o.random > 0 {
		rows = randomRows(o.random, o.seed)
		if strings.HasSuffix(o.out, ".csv") {
			// Aside and then renamed: a server that watches the file never sees half of it.
			return durable.Write(o.out, 0o644, func(w io.Writer) error { return writeTable(w, rows) })
		}
	} else {
		name = filepath.Base(o.table)
		text, err := os.ReadFile(o.table)
		if err != nil {
			return err
		}
		if rows, err = readTable(o.table, bytes.NewReader(text)); err != nil {
			return err
		}
	}
	e, err := editionNamed(o.edition)
	if err != nil {
		return err
	}
	if o.epoch == 0 {
		o.epoch = time.Now().Unix()
	}
	if o.databaseType == "" {
		o.databaseType = e.databaseType
	}
	tree, err := e.tree(rows, o.databaseType, name, o.epoch)
	if err != nil {
		if o.table != "" {
			return fmt.Errorf("%s: %w", o.table, err)
		}
		return err
	}
	// Aside and then renamed: a server that watches the file never sees half of it.
	return durable.Write(o.out, 0o644, func(w io.Writer) error {
		_, err := tree.WriteTo(w)
		return err
	})
}
