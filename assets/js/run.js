// One run's page: where it stands, its curves, its log, its results.

import { answers } from "./answers.js";
import { poll, post, request } from "./api.js";
import { chartGrid } from "./charts.js";
import { h, replace } from "./dom.js";
import { runExports } from "./exports.js";
import { ago, bytes, count, duration, elapsed, number } from "./format.js";
import { ENDED, badge, callout, empty, header, link, progress, troubleBox } from "./parts.js";
import { runReproduction } from "./reproduce.js";
import { resourceLines } from "./resources.js";

const LIVE_MS = 1000;
const ENDED_MS = 10000;
const LEVEL = / (WARNING|ERROR) /;
export function run(root) {
  const id = new URLSearchParams(location.search).get("job");
  if (!id) return replace(root, empty("No run chosen", "The list shows all runs.", link("Runs", "/runs", "lap-button--primary")));
  const state = { revision: 0, since: 0, log: -1, page: null };
  const trouble = troubleBox(root);
  const again = poll(async () => {
    const query = `revision=${state.revision}&since=${state.since}&log=${state.log}`;
    let body;
    try {
      body = await request(`/api/jobs/${encodeURIComponent(id)}/live?${query}`);
    } catch (error) {
      if (state.page || !/no run/i.test(error.message)) throw error;
      replace(root, empty("There is no such run", error.message, link("Runs", "/runs", "lap-button--primary")));
      return 0;
    }
    if (body) {
      state.page ??= build(root, body.job, () => again());
      state.page.show(body);
      Object.assign(state, { revision: body.job.revision, since: body.since, log: body.log_offset, ended: ENDED.has(body.job.state) });
    }
    return state.ended ? ENDED_MS : LIVE_MS;
  }, trouble);
}

function build(root, job, refresh) {
  const place = (attributes = {}) => h("div", attributes);
  const slots = { head: place(), status: place(), stats: place(), results: place() };
  const announcer = h("p", { class: "lap-sr", role: "status", "aria-live": "polite" });
  const grid = h("div", { class: "lap-grid", style: "--lap-grid-min: 420px" });
  const answered = h("section", { class: "lap-section" });
  const exported = h("section", { class: "lap-section" });
  const repeated = h("section", { class: "lap-section" });
  const log = h("div", { class: "lap-log", role: "log", tabindex: "0", "aria-label": "Log", "aria-live": "off" });
  const dialog = cancelDialog(job, refresh);
  replace(
    root, slots.head, announcer, slots.status, slots.stats, grid, answered,
    h("section", { class: "lap-section" }, h("h2", {}, "Results"), slots.results),
    exported,
    repeated,
    h("section", { class: "lap-section" }, h("h2", {}, "Log"), log),
    dialog,
  );
  const charts = chartGrid(grid, job.total_steps);
  const showAnswers = answers(answered, job.job_id);
  let offered = null;
  const offer = (ended) => {
    if (offered === ended.state) return;
    offered = ended.state;
    runExports(exported, ended);
    runReproduction(repeated, ended);
  };
  const show = (body) => {
    drawHead(slots, body.job, dialog);
    drawResults(slots.results, body);
    charts.append(body.series);
    charts.mark(body.job.facts.checkpoints || []);
    if (ENDED.has(body.job.state)) offer(body.job);
    showAnswers(body.job.facts).catch(() => {}); // The next change asks again.
    if (body.log) appendLog(log, body.log);
    const told = `${body.job.state}, ${Math.floor(body.job.progress * 10) * 10} %`;
    if (announcer.textContent !== told) announcer.textContent = told;
  };
  return { show };
}

function drawHead(slots, job, dialog) {
  const clone = link("Change and run again", `/new?clone=${encodeURIComponent(job.job_id)}`);
  const actions = ENDED.has(job.state)
    ? [clone, job.state === "completed" && job.answers ? link("Try it in the playground", `/playground?job=${encodeURIComponent(job.job_id)}`, "lap-button--primary") : null]
    : [h("button", { class: "lap-button lap-button--danger", type: "button", disabled: job.state === "stopping", onclick: () => dialog.showModal() }, job.state === "stopping" ? "Stopping…" : "Stop…")];
  const sub = h("span", {}, `${job.base_model_name} · ${job.method} · ${job.tuning === "lora" ? "LoRA" : "full fine-tune"} · started `, ago(job.started_at) || "not yet");
  replace(slots.head, header(job.name, sub, ...trackerLinks(job), badge(job), ...actions.filter(Boolean)));
  const warnings = (job.facts.warnings || []).map((warning) => callout("warning", "Note", warning.message));
  replace(
    slots.status,
    job.error && job.state !== "completed" ? callout("error", job.state === "interrupted" ? "The run was interrupted" : "The run failed", job.error.message, clone.cloneNode(true)) : null,
    ...warnings,
    ENDED.has(job.state) ? null : progress(job, job.message || "Waiting for its turn in the queue", job.eta_seconds === null ? "" : `${duration(job.eta_seconds)} left`),
  );
  replace(slots.stats, h("dl", { class: "lap-stats" }, tiles(job).map(([name, value, note]) => h("div", { class: "lap-stat" }, h("dt", {}, name), h("dd", {}, value), note ? h("dd", { class: "lap-meta" }, note) : null))));
}

