// Home, the table of runs, the activity feed and the unread count.

import { poll, post, request } from "./api.js";
import { h, replace } from "./dom.js";
import { otherExports } from "./exports.js";
import { ago, count, duration, elapsed, number } from "./format.js";
import { ENDED, badge, empty, header, icon, link, progress, runLink, troubleBox } from "./parts.js";

const BUSY_MS = 1500;
const QUIET_MS = 5000;

function jobsPage(root, draw) {
  let version = "";
  const trouble = troubleBox(root);
  poll(async () => {
    const body = await request(`/api/jobs?limit=200&version=${encodeURIComponent(version)}`);
    if (body) {
      version = body.version;
      draw(body.jobs);
      root.dataset.busy = body.jobs.some((job) => !ENDED.has(job.state)) ? "yes" : "";
    }
    return root.dataset.busy ? BUSY_MS : QUIET_MS;
  }, trouble);
}

export function home(root) {
  jobsPage(root, (jobs) => {
    const running = jobs.filter((job) => !ENDED.has(job.state));
    const ended = jobs.filter((job) => ENDED.has(job.state)).slice(0, 6);
    if (!jobs.length) return replace(root, welcome());
    replace(
      root,
      header("Home", null, link("Fine-tune the demo", "/new?demo=1"), link("New run", "/new", "lap-button--primary")),
      h("section", { class: "lap-section" }, h("h2", {}, "Running now"), running.length ? cards(running) : h("p", { class: "lap-meta" }, "Nothing runs at the moment.")),
      ended.length ? h("section", { class: "lap-section" }, h("h2", {}, "Finished lately"), cards(ended)) : null,
    );
  });
}

function welcome() {
  return h(
    "div",
    { class: "lap-empty" },
    h("h1", {}, "Teach a small model a new task in about a minute"),
    h("p", {}, "The demo fine-tunes a nano Gemma on a CPU: no GPU, no token, no network. You watch the loss fall, then ask the model before and after."),
    link("Fine-tune the demo", "/new?demo=1", "lap-button--primary"),
    h("p", { class: "lap-meta" }, "Have your own rows? ", h("a", { class: "lap-link", href: "/new" }, "Start a new run"), "."),
  );
}

function cards(jobs) {
  return h("div", { class: "lap-grid" }, jobs.map((job) => card(job)));
}

function card(job) {
  return h(
    "article",
    { class: "lap-card" },
    h("div", { class: "lap-card__header" }, h("h3", {}, runLink(job)), badge(job)),
    h("p", { class: "lap-meta" }, `${job.base_model_name} · `, ago(job.created_at)),
    ENDED.has(job.state) ? outcome(job) : progress(job, job.message || "Waiting for its turn", job.eta_seconds === null ? "" : `${duration(job.eta_seconds)} left`),
  );
}

function outcome(job) {
  if (job.error && job.state !== "completed") return h("p", { class: "lap-meta" }, job.error.message);
  return h("p", { class: "lap-meta" }, `Loss ${number(job.latest.loss)} · ${elapsed(job)}`);
}

export function runs(root) {
  const others = h("section", { class: "lap-section" });
  root.after(others);
  otherExports(others);
  jobsPage(root, (jobs) => {
    const table = jobs.length ? runTable(jobs) : empty("No runs yet", "A run fine-tunes one model on one data set.", link("New run", "/new", "lap-button--primary"));
    replace(root, header("Runs", jobs.length ? `${count(jobs.length)} in all` : null, jobs.length ? link("New run", "/new", "lap-button--primary") : null), table);
  });
}

const STATE_ICONS = { success: "check", error: "error", warning: "alert", info: "play" };

function runTable(jobs) {
  const head = ["Name", "State", "Progress", "Loss", "Held-out loss", "Took", "Started"].map((name) => h("th", { scope: "col" }, name));
  const rows = jobs.map((job) => {
    const cell = (label, ...children) => h("td", { "data-label": label }, ...children);
    return h(
      "tr",
      {},
      h("th", { scope: "row", class: "lap-table__main" }, runLink(job), h("span", { class: "lap-meta" }, `${job.base_model_name} · ${job.tuning}`)),
      cell("State", badge(job)),
      cell("Progress", ENDED.has(job.state) ? `${count(job.step)} of ${count(job.total_steps)} steps` : progress(job)),
      cell("Loss", h("span", { class: "lap-num" }, number(job.latest.loss))),
      cell("Held-out loss", h("span", { class: "lap-num" }, number(job.latest.eval_loss))),
      cell("Took", h("span", { class: "lap-num" }, elapsed(job))),
      cell("Started", ago(job.started_at) || "not yet"),
    );
  });
  return h("div", { class: "lap-card lap-card--flush" }, h("table", { class: "lap-table" }, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows)));
}

export function activity(root) {
  const trouble = troubleBox(root);
  let shown = "";
  const again = poll(async () => {
    const body = await request("/api/activity?limit=100");
    const key = JSON.stringify([body.total, body.unread]);
    if (key !== shown) {
      shown = key;
      drawFeed(root, body, again);
    }
    return QUIET_MS;
  }, trouble);
}

function drawFeed(root, body, again) {
  const readAll = h("button", { class: "lap-button", type: "button", disabled: body.unread === 0, onclick: () => post("/api/activity/mark-all-read").then(() => again()) }, "Mark all as read");
  const items = body.activities.map((entry) => {
    const open = () => post(`/api/activity/${entry.id}/mark-read`);
    const title = h("a", { href: `/run?job=${encodeURIComponent(entry.entity_id)}`, onclick: open }, entry.title);
    return h(
      "li",
      { "data-status": entry.status, "data-unread": !entry.read },
      icon(STATE_ICONS[entry.status]),
      h("div", { class: "lap-feed__text" }, title, entry.message ? h("span", { class: "lap-meta" }, entry.message) : null),
      ago(entry.created_at),
    );
  });
  const list = items.length ? h("ul", { class: "lap-feed lap-card lap-card--flush" }, items) : empty("Nothing has happened yet", "Runs that start, end or fail are told here.", link("Fine-tune the demo", "/new?demo=1", "lap-button--primary"));
  replace(root, header("Activity", body.unread ? `${body.unread} unread` : null, readAll), list);
}

export function unread(root) {
  poll(async () => {
    const body = await request("/api/activity?limit=1&unread_only=true");
    root.hidden = body.unread === 0;
    root.textContent = body.unread > 99 ? "99+" : String(body.unread);
    root.setAttribute("aria-label", `${body.unread} unread`);
    return 4 * QUIET_MS;
  }, () => {});
}
