package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// decode reads the one JSON value that a request's body is to be. A field that v does
// not have is an error, since it was meant to do something.
func decode(r *http.Request, v any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return bodyError(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("%w: more than one JSON value in the body", ErrInvalid)
	}
	return nil
}

// bodyError says what is wrong with a body, without Go's words for it.
func bodyError(err error) error {
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return refuse(http.StatusRequestEntityTooLarge, "body is longer than %d bytes", tooLarge.Limit)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%w: body is empty: must be a JSON object", ErrInvalid)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: body ends within a JSON value", ErrInvalid)
	case errors.As(err, &syntax):
		return fmt.Errorf("%w: body at byte %d: %v", ErrInvalid, syntax.Offset, err)
	case errors.As(err, &typ):
		return fmt.Errorf("%w: %s is a JSON %s: must be a %v", ErrInvalid, typ.Field, typ.Value, typ.Type)
	}
	return fmt.Errorf("%w: %s", ErrInvalid, strings.TrimPrefix(err.Error(), "json: "))
}