function tiles(job) {
  const { facts, latest } = job;
  const ended = ENDED.has(job.state);
  const share = facts.trainable_parameters ? `${((100 * facts.trainable_parameters) / facts.parameters).toFixed(1)} %` : "–";
  return [
    ["Step", count(job.step), job.total_steps ? `of ${count(job.total_steps)}` : null],
    ["Loss", number(latest.loss), latest.mean_token_accuracy === undefined ? null : `${(100 * latest.mean_token_accuracy).toFixed(0)} % of tokens right`],
    ["Held-out loss", number(latest.eval_loss), facts.eval_rows ? `${count(facts.eval_rows)} rows` : null],
    [ended ? "Took" : "Left", ended ? elapsed(job) : duration(job.eta_seconds), ended ? null : `${elapsed(job)} so far`],
    ["Speed", latest.tokens_per_second ? count(latest.tokens_per_second) : "–", "tokens/s"],
    ["Rows", count(facts.train_rows), facts.dropped_rows ? `${count(facts.dropped_rows)} left out` : "trained on"],
    ["Memory", latest.peak_memory_bytes ? bytes(latest.peak_memory_bytes) : "–", facts.device ? `peak, ${facts.device}` : null],
    ["Trained weights", share, facts.parameters ? `of ${count(facts.parameters)}` : null],
  ];
}

function trackerLinks(job) {
  return Object.entries(job.facts.trackers || {}).map(([name, url]) => h("a", { href: url, rel: "noreferrer", target: "_blank" }, `Open in ${name}`));
}

function drawResults(slot, { job, artifacts }) {
  const took = resourceLines(job.resources);
  if (!artifacts.length) return replace(slot, took, h("p", { class: "lap-meta" }, ENDED.has(job.state) ? "This run left nothing to download." : "The adapter appears here when training is done."));
  const rows = artifacts.map((artifact) =>
    h("li", { class: "lap-cluster" }, h("a", { class: "lap-button", href: artifact.url, download: true }, `Download ${artifact.kind}`), h("span", { class: "lap-meta" }, `zip, ${bytes(artifact.size_bytes)}`)),
  );
  replace(slot, took, h("ul", { class: "lap-plain" }, rows));
}

function appendLog(log, text) {
  const following = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  const lines = text.replace(/[^\n]*\r(?!\n)/g, "").split("\n").filter(Boolean);
  for (const line of lines) log.append(h("div", LEVEL.test(line) ? { "data-level": LEVEL.exec(line)[1].toLowerCase() } : {}, h("span", {}, line)));
  if (following) log.scrollTop = log.scrollHeight;
}

function cancelDialog(job, refresh) {
  const path = `/api/jobs/${encodeURIComponent(job.job_id)}/cancel`;
  const failure = h("div", {});
  const act = (keep) => async () => {
    try {
      await post(`${path}?keep=${keep}`);
      dialog.close();
      refresh();
    } catch (error) {
      replace(failure, callout("error", "Not stopped", error.message));
    }
  };
  const dialog = h(
    "dialog",
    { class: "lap-dialog", "aria-labelledby": "stop-title" },
    h("div", { class: "lap-dialog__header", id: "stop-title" }, "Stop this run?"),
    h("div", { class: "lap-dialog__body" }, failure, h("p", {}, "Keep what it has learned so far, or discard it. Either way the machine is freed.")),
    h(
      "div",
      { class: "lap-dialog__footer" },
      h("button", { class: "lap-button", type: "button", onclick: () => dialog.close() }, "Go on training"),
      h("button", { class: "lap-button lap-button--danger", type: "button", onclick: act(false) }, "Stop and discard"),
      h("button", { class: "lap-button lap-button--primary", type: "button", onclick: act(true) }, "Stop and keep"),
    ),
  );
  return dialog;
}
