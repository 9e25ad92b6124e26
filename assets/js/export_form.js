// Choices of an export: formats, number formats, places.

import { post } from "./api.js";
import { h, replace } from "./dom.js";
import { callout } from "./parts.js";

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

// The form that starts an export: what to make, of what, and where to send it. `subject` are the inputs that say of what.
export function exportForm({ formats, subject, named, refresh }) {
  const failure = h("div", {});
  const offered = FORMATS.filter(([value]) => formats === "all" || !OF_ADAPTERS.has(value));
  const first = formats === "all" ? "merged" : "gguf";
  const kinds = choices("Number formats of the GGUF files", "lap-options--inline", QUANTIZATIONS.map((name) => choice("quantizations", name, USUAL.has(name), name)));
  kinds.hidden = first !== "gguf";
  const places = h("textarea", { id: "export-places", name: "destinations", class: "lap-input", rows: "2", spellcheck: "false", placeholder: "hf://owner/name", "aria-describedby": "export-places-help" });
  const help = h("span", { class: "lap-meta", id: "export-places-help" }, "One place a line: hf://owner/name, s3://bucket/folder, gs://bucket/folder, or a folder. Keys are stored on the ", h("a", { href: "/settings" }, "Settings page"), ".");
  const hidden = h("label", { class: "lap-switch", hidden: true }, h("input", { type: "checkbox", name: "private", checked: true }), "A new repository is private");
  const start = async (event) => {
    event.preventDefault();
    const given = new FormData(event.target);
    const body = { ...named(given), formats: given.getAll("formats"), destinations: lines(given.get("destinations")), private: given.has("private") };
    if (body.formats.includes("gguf")) body.quantizations = given.getAll("quantizations");
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
    subject,
    choices("What to make of the result", "", offered.map(([value, label, note]) => choice("formats", value, value === first, label, note))),
    kinds,
    field("Also send the proven files to", places, help),
    hidden,
    h("button", { class: "lap-button lap-button--primary", type: "submit" }, "Export"),
  );
}

export function field(label, control, ...more) {
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
