// Mounts the live views: Gradio inserts its HTML after loading, so new places are looked for as they appear.

import { activity, home, runs, unread } from "./lists.js";
import { run } from "./run.js";

const VIEWS = { home, runs, run, activity, unread };

function mount() {
  for (const place of document.querySelectorAll("[data-lap-view]:not([data-mounted])")) {
    place.dataset.mounted = "yes";
    VIEWS[place.dataset.lapView](place);
  }
}

new MutationObserver(mount).observe(document.documentElement, { childList: true, subtree: true });
mount();

// Gradio leaves the focus on the body when a step changes; a keyboard user goes on at the step's content.
window.lapidaryFocusStep = () => {
  const trouble = document.querySelector("#wizard-problems [role=alert]");
  const target = trouble || document.querySelector("#wizard [role=tabpanel]");
  if (!target) return;
  target.setAttribute("tabindex", "-1");
  target.focus({ preventScroll: false });
};
