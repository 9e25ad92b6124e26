// Which values of a run become which chart. A chart appears with the first of its values.

const held = (name) => ({ name: `eval_${name}`, label: "Held-out rows", markers: true });
const both = (name) => [{ name, label: "Training" }, held(name)];
const one = (name, label) => [{ name, label }];

// Charts of every method come first; they are there from the beginning, so that nothing jumps.
const ALWAYS = [
  { title: "Loss", yLabel: "nats per token", series: both("loss") },
  { title: "Learning rate", smoothing: null, logScale: null, series: one("learning_rate", "Learning rate") },
  { title: "Gradient norm", series: one("grad_norm", "Gradient norm") },
  { title: "Speed", unit: "tokens/s", series: one("tokens_per_second", "Real tokens per second") },
];

const SOMETIMES = [
  { title: "Right tokens", yLabel: "share", logScale: null, series: both("mean_token_accuracy") },
  { title: "Preferences learned", yLabel: "share of pairs", logScale: null, series: both("rewards/accuracies") },
  { title: "Margin of the chosen answer", logScale: null, series: both("rewards/margins") },
  { title: "Reward", logScale: null, series: both("reward") },
  { title: "Answer length", unit: "tokens", logScale: null, series: one("completions/mean_length", "Sampled answers") },
  { title: "Distance from the start (KL)", logScale: null, series: one("kl", "KL") },
  { title: "Entropy", logScale: null, series: one("entropy", "Entropy") },
];

const REWARD = /^rewards\/(?!accuracies$|margins$|chosen$|rejected$)(.+)$/;

export function chartGrid(grid, totalSteps) {
  const charts = [];
  const add = (options) => {
    const card = document.createElement("div");
    card.className = "lap-card";
    grid.append(card);
    charts.push({ options, chart: window.LapidaryChart.create(card, { ...options, xMax: totalSteps }) });
  };
  ALWAYS.forEach(add);
  const waiting = [...SOMETIMES];
  const append = (series) => {
    for (const options of [...waiting]) {
      if (!options.series.some(({ name }) => series[name])) continue;
      waiting.splice(waiting.indexOf(options), 1);
      add(options);
    }
    const rewards = Object.keys(series).filter((name) => REWARD.test(name));
    if (rewards.length > 1 && !charts.some(({ options }) => options.title === "Each reward"))
      add({ title: "Each reward", logScale: null, series: rewards.map((name) => ({ name, label: REWARD.exec(name)[1].replaceAll("_", " ") })) });
    for (const { options, chart } of charts) {
      const part = Object.fromEntries(options.series.filter(({ name }) => series[name]).map(({ name }) => [name, series[name]]));
      if (Object.keys(part).length) chart.append(part);
    }
  };
  const mark = (steps) => charts[0].chart.setMarkers(steps.map((step) => ({ step, label: "Checkpoint" })));
  return { append, mark };
}
