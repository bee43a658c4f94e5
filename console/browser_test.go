package console

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gslb/test/bed"
)

// patience bounds each wait for the browser, for machines that are busy.
const patience = 2 * time.Minute

// A browser is one headless Chromium with one page, spoken to in the DevTools
// protocol over pipes, so that it needs no port.
type browser struct {
	t       *testing.T
	in      *os.File
	session string

	mu      sync.Mutex
	next    int
	waiting map[int]chan reply
	errors  []string // what the page's console and its policy complained of
}

type reply struct {
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// chromium finds a browser. Without one the test is skipped, but in CI (GSLB_CI=1) it fails.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			return p
		}
	}
	bed.Missing(t, "no chromium on this machine: the page isn't tried in a browser")
	return ""
}

// openBrowser starts a browser that ends with the test, with all its helpers.
func openBrowser(t *testing.T) *browser {
	t.Helper()
	bin := chromium(t)
	theirIn, ourOut := pipe(t)
	ourIn, theirOut := pipe(t)
	cmd := exec.CommandContext(t.Context(), bin,
		"--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars",
		"--user-data-dir="+t.TempDir(), "--remote-debugging-pipe", "about:blank")
	cmd.ExtraFiles = []*os.File{theirIn, theirOut}        // 3 and 4, as the flag has it
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a group of its own, to end it whole
	kill := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel = kill
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = theirIn.Close(), theirOut.Close()
	b := &browser{t: t, in: ourOut, waiting: map[int]chan reply{}}
	done := make(chan struct{})
	go func() { defer close(done); b.read(ourIn) }()
	t.Cleanup(func() {
		_ = kill()
		_ = cmd.Wait() // says that it was killed
		<-done
		_, _ = ourIn.Close(), ourOut.Close()
	})

	var target struct{ TargetID, SessionID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &target)
	b.session = target.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log"} {
		b.call(domain+".enable", nil, nil)
	}
	return b
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	return r, w
}

// read takes in what the browser says until it ends.
func (b *browser) read(from *os.File) {
	r := bufio.NewReader(from)
	for {
		msg, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m struct {
			ID     int             `json:"id"`
			Method string          `json:"method"`
			Params json.RawMessage `json:"params"`
			reply
		}
		if json.Unmarshal(msg[:len(msg)-1], &m) != nil {
			continue
		}
		b.mu.Lock()
		if ch := b.waiting[m.ID]; m.ID != 0 && ch != nil {
			delete(b.waiting, m.ID)
			ch <- m.reply
		}
		// A refused request is logged as an error too, and is no fault of the page.
		if text := string(m.Params); m.Method == "Runtime.exceptionThrown" ||
			m.Method == "Log.entryAdded" && strings.Contains(text, `"level":"error"`) && !strings.Contains(text, `"source":"network"`) {
			b.errors = append(b.errors, text)
		}
		b.mu.Unlock()
	}
}

// call does one command and decodes its result into out, unless that is nil.
func (b *browser) call(method string, params, out any) {
	b.t.Helper()
	b.mu.Lock()
	b.next++
	id, ch := b.next, make(chan reply, 1)
	b.waiting[id] = ch
	b.mu.Unlock()
	msg := map[string]any{"id": id, "method": method}
	if params != nil {
		msg["params"] = params
	}
	if b.session != "" {
		msg["sessionId"] = b.session
	}
	text, err := json.Marshal(msg)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.in.Write(append(text, 0)); err != nil {
		b.t.Fatalf("browser: %s: %v", method, err)
	}
	select {
	case r := <-ch:
		if r.Error != nil {
			b.t.Fatalf("browser: %s: %s", method, r.Error.Message)
		}
		if out != nil {
			if err := json.Unmarshal(r.Result, out); err != nil {
				b.t.Fatalf("browser: %s: %v", method, err)
			}
		}
	case <-time.After(patience):
		b.t.Fatalf("browser: %s: no answer", method)
	}
}

// eval runs an expression in the page and returns its value as text.
func (b *browser) eval(js string) string {
	b.t.Helper()
	var r struct {
		Result           struct{ Value any }
		ExceptionDetails json.RawMessage
	}
	b.call("Runtime.evaluate", map[string]any{"expression": js, "returnByValue": true, "awaitPromise": true}, &r)
	if r.ExceptionDetails != nil {
		b.t.Fatalf("in the page: %s\n%s", js, r.ExceptionDetails)
	}
	if s, ok := r.Result.Value.(string); ok {
		return s
	}
	v, err := json.Marshal(r.Result.Value)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(v)
}

// wait waits until an expression holds in the page.
func (b *browser) wait(js string) {
	b.t.Helper()
	for end := time.Now().Add(patience); b.eval("Boolean("+js+")") != "true"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("never in the page: %s\n%s", js, b.eval("document.body.innerText"))
		}
	}
}

// size makes the page as large as a screen of that many CSS pixels.
func (b *browser) size(width, height int) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
}

// open loads a page and waits for its first status.
func (b *browser) open(url string) {
	b.t.Helper()
	b.call("Page.navigate", map[string]any{"url": "about:blank"}, nil)
	b.call("Page.navigate", map[string]any{"url": url}, nil)
	b.wait(`document.readyState === "complete" && document.querySelector("#fact-live")?.textContent === "live"`)
}

// view shows another view of the page, with what is known already.
func (b *browser) view(name string) {
	b.t.Helper()
	b.eval(`location.hash = "` + name + `"`)
	b.wait(`!document.querySelector('[data-view="` + name + `"]').hidden`)
}

// press presses a key as a person does.
func (b *browser) press(key string, code int, text string) {
	b.t.Helper()
	for _, kind := range []string{"keyDown", "keyUp"} {
		p := map[string]any{"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code}
		if kind == "keyDown" && text != "" {
			p["text"] = text
		}
		b.call("Input.dispatchKeyEvent", p, nil)
	}
}

func (b *browser) enter()  { b.t.Helper(); b.press("Enter", 13, "\r") }
func (b *browser) escape() { b.t.Helper(); b.press("Escape", 27, "") }
func (b *browser) write(text string) {
	b.t.Helper()
	b.call("Input.insertText", map[string]any{"text": text}, nil)
}

// screenshot is the whole page as PNG.
func (b *browser) screenshot() []byte {
	b.t.Helper()
	var r struct{ Data string }
	b.call("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true}, &r)
	png, err := base64.StdEncoding.DecodeString(r.Data)
	if err != nil {
		b.t.Fatal(err)
	}
	return png
}

// clean fails the test for what the page's console holds.
func (b *browser) clean() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.errors {
		b.t.Errorf("the page's console: %s", e)
	}
	b.errors = nil
}
