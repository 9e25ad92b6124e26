// What a run took of memory and time, beside what was predicted.

import { h } from "./dom.js";
import { bytes, count, seconds } from "./format.js";

const BESIDE = {
  gpu: "of the GPU's memory, while it trained",
  training: "of this machine's memory while it trained, above what the program takes without a model",
  start: "of this machine's memory, loading included, above what the program takes without a model",
};

export function resourceLines(resources) {
  if (!resources) return null;
  const { memory, step_seconds: step, tokens_per_second: speed } = resources;
  const lines = [];
  if (memory) lines.push(["Peak memory", compared(memory, bytes), memory.of === "gpu" ? BESIDE.gpu : BESIDE[memory.since]]);
  if (step.measured !== null) lines.push(["A step", compared(step, seconds), speed === null ? resources.device : `${count(speed)} tokens a second on ${resources.device}`]);
  return lines.length ? h("dl", { class: "lap-kv" }, lines.map(([name, value, note]) => h("div", {}, h("dt", {}, name), h("dd", {}, value, h("br", {}), h("span", { class: "lap-meta" }, note))))) : null;
}

function compared({ predicted, measured }, format) {
  return predicted === null ? `measured ${format(measured)}` : `predicted ${format(predicted)}, measured ${format(measured)}`;
}
