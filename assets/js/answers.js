// What the model answers to the held-out prompts: at each evaluation, and base against tuned at the end.

import { request } from "./api.js";
import { h, replace } from "./dom.js";
import { count } from "./format.js";

const NAMES = { exact_match: "Exact match", f1: "F1", json_valid: "Valid JSON", json_equal: "Same JSON values", bleu: "BLEU", chrf: "chrF", rouge1: "ROUGE-1", rouge2: "ROUGE-2", rougeL: "ROUGE-L" };

export function answers(slot, id) {
  let seen = "";
  let chosen = null;
  return async (facts) => {
    const now = `${facts.samples_step}/${facts.scored_rows}`;
    if (now === seen || (facts.samples_step === undefined && facts.scored_rows === undefined)) return;
    const body = await request(`/api/jobs/${encodeURIComponent(id)}/answers`);
    seen = now;
    const draw = () => replace(slot, ...(body.scores ? scores(body.scores) : []), ...(body.samples.length ? samples(body.samples, chosen, (step) => { chosen = step; draw(); }) : []));
    draw();
  };
}

function scores(found) {
  const names = Object.keys(found.tuned);
  const row = (name) => h("tr", {}, h("th", { scope: "row" }, NAMES[name] || name.replaceAll("_", " ")), h("td", { "data-label": "Base" }, found.base[name].toFixed(1)), h("td", { "data-label": "Tuned" }, found.tuned[name].toFixed(1)));
  return [
    h("h2", {}, "Base against tuned"),
    h("p", { class: "lap-meta" }, `The same ${count(found.rows)} held-out rows, the same decoding; 100 is best.`),
    h("table", { class: "lap-table" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Score"), h("th", { scope: "col" }, "Base"), h("th", { scope: "col" }, "Tuned"))), h("tbody", {}, names.map(row))),
    h("details", {}, h("summary", {}, `The first ${count(found.examples.length)} answers`), table(["Prompt", "Expected", "Base", "Tuned"], found.examples.map((item) => [item.prompt, item.reference, item.base, item.tuned]))),
  ];
}

function samples(all, chosen, choose) {
  const last = all[all.length - 1];
  const shown = all.find(({ step }) => step === chosen) || last;
  const options = all.map(({ step }) => h("option", { value: step, selected: step === shown.step }, step === 0 ? "before training" : `after step ${count(step)}`));
  const select = h("select", { class: "lap-select", id: "answers-step", onchange: (event) => choose(Number(event.target.value)) }, options);
  return [
    h("h2", {}, "Answers to held-out prompts"),
    h("p", { class: "lap-cluster" }, h("label", { for: "answers-step" }, "The model"), select),
    table(["Prompt", "Expected", "Answer"], shown.samples.map((item) => [item.prompt, item.reference, item.finished ? item.answer : `${item.answer} …`])),
  ];
}

function table(heads, rows) {
  const cell = (text, index) => h("td", { "data-label": heads[index] }, text === null ? "–" : text);
  return h(
    "table",
    { class: "lap-table lap-answers" },
    h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map(cell)))),
  );
}
