// The run page's exports: what to make of the result, what was made, and whether it says what the model says.

import { poll, post, request } from "./api.js";
import { h, replace } from "./dom.js";
import { bytes } from "./format.js";
import { ENDED, badge, callout, progress } from "./parts.js";

const RUNNING_MS = 1000;
const RESTING_MS = 15000;
const FORMATS = [
  ["merged", "Merged", "safetensors in 16 bits, for transformers and vLLM"],
  ["gguf", "GGUF", "for llama.cpp, Ollama and LM Studio"],
];
const QUANTIZATIONS = ["bf16", "f16", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q3_k_m", "q2_k"];
const USUAL = new Set(["q8_0", "q4_k_m"]);
const CHECKS = { token_ids: "token ids", template: "chat template", log_probabilities: "next tokens", end_of_turn: "end of turn" };

export function runExports(slot, id) {
  const list = h("div", {});
  const again = poll(async () => {
    const { exports } = await request(`/api/exports?job_id=${encodeURIComponent(id)}`);
    replace(list, exports.map((item) => entry(item, again)));
    return exports.some((item) => !ENDED.has(item.state)) ? RUNNING_MS : RESTING_MS;
  }, () => {});
  replace(slot, h("h2", {}, "Exports"), form(id, () => again()), list);
}

function form(id, refresh) {
  const failure = h("div", {});
  const choice = (name, value, checked, label, note) =>
    h("label", { class: "lap-option" }, h("input", { type: "checkbox", name, value, checked }), h("span", { class: "lap-option__title" }, label), note ? h("span", { class: "lap-option__detail" }, note) : null);
  const choices = (legend, kind, options) => h("fieldset", { class: `lap-options ${kind}` }, h("legend", {}, legend), options);
  const kinds = choices("Number formats of the GGUF files", "lap-options--inline", QUANTIZATIONS.map((name) => choice("quantizations", name, USUAL.has(name), name)));
  kinds.hidden = true;
  const start = async (event) => {
    event.preventDefault();
    const chosen = (name) => new FormData(event.target).getAll(name);
    const body = { job_id: id, formats: chosen("formats") };
    if (body.formats.includes("gguf")) body.quantizations = chosen("quantizations");
    try {
      await post("/api/exports", body);
      replace(failure);
      refresh();
    } catch (error) {
      replace(failure, callout("error", "Not exported", error.message));
    }
  };
  return h(
    "form",
    { class: "lap-export", onsubmit: start, onchange: (event) => { kinds.hidden = !new FormData(event.currentTarget).getAll("formats").includes("gguf"); } },
    failure,
    choices("What to make of the result", "", FORMATS.map(([value, label, note]) => choice("formats", value, value === "merged", label, note))),
    kinds,
    h("button", { class: "lap-button lap-button--primary", type: "submit" }, "Export"),
  );
}

function entry(item, refresh) {
  const what = item.formats.includes("gguf") ? [...item.formats, ...item.quantizations].join(", ") : item.formats.join(", ");
  const stop = async () => {
    await post(`/api/exports/${encodeURIComponent(item.export_id)}/cancel`).catch(() => {});
    refresh();
  };
  return h(
    "section",
    { class: "lap-export-entry", "aria-label": `Export: ${what}` },
    h("p", { class: "lap-cluster" }, badge(item), h("strong", {}, what), ENDED.has(item.state) ? null : h("button", { class: "lap-button", type: "button", onclick: stop }, "Cancel")),
    ENDED.has(item.state) ? null : progress(item, item.message || "Waiting for its turn"),
    item.error ? callout("error", item.error.code === "export_unproven" ? "A file does not say what the model says" : "The export failed", item.error.message) : null,
    reports(item.parity),
    item.artifacts.length ? h("ul", { class: "lap-plain" }, item.artifacts.map((artifact) => h("li", { class: "lap-cluster" }, h("a", { class: "lap-button", href: artifact.url, download: true }, `Download ${artifact.kind}`), h("span", { class: "lap-meta" }, `zip, ${bytes(artifact.size_bytes)}`)))) : null,
  );
}

function reports(parity) {
  const names = Object.keys(parity);
  if (!names.length) return null;
  const heads = ["File", ...Object.values(CHECKS), "Same answers"];
  const row = (name) => {
    const report = parity[name];
    const mark = (check) => h("td", { "data-label": CHECKS[check.name], title: check.message }, check.passed ? "✓ same" : "✗ differs");
    return h("tr", {}, h("th", { scope: "row" }, name), report.checks.map(mark), h("td", { "data-label": "Same answers" }, `${Math.round(100 * report.matched_answers)} %`));
  };
  return h("table", { class: "lap-table" }, h("caption", {}, "Compared with the trained model"), h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))), h("tbody", {}, names.map(row)));
}
