// Lists of exports with the form that starts one: those of a run, and those of adapters from elsewhere.

import { poll, request } from "./api.js";
import { h, replace } from "./dom.js";
import { exportEntry } from "./export_entry.js";
import { exportForm, field } from "./export_form.js";
import { ENDED } from "./parts.js";

const RUNNING_MS = 1000;
const RESTING_MS = 15000;

// A run that did not end well can be exported from its checkpoints, if it keeps any.
export async function runExports(slot, job) {
  const { steps } = await request(`/api/jobs/${encodeURIComponent(job.job_id)}/checkpoints`).catch(() => ({ steps: [] }));
  const ends = [job.state === "completed" ? ["", "The end of the run"] : null, ...steps.map((step) => [String(step), `Checkpoint of step ${step}`])].filter(Boolean);
  if (!ends.length) return;
  const from = field("What to export", h("select", { id: "export-from", name: "checkpoint", class: "lap-select" }, ends.map(([value, label]) => h("option", { value }, label))));
  from.hidden = ends.length < 2;
  const named = (given) => ({ job_id: job.job_id, ...(given.get("checkpoint") ? { checkpoint: Number(given.get("checkpoint")) } : {}) });
  const { list, again } = exportList(`/api/exports?job_id=${encodeURIComponent(job.job_id)}`, () => true);
  const form = exportForm({ formats: job.tuning === "full" ? "whole" : "all", subject: from, named, refresh: again });
  replace(slot, h("h2", {}, "Exports"), form, list);
}

export function otherExports(slot) {
  const text = (id, name, placeholder, required) => h("input", { id, name, class: "lap-input", type: "text", placeholder, required, spellcheck: "false" });
  const subject = h(
    "div",
    { class: "lap-field" },
    field("Folder of the adapter", text("export-source", "source", "/data/adapters/theirs", true)),
    field("Base model, where the adapter does not name it", text("export-base", "base_model", "google/gemma-3-1b-it", false)),
  );
  const named = (given) => ({ source: given.get("source"), ...(given.get("base_model") ? { base_model: given.get("base_model") } : {}) });
  const { list, again } = exportList("/api/exports?limit=200", (item) => item.job_id === null);
  const form = exportForm({ formats: "all", subject, named, refresh: again });
  replace(slot, h("details", { class: "lap-files" }, h("summary", {}, "Export an adapter from elsewhere"), form), list);
}

function exportList(path, isShown) {
  const list = h("div", {});
  const again = poll(async () => {
    const shown = (await request(path)).exports.filter(isShown);
    const open = new Set([...list.querySelectorAll("details[open]")].map((item) => item.dataset.key));
    replace(list, shown.map((item) => exportEntry(item, () => again(), open)));
    return shown.some((item) => !ENDED.has(item.state)) ? RUNNING_MS : RESTING_MS;
  }, () => {});
  return { list, again: () => again() };
}
