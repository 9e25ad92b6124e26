// Talks to the REST interface, and asks again while the tab is visible.

export async function request(path, options = {}) {
  const response = await fetch(path, { headers: { accept: "application/json" }, ...options });
  if (response.status === 204) return null;
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.error || `The studio answered ${response.status}.`);
  return body;
}

export function post(path, body) {
  const sent = body === undefined ? {} : { body: JSON.stringify(body), headers: { accept: "application/json", "content-type": "application/json" } };
  return request(path, { method: "POST", ...sent });
}

// Calls `ask` now and then after the milliseconds it returns; a hidden tab waits until it is seen again.
// A lost connection is shown and tried again, slower each time.
export function poll(ask, onTrouble) {
  let timer = null;
  let failures = 0;
  const round = async () => {
    timer = null;
    if (document.hidden) return;
    let wait;
    try {
      wait = await ask();
      if (failures) onTrouble(null);
      failures = 0;
    } catch (error) {
      failures += 1;
      onTrouble(error);
      wait = Math.min(15000, 1000 * 2 ** failures);
    }
    if (wait) timer = setTimeout(round, wait);
  };
  const again = () => {
    if (!document.hidden && timer === null) round();
  };
  document.addEventListener("visibilitychange", again);
  round();
  return () => {
    if (timer !== null) clearTimeout(timer);
    round();
  };
}
