// Pieces that several pages show.

import { h, replace } from "./dom.js";

export const ENDED = new Set(["completed", "failed", "cancelled", "interrupted"]);

export function header(title, text, ...actions) {
  return h(
    "div",
    { class: "lap-page-header" },
    h("h1", {}, title),
    text ? h("p", { class: "lap-sub" }, text) : null,
    actions.length ? h("div", { class: "lap-actions" }, ...actions) : null,
  );
}

export function link(text, href, kind = "") {
  return h("a", { class: `lap-button ${kind}`, href }, text);
}

export function badge(job) {
  const text = job.state === "completed" && job.stopped_early ? "stopped and kept" : job.state;
  return h("span", { class: "lap-badge", "data-state": job.state }, text);
}

export function runLink(job) {
  return h("a", { class: "lap-link", href: `/run?job=${encodeURIComponent(job.job_id)}` }, job.name);
}

export function progress(job) {
  const done = Math.round(job.progress * 100);
  const waiting = job.state === "queued" || job.state === "starting";
  return h(
    "progress",
    waiting ? { class: "lap-progress", "aria-label": "Waiting" } : { class: "lap-progress", max: 100, value: done, "aria-label": `${done} %` },
  );
}

export function callout(kind, title, text, ...more) {
  return h(
    "div",
    { class: `lap-${kind}`, role: kind === "error" ? "alert" : "status" },
    h("strong", {}, title),
    ...String(text || "").split("\n").filter(Boolean).map((line) => h("p", {}, line)),
    ...more,
  );
}

export function empty(title, text, action) {
  return h("div", { class: "lap-empty" }, h("h2", {}, title), h("p", {}, text), action);
}

// A place for "the connection is lost", above everything else on the page.
export function troubleBox(root) {
  const box = h("div", {});
  root.before(box);
  return (error) =>
    replace(box, error ? callout("warning", "The studio does not answer", `${error.message} Trying again; runs go on.`) : null);
}
