package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/urfave/cli/v3"
)

// demoServerCommand is a web server for the demonstration's sites. It ends when
// its standard input does, so that none is left behind.
func demoServerCommand() *cli.Command {
	return &cli.Command{
		Name:   "demo-server",
		Hidden: true,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "listen", Required: true},
			&cli.StringFlag{Name: "name", Required: true},
		},
		Action: func(ctx context.Context, c *cli.Command) error {
			ctx, stop := whileStdin(ctx)
			defer stop()
			name := c.String("name")
			mux := http.NewServeMux()
			mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
			mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprintf(w, "server %s at your service\n", name)
			})
			srv := &http.Server{Addr: c.String("listen"), Handler: mux, ReadHeaderTimeout: 5 * time.Second}
			done := context.AfterFunc(ctx, func() { srv.Close() })
			defer done()
			if err := srv.ListenAndServe(); err != nil && !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		},
	}
}

// whileStdin ends its context when standard input ends: the parent process
// holds the other end, and however it dies, that end is closed.
func whileStdin(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return ctx, cancel
}
