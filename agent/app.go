package agent

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"gslb/health/probe"
)

// App is where the application's own figure comes from: one of the three, or none.
type App struct {
	File string   // its first line
	Exec []string // a program's first line, without a shell
	URL  string   // the first line of an answer of 200
}

const appTimeout = 5 * time.Second

// read returns the figure, or a word (drain, maint, down) that the application says
// instead. Without an App both are empty.
func (a *App) read(ctx context.Context) (figure float64, word string, err error) {
	ctx, cancel := context.WithTimeout(ctx, appTimeout)
	defer cancel()
	var text string
	switch {
	case a.File != "":
		var data []byte
		data, err = os.ReadFile(a.File)
		text = string(data)
	case len(a.Exec) > 0:
		text, err = (&probe.Program{Argv: a.Exec, Timeout: appTimeout}).Run(ctx)
	case a.URL != "":
		text, err = get(ctx, a.URL)
	default:
		return 0, "", nil
	}
	if err != nil {
		return 0, "", err
	}
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	switch line = strings.ToLower(strings.TrimSpace(line)); line {
	case Drain, Maint, "down":
		return 0, line, nil
	}
	if figure, err = strconv.ParseFloat(line, 64); err != nil || figure != figure {
		return 0, "", fmt.Errorf("the application says %.40q: must be a number, drain, maint or down", line)
	}
	return figure, "", nil
}

func get(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1024))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %s", req.URL.Host, resp.Status)
	}
	return string(body), err
}
