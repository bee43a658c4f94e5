package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"gslb/geo"
)

// row is a line of the table, checked.
type row struct {
	line              int // 0: made up
	network           netip.Prefix
	continent         string
	country           string
	registeredCountry string
	subdivisions      [2]string
	city              string
	located           bool
	location          geo.Coordinates
	isp               string
	organization      string
	asn               uint32
	asOrg             string
}

// column reads and writes one field of a row.
type column struct {
	name string
	set  func(r *row, field string) error
	get  func(r *row) string
}

var columns = []column{
	{"network", setNetwork, func(r *row) string { return r.network.String() }},
	{"continent", setCode(geo.CheckContinent, func(r *row) *string { return &r.continent }), func(r *row) string { return r.continent }},
	{"country", setCode(geo.CheckCountry, func(r *row) *string { return &r.country }), func(r *row) string { return r.country }},
	{"registered_country", setCode(geo.CheckCountry, func(r *row) *string { return &r.registeredCountry }), func(r *row) string { return r.registeredCountry }},
	{"subdivision", setSubdivision(0), func(r *row) string { return r.subdivisions[0] }},
	{"subdivision2", setSubdivision(1), func(r *row) string { return r.subdivisions[1] }},
	{"city", setText(func(r *row) *string { return &r.city }), func(r *row) string { return r.city }},
	{"latitude", setDegrees(func(r *row) *float64 { return &r.location.Latitude }), func(r *row) string { return degrees(r, r.location.Latitude) }},
	{"longitude", setDegrees(func(r *row) *float64 { return &r.location.Longitude }), func(r *row) string { return degrees(r, r.location.Longitude) }},
	{"isp", setText(func(r *row) *string { return &r.isp }), func(r *row) string { return r.isp }},
	{"organization", setText(func(r *row) *string { return &r.organization }), func(r *row) string { return r.organization }},
	{"asn", setASN, func(r *row) string { return number(r.asn) }},
	{"as_org", setText(func(r *row) *string { return &r.asOrg }), func(r *row) string { return r.asOrg }},
}

func columnNames() []string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	return names
}

// maxFaults is how many lines are complained about at once.
const maxFaults = 20

// readTable reads a CSV table; its errors begin with "name:line: ".
func readTable(name string, text io.Reader) ([]row, error) {
	r := csv.NewReader(text)
	r.Comment = '#'
	r.TrimLeadingSpace = true
	r.FieldsPerRecord = -1 // counted here, for a clearer message
	header, err := r.Read()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: file is empty: must begin with a row that names the columns", name)
	}
	if err != nil {
		return nil, tableError(name, err)
	}
	cols, err := parseHeader(header)
	if err != nil {
		return nil, fmt.Errorf("%s:%d: %w", name, lineOf(r), err)
	}
	var rows []row
	var faults []error
	seen := map[netip.Prefix]int{}
	for len(faults) < maxFaults {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			faults = append(faults, tableError(name, err))
			break // quoting is off: the rest would be nonsense
		}
		row, err := parseRow(cols, fields)
		row.line = lineOf(r)
		if first, ok := seen[row.network]; ok && err == nil {
			err = fmt.Errorf("network %s is already on line %d", row.network, first)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s:%d: %w", name, row.line, err))
			continue
		}
		seen[row.network] = row.line
		rows = append(rows, row)
	}
	return rows, errors.Join(faults...)
}

func lineOf(r *csv.Reader) int {
	line, _ := r.FieldPos(0)
	return line
}

func tableError(name string, err error) error {
	if pe := (*csv.ParseError)(nil); errors.As(err, &pe) {
		return fmt.Errorf("%s:%d: column %d: %w", name, pe.Line, pe.Column, pe.Err)
	}
	return fmt.Errorf("%s: %w", name, err)
}

