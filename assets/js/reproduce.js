// The run page's ways to repeat the run: as YAML, as one command, and as a script on TRL alone.

import { request } from "./api.js";
import { copyButton } from "./copy.js";
import { h, replace } from "./dom.js";

export function runReproduction(slot, job) {
  const body = h("div", {});
  const path = `/api/jobs/${encodeURIComponent(job.job_id)}/reproduce`;
  const show = async ({ currentTarget }) => {
    if (!currentTarget.open || body.hasChildNodes()) return;
    replace(body, h("p", { class: "lap-meta" }, "Reading the run…"));
    const texts = await request(path).catch((error) => ({ no_script: error.message }));
    replace(
      body,
      piece("YAML, for the wizard's settings in a file", texts.yaml),
      piece("One command", texts.command),
      texts.script ? piece("A script on TRL, without Lapidary: equal losses", texts.script) : h("p", { class: "lap-meta" }, texts.no_script),
      texts.yaml ? h("p", {}, h("a", { class: "lap-button", href: `${path}/download`, download: true }, "Download all with the rows as zip")) : null,
    );
  };
  replace(slot, h("h2", {}, "Repeat it"), h("details", { class: "lap-files", ontoggle: show }, h("summary", {}, "As YAML, as a command, or as a script on TRL"), body));
}

function piece(title, text) {
  if (!text) return null;
  return h("div", {}, h("p", { class: "lap-cluster" }, h("span", { class: "lap-meta" }, title), copyButton(title, text)), h("pre", { class: "lap-code", tabindex: "0" }, text));
}
