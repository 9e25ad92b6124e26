// One export: where it stands, its files and whether they say what the model says, where they went, how to run them.

import { post } from "./api.js";
import { copyButton } from "./copy.js";
import { h } from "./dom.js";
import { bytes, duration } from "./format.js";
import { ENDED, badge, callout, progress } from "./parts.js";

const CHECKS = { token_ids: "token ids", template: "chat template", log_probabilities: "next tokens", end_of_turn: "end of turn" };
const WEIGHTS = /\.(gguf|safetensors|onnx|onnx\.data|Modelfile)$|^(README\.md|manifest\.json)$/;
const LABELS = { adapter: "adapter", merged: "merged", gguf: "GGUF", gguf_adapter: "GGUF adapter", onnx: "ONNX", card: "model card" };

export function exportEntry(item, refresh, open) {
  const ended = ENDED.has(item.state);
  const names = item.formats.map((name) => LABELS[name]);
  const what = item.formats.includes("gguf") ? `${names.join(", ")}: ${item.quantizations.join(", ")}` : names.join(", ");
  const act = (verb) => async () => {
    await post(`/api/exports/${encodeURIComponent(item.export_id)}/${verb}`).catch(() => {});
    refresh();
  };
  const button = ended
    ? item.state !== "completed" && h("button", { class: "lap-button", type: "button", onclick: act("retry") }, "Try again")
    : h("button", { class: "lap-button", type: "button", onclick: act("cancel") }, "Cancel");
  return h(
    "section",
    { class: "lap-export-entry", "aria-label": `Export: ${what}` },
    h("p", { class: "lap-cluster" }, badge(item), h("strong", {}, item.job_id === null ? `${item.name}: ${what}` : what), /^checkpoint-/.test(item.source) ? h("span", { class: "lap-meta" }, item.source.replace("-", " of step ")) : null, button || null),
    ended ? null : progress(item, item.message || "Waiting for its turn", item.eta_seconds === null ? "" : `${duration(item.eta_seconds)} left`),
    item.error ? callout("error", title(item), item.error.message) : null,
    reports(item.parity),
    delivered(item.delivered),
    item.artifacts.map((artifact) => result(artifact, item, open)),
    commands(item, open),
  );
}

function title({ error }) {
  if (error.code === "export_unproven") return "A file does not say what the model says";
  return error.code === "not_delivered" ? "Proven, and not sent everywhere" : "The export failed";
}

function result(artifact, item, open) {
  const unproven = artifact.files.some((file) => file.proven === false);
  const key = `${item.id}/${artifact.kind}`;
  const files = artifact.files.filter((file) => WEIGHTS.test(file.name));
  return h(
    "details",
    { class: "lap-files", "data-key": key, open: open.has(key) },
    h("summary", {}, `${LABELS[artifact.kind] || artifact.kind} `, h("span", { class: "lap-meta" }, `${bytes(artifact.size_bytes)}${unproven ? " · not proven, kept to look at" : ""}`)),
    h("ul", { class: "lap-plain" }, files.map((file) => h("li", { class: "lap-cluster" }, h("a", { href: file.url, download: true }, file.name), h("span", { class: "lap-meta" }, bytes(file.size_bytes)))), h("li", {}, h("a", { class: "lap-button", href: artifact.url, download: true }, `Download ${LABELS[artifact.kind] || artifact.kind} as zip`))),
  );
}

function delivered(places) {
  const rows = Object.entries(places);
  if (!rows.length) return null;
  const shown = ([place, address]) => h("li", {}, "Sent to ", /^https?:/.test(address) ? h("a", { href: address, rel: "noreferrer", target: "_blank" }, address) : h("code", {}, address || place));
  return h("ul", { class: "lap-plain" }, rows.map(shown));
}

function commands(item, open) {
  if (!item.commands.length) return null;
  const key = `${item.id}/commands`;
  const shown = ({ title, text }) => [
    h("p", { class: "lap-cluster" }, h("span", { class: "lap-meta" }, title), copyButton(title, text)),
    h("pre", { class: "lap-code", tabindex: "0" }, text),
  ];
  return h("details", { class: "lap-files", "data-key": key, open: open.has(key) }, h("summary", {}, "How to run it"), item.commands.flatMap(shown));
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
