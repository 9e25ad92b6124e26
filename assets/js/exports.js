// The run page's exports: what to make of the result, where to send it, and every export that was made.

import { poll, post, request } from "./api.js";
import { h, replace } from "./dom.js";
import { exportEntry } from "./export_entry.js";
import { ENDED, callout } from "./parts.js";

const RUNNING_MS = 1000;
const RESTING_MS = 15000;
const FORMATS = [
  ["adapter", "Adapter", "what was learned, for PEFT and vLLM"],
  ["merged", "Merged", "safetensors in 16 bits, for transformers, vLLM and TGI"],
  ["gguf", "GGUF", "for llama.cpp, Ollama and LM Studio"],
  ["gguf_adapter", "GGUF adapter", "the adapter for llama.cpp"],
  ["onnx", "ONNX", "for ONNX Runtime, experimental"],
];
const OF_ADAPTERS = new Set(["adapter", "merged", "gguf_adapter"]);
const QUANTIZATIONS = ["bf16", "f16", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q3_k_m", "q2_k"];
const USUAL = new Set(["q8_0", "q4_k_m"]);

// A run that did not end well can be exported from its checkpoints, if it keeps any.
export async function runExports(slot, job) {
  const { steps } = await request(`/api/jobs/${encodeURIComponent(job.job_id)}/checkpoints`).catch(() => ({ steps: [] }));
  if (job.state !== "completed" && !steps.length) return;
  const list = h("div", {});
  const again = poll(async () => {
    const { exports } = await request(`/api/exports?job_id=${encodeURIComponent(job.job_id)}`);
    const open = new Set([...list.querySelectorAll("details[open]")].map((item) => item.dataset.key));
    replace(list, exports.map((item) => exportEntry(item, again, open)));
    return exports.some((item) => !ENDED.has(item.state)) ? RUNNING_MS : RESTING_MS;
  }, () => {});
  replace(slot, h("h2", {}, "Exports"), form(job, steps, () => again()), list);
}

function form(job, steps, refresh) {
  const failure = h("div", {});
  const whole = job.tuning === "full";
  const first = whole ? "gguf" : "merged";
  const formats = FORMATS.filter(([value]) => !whole || !OF_ADAPTERS.has(value));
  const kinds = choices("Number formats of the GGUF files", "lap-options--inline", QUANTIZATIONS.map((name) => choice("quantizations", name, USUAL.has(name), name)));
  kinds.hidden = first !== "gguf";
  const ends = [job.state === "completed" ? ["", "The end of the run"] : null, ...steps.map((step) => [String(step), `Checkpoint of step ${step}`])].filter(Boolean);
  const from = field("What to export", h("select", { id: "export-from", name: "checkpoint", class: "lap-select" }, ends.map(([value, label]) => h("option", { value }, label))));
  from.hidden = ends.length < 2;
  const places = h("textarea", { id: "export-places", name: "destinations", class: "lap-input", rows: "2", spellcheck: "false", placeholder: "hf://owner/name", "aria-describedby": "export-places-help" });
  const help = h("span", { class: "lap-meta", id: "export-places-help" }, "One place a line: hf://owner/name, s3://bucket/folder, gs://bucket/folder, or a folder. Keys are stored on the ", h("a", { href: "/settings" }, "Settings page"), ".");
  const hidden = h("label", { class: "lap-switch", hidden: true }, h("input", { type: "checkbox", name: "private", checked: true }), "A new repository is private");
  const start = async (event) => {
    event.preventDefault();
    const given = new FormData(event.target);
    const body = { job_id: job.job_id, formats: given.getAll("formats"), destinations: lines(given.get("destinations")), private: given.has("private") };
    if (body.formats.includes("gguf")) body.quantizations = given.getAll("quantizations");
    if (given.get("checkpoint")) body.checkpoint = Number(given.get("checkpoint"));
    try {
      await post("/api/exports", body);
      replace(failure);
      refresh();
    } catch (error) {
      replace(failure, callout("error", "Not exported", error.message));
    }
  };
  const follow = (event) => {
    const given = new FormData(event.currentTarget);
    kinds.hidden = !given.getAll("formats").includes("gguf");
    hidden.hidden = !given.get("destinations").includes("hf://");
  };
  return h(
    "form",
    { class: "lap-export", onsubmit: start, onchange: follow, oninput: follow },
    failure,
    choices("What to make of the result", "", formats.map(([value, label, note]) => choice("formats", value, value === first, label, note))),
    kinds,
    from,
    field("Also send the proven files to", places, help),
    hidden,
    h("button", { class: "lap-button lap-button--primary", type: "submit" }, "Export"),
  );
}

function field(label, control, ...more) {
  return h("div", { class: "lap-field" }, h("label", { for: control.id }, label), control, ...more);
}

function lines(text) {
  return text.split(/[\n,]/).map((line) => line.trim()).filter(Boolean);
}

function choice(name, value, checked, label, note) {
  return h("label", { class: "lap-option" }, h("input", { type: "checkbox", name, value, checked }), h("span", { class: "lap-option__title" }, label), note ? h("span", { class: "lap-option__detail" }, note) : null);
}

function choices(legend, kind, options) {
  return h("fieldset", { class: `lap-options ${kind}` }, h("legend", {}, legend), options);
}
