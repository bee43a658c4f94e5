// The node's API.

const patience = 130000; // milliseconds: the first what-if counts all users

// call sends a request; an error has the answer's text and status.
export async function call(method, path, body) {
  const headers = body ? { "Content-Type": "application/json" } : {};
  const token = sessionStorage.getItem("token");
  if (token) headers.Authorization = `Bearer ${token}`;
  const response = await fetch(path, { method, headers, body: body && JSON.stringify(body), cache: "no-store", signal: AbortSignal.timeout(patience) });
  const value = response.status === 204 ? null : await response.json().catch(() => null);
  if (!response.ok) throw Object.assign(new Error((value && value.error) || `the node answered ${response.status}`), { status: response.status });
  return value;
}

// fresh asks for something again when mark has changed or every milliseconds have passed,
// and never twice at a time. take(answer) or failed(error) gets what came.
export function fresh(path, every, take, failed) {
  let seen, next = 0, asking = false;
  return async (mark) => {
    mark = JSON.stringify(mark);
    if (asking || (mark === seen && Date.now() < next)) return;
    asking = true;
    try {
      take(await call("GET", typeof path === "function" ? path() : path));
    } catch (e) {
      failed(e);
    } finally {
      [seen, next, asking] = [mark, Date.now() + every, false];
    }
  };
}
