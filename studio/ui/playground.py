"""The playground: the same prompt answered by the base model and by the tuned one, side by side."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from db.models import Job
from db.states import JobState
from pipeline.errors import UserError
from studio.auth import Authenticator
from studio.service import Studio
from studio.ui.handlers import QUIET, Caller
from studio.ui.html import callout
from studio.ui.shell import page_header

_PROMPTS_OFFERED = 12


def build_playground(demo: gr.Blocks, studio: Studio, authenticator: Authenticator) -> None:
    """Render the page. `?job=` chooses a run."""
    caller = Caller(authenticator)
    with gr.Column(elem_classes="lap-page"):
        page_header("Playground", "One prompt, two answers: the base model's and your tuned model's, decoded alike.")
        notice = gr.HTML(elem_id="playground-notice")
        with gr.Row():
            run = gr.Dropdown([], label="Tuned model", info="Your completed runs.", elem_id="playground-run")
            held_out = gr.Dropdown(
                [],
                label="Held-out prompt",
                info="A row the model has not been trained on.",
                elem_id="playground-held-out",
            )
        prompt = gr.Textbox(label="Prompt", lines=3, elem_id="playground-prompt")
        expected = gr.Textbox(label="Expected answer", interactive=False, visible=False, elem_id="playground-expected")
        with gr.Row():
            length = gr.Slider(16, 1024, value=160, step=16, label="Longest answer in tokens")
            temperature = gr.Slider(
                0, 2, value=0, step=0.1, label="Temperature", info="0 always takes the likeliest token."
            )
        with gr.Row(elem_classes="lap-buttons"):
            ask = gr.Button("Ask both", variant="primary", elem_id="playground-ask")
        with gr.Row():
            base = gr.Textbox(label="Base model", lines=6, interactive=False, buttons=["copy"], elem_id="answer-base")
            tuned = gr.Textbox(
                label="Tuned model", lines=6, interactive=False, buttons=["copy"], elem_id="answer-tuned"
            )

    def open_page(request: gr.Request) -> dict[Any, Any]:
        done = [job for job in studio.jobs(owner=caller.owner(request))[0] if job.state == JobState.COMPLETED]
        choices = [
            (f"{job.name} · {studio.catalog.display_name(job.training.model.base_model)}", job.job_id) for job in done
        ]
        if not choices:
            text = "The playground needs a completed run. Start the demo from Home; it takes about a minute."
            return {notice: callout("info", "Nothing to compare yet", text), ask: gr.update(interactive=False)}
        asked = request.query_params.get("job")
        chosen = asked if asked in {value for _, value in choices} else choices[0][1]
        missing = (
            callout("warning", "That run is not here", f"There is no completed run {asked}.")
            if asked not in (None, chosen)
            else ""
        )
        return {notice: missing, run: gr.update(choices=choices, value=chosen), **offer(chosen, caller.owner(request))}

    def offer(job_id: str, owner: str) -> dict[Any, Any]:
        pairs = held_out_pairs(studio, studio.job(job_id, owner=owner))
        choices = [(_short(question), index) for index, (question, _) in enumerate(pairs)]
        first = pairs[0] if pairs else ("", "")
        return {
            held_out: gr.update(choices=choices, value=0 if pairs else None, visible=bool(pairs)),
            prompt: first[0],
            expected: gr.update(value=first[1], visible=bool(first[1])),
        }

    def choose_run(job_id: str, request: gr.Request) -> dict[Any, Any]:
        return offer(job_id, caller.owner(request)) | {base: "", tuned: ""}

    def choose_prompt(job_id: str, index: int | None, request: gr.Request) -> tuple[Any, Any, str, str]:
        pairs = held_out_pairs(studio, studio.job(job_id, owner=caller.owner(request)))
        question, answer = pairs[index] if index is not None else ("", "")
        return question, gr.update(value=answer, visible=bool(answer)), "", ""

    def type_prompt() -> Any:
        return gr.update(visible=False)

    def ask_both(
        job_id: str | None, question: str, longest: int, heat: float, request: gr.Request
    ) -> Iterator[tuple[str, str, str]]:
        if not job_id or not question.strip():
            yield callout("error", "Something is missing", "Choose a tuned model and type a prompt."), "", ""
            return
        job = studio.job(job_id, owner=caller.owner(request))
        answers = {"base": "", "tuned": ""}
        try:
            for side in answers:
                for piece in studio.answer(
                    job,
                    side=side,
                    messages=[{"role": "user", "content": question}],
                    max_new_tokens=int(longest),
                    temperature=float(heat),
                ):
                    answers[side] += piece
                    yield "", answers["base"], answers["tuned"]
        except UserError as error:
            yield callout("error", "No answer", str(error)), answers["base"], answers["tuned"]

    demo.load(open_page, None, [notice, run, held_out, prompt, expected, ask], **QUIET)
    run.input(choose_run, run, [held_out, prompt, expected, base, tuned], **QUIET)
    held_out.input(choose_prompt, [run, held_out], [prompt, expected, base, tuned], **QUIET)
    prompt.input(type_prompt, None, expected, **QUIET)
    gr.on(
        [ask.click, prompt.submit],
        ask_both,
        [run, prompt, length, temperature],
        [notice, base, tuned],
        api_visibility="private",
        concurrency_limit=1,
        show_progress="minimal",
        trigger_mode="once",
    )


def held_out_pairs(studio: Studio, job: Job) -> list[tuple[str, str]]:
    """Questions and answers that the run held out; empty where there are none."""
    return studio.run_dir(job).read_held_out()[:_PROMPTS_OFFERED]


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 80 else f"{line[:79]}…"