func parseHeader(header []string) ([]column, error) {
	cols := make([]column, len(header))
	var names []string
	for i, name := range header {
		name = strings.ToLower(strings.TrimSpace(strings.TrimPrefix(name, "\ufeff")))
		at := slices.Index(columnNames(), name)
		if at < 0 {
			return nil, fmt.Errorf("column %q: must be one of %s", name, strings.Join(columnNames(), ", "))
		}
		if slices.Contains(names, name) {
			return nil, fmt.Errorf("column %q stands there twice", name)
		}
		names = append(names, name)
		cols[i] = columns[at]
	}
	for _, need := range []string{"network", "latitude", "longitude"} {
		if !slices.Contains(names, need) && (need == "network" || slices.Contains(names, "latitude") || slices.Contains(names, "longitude")) {
			return nil, fmt.Errorf("column %q missing: the header has %s", need, strings.Join(names, ", "))
		}
	}
	return cols, nil
}

func parseRow(cols []column, fields []string) (row, error) {
	var r row
	if len(fields) != len(cols) {
		return r, fmt.Errorf("%d fields: the header has %d", len(fields), len(cols))
	}
	coordinates := 0
	for i, c := range cols {
		field := strings.TrimSpace(fields[i])
		if field == "" && c.name != "network" {
			continue
		}
		if err := c.set(&r, field); err != nil {
			return r, fmt.Errorf("%s %w", c.name, err)
		}
		if c.name == "latitude" || c.name == "longitude" {
			coordinates++
		}
	}
	switch coordinates {
	case 1:
		return r, errors.New("latitude and longitude: one of them is missing")
	case 2:
		r.located = true
		if err := geo.CheckLocation([]float64{r.location.Latitude, r.location.Longitude}); err != nil {
			return r, fmt.Errorf("latitude and longitude %w", err)
		}
	}
	return r, nil
}

func setNetwork(r *row, field string) error {
	if a, err := netip.ParseAddr(field); err == nil && a.Zone() == "" {
		r.network = netip.PrefixFrom(a, a.BitLen())
		return nil
	}
	p, err := netip.ParsePrefix(field)
	switch {
	case err != nil:
		return fmt.Errorf(`%q: must be a network such as "192.0.2.0/24"`, field)
	case p.Addr().Is4In6():
		return fmt.Errorf("%q: must be written as an IPv4 network", field)
	case p != p.Masked():
		return fmt.Errorf("%q: has bits set beyond its length; the network is %q", field, p.Masked())
	}
	r.network = p
	return nil
}

func setText(where func(*row) *string) func(*row, string) error {
	return func(r *row, field string) error {
		*where(r) = field
		return nil
	}
}

func setCode(check func(string) error, where func(*row) *string) func(*row, string) error {
	return func(r *row, field string) error {
		*where(r) = strings.ToUpper(field)
		return check(field)
	}
}

func setSubdivision(i int) func(*row, string) error {
	return func(r *row, field string) error {
		r.subdivisions[i] = strings.ToUpper(field[strings.LastIndexByte(field, '-')+1:])
		return geo.CheckSubdivision(field)
	}
}

func setDegrees(where func(*row) *float64) func(*row, string) error {
	return func(r *row, field string) error {
		v, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return fmt.Errorf("%q: must be a number of degrees", field)
		}
		*where(r) = v
		return nil
	}
}

func setASN(r *row, field string) error {
	digits := field
	if len(field) > 2 && strings.EqualFold(field[:2], "AS") {
		digits = field[2:]
	}
	v, err := strconv.ParseUint(digits, 10, 32)
	if err != nil {
		return fmt.Errorf("%q: must be a number up to 4294967295, such as 4766 or AS4766", field)
	}
	r.asn = uint32(v)
	return nil
}

func degrees(r *row, v float64) string {
	if !r.located {
		return ""
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

func number(asn uint32) string {
	if asn == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(asn), 10)
}

// writeTable writes rows in the form that readTable reads.
func writeTable(w io.Writer, rows []row) error {
	out := csv.NewWriter(w)
	if err := out.Write(columnNames()); err != nil {
		return err
	}
	fields := make([]string, len(columns))
	for i := range rows {
		for c := range columns {
			fields[c] = columns[c].get(&rows[i])
		}
		if err := out.Write(fields); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}
