package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"fmt"
	"net/http"
	"path"
	"time"
)

// web holds the page: hand-written HTML, CSS and JavaScript, and nothing from elsewhere.
//
//go:embed web
var web embed.FS

// An asset is one embedded file, ready to serve.
type asset struct {
	name, contentType, etag string
	body                    []byte
}

// contentTypes is by extension, and not the machine's own table, which may say anything.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// loadAssets reads the embedded files by their URL path.
func loadAssets() map[string]asset {
	files, err := web.ReadDir("web")
	if err != nil {
		panic("console: embedded files: " + err.Error()) // the build put them there
	}
	assets := make(map[string]asset, len(files)+1)
	for _, f := range files {
		body, err := web.ReadFile("web/" + f.Name())
		if err != nil {
			panic("console: embedded files: " + err.Error())
		}
		sum := sha256.Sum256(body)
		assets["/"+f.Name()] = asset{
			name:        f.Name(),
			contentType: contentTypes[path.Ext(f.Name())],
			etag:        fmt.Sprintf(`"%x"`, sum[:8]),
			body:        body,
		}
	}
	assets["/"] = assets["/index.html"]
	return assets
}

// ServeHTTP serves the file. The browser asks each time whether it has changed
// (no-cache), so that a page never runs with the script of another version.
func (a asset) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", a.contentType)
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", a.etag)
	http.ServeContent(w, r, a.name, time.Time{}, bytes.NewReader(a.body))
}
