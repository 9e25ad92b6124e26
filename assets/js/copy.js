// A button that copies a text, and says whether it could.

import { h } from "./dom.js";

const TOLD_MS = 1500;

export function copyButton(title, text) {
  const copy = async ({ currentTarget: button }) => {
    button.textContent = await navigator.clipboard.writeText(text).then(() => "Copied", () => "Select it by hand");
    setTimeout(() => (button.textContent = "Copy"), TOLD_MS);
  };
  return h("button", { class: "lap-button lap-button--small", type: "button", "aria-label": `Copy: ${title}`, onclick: copy }, "Copy");
}
