// Pieces that several pages show.

import { h, replace } from "./dom.js";

export const ENDED = new Set(["completed", "failed", "cancelled", "interrupted"]);

export function header(title, text, ...actions) {
  const sub = text ? h("p", { class: "lap-sub" }, text) : null;
  return h("header", { class: "lap-page-header" }, h("div", {}, h("h1", {}, title), sub), actions.length ? h("div", { class: "lap-actions" }, ...actions) : null);
}

export function link(text, href, kind = "") {
  return h("a", { class: `lap-button ${kind}`, href }, text);
}

export function badge(job) {
  const stopped = job.facts?.stop_reason === "no_improvement" ? "stopped early" : "stopped and kept";
  const text = job.state === "completed" && job.stopped_early ? stopped : job.state;
  return h("span", { class: "lap-badge", "data-state": job.state }, text);
}

export function runLink(job) {
  return h("a", { href: `/run?job=${encodeURIComponent(job.job_id)}` }, job.name);
}

// The bar, with a line under it: what is happening, and how long it still takes.
export function progress(job, label = null, side = null) {
  const done = Math.round(job.progress * 100);
  const waiting = job.state === "queued" || job.state === "starting";
  const bar = h("progress", waiting ? { "aria-label": "Waiting" } : { max: 100, value: done, "aria-label": "Progress" }, `${done} %`);
  const line = label ? h("div", { class: "lap-progress__label" }, h("span", {}, label), h("span", {}, side || "")) : null;
  return h("div", { class: "lap-progress" }, bar, line);
}

export function callout(kind, title, text, ...more) {
  const lines = String(text || "").split("\n").filter(Boolean);
  return h(
    "div",
    { class: `lap-${kind}`, role: kind === "error" ? "alert" : "status" },
    h("div", { class: "lap-callout__head" }, title),
    ...lines.map((line) => h("p", {}, line)),
    more.length ? h("p", { class: "lap-fix" }, ...more) : null,
  );
}

export function icon(name) {
  return h("i", { class: "lap-icon", "data-icon": name, "aria-hidden": "true" });
}

export function empty(title, text, action) {
  return h("div", { class: "lap-empty" }, icon("list"), h("h2", {}, title), h("p", {}, text), action);
}

// A place for "the connection is lost", above everything else on the page.
export function troubleBox(root) {
  const box = h("div", {});
  root.before(box);
  return (error) =>
    replace(box, error ? callout("warning", "The studio does not answer", `${error.message} Trying again; runs go on.`) : null);
}
