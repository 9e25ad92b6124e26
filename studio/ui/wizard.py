"""The wizard: five steps over one form, a draft that survives reloads, and the start of a run."""

from typing import Any

import gradio as gr
from gradio.components import Component

from pipeline.config import FineTuneJobConfig
from pipeline.errors import InvalidConfig, Problem, UserError
from pipeline.validation import parse_job_config
from studio.auth import Authenticator
from studio.forms import Form, flatten
from studio.service import Studio
from studio.ui.dataset_step import build_dataset_step, dataset_choices
from studio.ui.export_step import build_export_step
from studio.ui.handlers import QUIET, Caller
from studio.ui.html import problem_list
from studio.ui.hyperparameter_step import build_hyperparameter_step
from studio.ui.kinds import FOLLOWING, follow_data, follow_kinds
from studio.ui.model_step import build_model_step, follow_model, model_card
from studio.ui.preflight_step import build_preflight_step
from studio.ui.rail import summarise
from studio.ui.recipe_box import build_recipe_box, fill_from_recipe
from studio.ui.shell import LOADING, page_header
from studio.ui.smoke_box import try_on_demand
from studio.ui.suggestion_box import build_suggestion_box, set_suggested_values

STEPS = ("Model", "Dataset", "Hyperparameters", "Export", "Preflight")
PREFLIGHT = len(STEPS) - 1
_FIELDS_OF_STEP = (
    ("model",),
    ("dataset",),
    ("tuning", "method", "training", "evaluation", "tracking"),
    ("name", "export"),
    (),
)
# A first estimate takes some seconds: it waits in the queue, and other pages do not wait for it.
_ESTIMATING: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
# Runs in the browser after a step has changed: Gradio leaves the focus on the body.
_FOCUS_STEP = "() => window.lapidaryFocusStep && window.lapidaryFocusStep()"
_OPEN_RUN = "(id) => { if (id) window.location.assign('/run?job=' + encodeURIComponent(id)) }"


def build_wizard(demo: gr.Blocks, studio: Studio, authenticator: Authenticator) -> None:
    """Render the page."""
    form, caller = Form(FineTuneJobConfig), Caller(authenticator)
    # The browser holds only the draft's id; the secret is no protection and needs none.
    draft = gr.BrowserState("", storage_key="lapidary-draft", secret="lapidary")  # noqa: S106
    buttons: list[tuple[gr.Button | None, gr.Button | None]] = []
    with gr.Column(elem_classes="lap-page"):
        page_header("New run", "Five steps from a file of rows to a model of your own.")
        with gr.Row(elem_classes="lap-with-rail"):
            with gr.Column(scale=3, min_width=320):
                problems = gr.HTML(LOADING, elem_id="wizard-problems")
                # Shown once it is filled: what is typed before would be overwritten.
                with gr.Walkthrough(selected=0, visible=False, elem_id="wizard") as walkthrough:
                    with gr.Step(STEPS[0], id=0):
                        recipes = build_recipe_box(studio)
                        model_step = build_model_step(form, studio)
                        buttons.append(_navigation(0))
                    with gr.Step(STEPS[1], id=1):
                        dataset_step = build_dataset_step(form, studio, caller)
                        buttons.append(_navigation(1))
                    with gr.Step(STEPS[2], id=2):
                        suggestions = build_suggestion_box()
                        rewards_changed = build_hyperparameter_step(form)
                        buttons.append(_navigation(2))
                    with gr.Step(STEPS[3], id=3):
                        build_export_step(form)
                        buttons.append(_navigation(3))
                    with gr.Step(STEPS[4], id=4):
                        preflight_step, back = build_preflight_step()
                        buttons.append((back, None))
            with gr.Column(scale=1, min_width=260, elem_classes="lap-rail-column"):
                rail = gr.HTML(elem_id="wizard-rail")
    started = gr.Textbox(visible=False)
    step_shown = gr.Number(0, visible=False, precision=0)
    form.follow_variants()
    follow_model(form, studio, model_step)
    dataset_step.show_tokens_on_demand(caller)
    fields = list(form.components.values())
    inputs = {draft, step_shown, *fields}
    report = [problems, rail, *preflight_step.outputs]

    def describe(values: dict[str, Any], step: int, owner: str) -> dict[Component, Any]:
        """Everything that is derived from the form: the rail, and on the last step the findings."""
        document = form.document(values)
        shown: dict[Component, Any] = {rail: summarise(studio, document, owner=owner), problems: ""}
        return shown | (preflight_step.show(studio, document, owner=owner) if step == PREFLIGHT else {})

    def keep(values: dict[Component, Any], owner: str, step: int) -> str:
        return studio.save_draft(values[draft] or "", owner=owner, step=step, values=form.read(values)).id

    def go(target: int) -> Any:
        def move(values: dict[Component, Any], request: gr.Request) -> dict[Component, Any]:
            owner, current = caller.owner(request), int(values[step_shown])
            wrong = _problems_before(form.document(form.read(values)), target)
            if target > current and wrong:
                return {problems: problem_list(wrong), draft: keep(values, owner, current)}
            moved = {walkthrough: gr.Walkthrough(selected=target), step_shown: target}
            return moved | describe(form.read(values), target, owner) | {draft: keep(values, owner, target)}

        return move

    def estimate(values: dict[Component, Any], request: gr.Request) -> dict[Component, Any]:
        """Memory and time on the last step, after all else is on the page."""
        if int(values[step_shown]) != PREFLIGHT:
            return {}
        document = form.document(form.read(values))
        return preflight_step.show_estimate(studio, document, owner=caller.owner(request))

    def then_estimate(change: Any) -> None:
        change.then(estimate, inputs, preflight_step.outputs, **_ESTIMATING)

    outputs = [draft, walkthrough, step_shown, *report]
    for number, (back, forward) in enumerate(buttons):
        for button, target in ((back, number - 1), (forward, number + 1)):
            if button is not None:
                then_estimate(button.click(go(target), inputs, outputs, **QUIET).then(None, js=_FOCUS_STEP))

    def open_step(values: dict[Component, Any], request: gr.Request, event: gr.SelectData) -> dict[Component, Any]:
        target = STEPS.index(str(event.value)) if event.value in STEPS else int(event.index)
        return (
            {step_shown: target}
            | describe(form.read(values), target, caller.owner(request))
            | {draft: keep(values, caller.owner(request), target)}
        )

    then_estimate(
        walkthrough.select(open_step, inputs, [draft, step_shown, *report], **QUIET)  # type: ignore[attr-defined]
    )

    def autosave(values: dict[Component, Any], request: gr.Request) -> dict[Component, Any]:
        return {draft: keep(values, caller.owner(request), int(values[step_shown]))}

    gr.on([_edited(field) for field in fields], autosave, inputs, [draft], trigger_mode="always_last", **QUIET)

    def refresh_rail(values: dict[Component, Any], request: gr.Request) -> str:
        return summarise(studio, form.document(form.read(values)), owner=caller.owner(request))

    try_on_demand(form, studio, preflight_step.smoke, caller)
    follow_kinds(form)
    followers = [form.components[path] for path in FOLLOWING]
    for change in dataset_step.changes:
        followed = change.then(follow_data(form, studio, caller), set(fields), followers, **QUIET)
        followed.then(refresh_rail, set(fields), rail, **QUIET).then(autosave, inputs, [draft], **QUIET)
    for change in rewards_changed:
        change.then(autosave, inputs, [draft], **QUIET)
    from_recipe = fill_from_recipe(form, studio, recipes, model_step)
    from_recipe.then(lambda: "", None, suggestions.reasons, **QUIET)
    for change in (from_recipe, set_suggested_values(form, studio, suggestions, caller)):
        change.then(refresh_rail, set(fields), rail, **QUIET).then(autosave, inputs, [draft], **QUIET)

    def apply_fix(index: int) -> Any:
        def mend(values: dict[Component, Any], request: gr.Request) -> dict[Component, Any]:
            typed, owner = form.read(values), caller.owner(request)
            patch = preflight_step.fixes(studio, form.document(typed), owner=owner)[index].patch
            mended = {**typed, **patch}
            saved = studio.save_draft(values[draft] or "", owner=owner, step=PREFLIGHT, values=mended)
            return form.updates(mended) | describe(mended, PREFLIGHT, owner) | {draft: saved.id}

        return mend

    for index, button in enumerate(preflight_step.fix_buttons):
        then_estimate(button.click(apply_fix(index), inputs, [draft, *fields, *report], **QUIET))

    def fit_it(values: dict[Component, Any], request: gr.Request) -> dict[Component, Any]:
        typed, owner = form.read(values), caller.owner(request)
        found, words = preflight_step.find_fit(studio, form.document(typed), owner=owner)
        if found is None or not found.patch:
            return {problems: words}
        fitting = {**typed, **found.patch}
        saved = studio.save_draft(values[draft] or "", owner=owner, step=PREFLIGHT, values=fitting)
        return form.updates(fitting) | describe(fitting, PREFLIGHT, owner) | {draft: saved.id, problems: words}

    then_estimate(preflight_step.fit.click(fit_it, inputs, [draft, *fields, *report], **_ESTIMATING))

    def start(values: dict[Component, Any], request: gr.Request) -> dict[Component, Any]:
        owner = caller.owner(request)
        try:
            job = studio.submit(form.document(form.read(values)), owner=owner)
        except InvalidConfig as error:
            return {problems: problem_list(error.problems), started: ""}
        except UserError:
            return describe(form.read(values), PREFLIGHT, owner) | {started: ""}
        studio.forget_draft(values[draft] or "", owner=owner)
        return {started: job.job_id, draft: ""}

    preflight_step.start.click(start, inputs, [started, draft, *report], **QUIET).then(None, started, js=_OPEN_RUN)

    def restore(values: dict[Component, Any], request: gr.Request) -> dict[Component, Any]:
        """Fill the form: with a run to clone, the demo, or the draft."""
        owner = caller.owner(request)
        typed, step = _initial_values(studio, form, request, values[draft] or "", owner=owner)
        choices = {
            form.components["dataset.path"]: gr.update(
                choices=dataset_choices(studio, owner), value=typed["dataset.path"]
            ),
            model_step.card: model_card(studio.catalog, typed["model.base_model"] or ""),
            **dataset_step.show(typed, owner),
            **dataset_step.resume(owner),
        }
        moved = {walkthrough: gr.Walkthrough(selected=step, visible=True), step_shown: step}
        return form.updates(typed) | choices | moved | describe(typed, step, owner)

    filled = [*fields, model_step.card, *dataset_step.outputs, walkthrough, step_shown, *report]
    then_estimate(demo.load(restore, {draft, step_shown}, filled, **QUIET))


def _navigation(step: int) -> tuple[gr.Button | None, gr.Button]:
    with gr.Row(elem_classes="lap-buttons"):
        back = gr.Button("Back", variant="secondary", elem_id=f"back-{step}") if step else None
        return back, gr.Button("Continue", variant="primary", elem_id=f"continue-{step}")


def _problems_before(document: dict[str, Any], target: int) -> list[Problem]:
    """Problems of the fields on the steps before `target`."""
    try:
        parse_job_config(document)
    except InvalidConfig as error:
        sections = {section for step in _FIELDS_OF_STEP[:target] for section in step}
        return [problem for problem in error.problems if problem.field.split(".")[0] in sections]
    return []


def _initial_values(
    studio: Studio, form: Form, request: gr.Request, draft_id: str, *, owner: str
) -> tuple[dict[str, Any], int]:
    defaults = form.defaults()
    query = request.query_params
    if "clone" in query:
        job = studio.job(query["clone"], owner=owner)
        return {**defaults, **flatten(job.training.model_dump(mode="json", exclude={"kind"}), leaves=form.leaves)}, 2
    if not {"demo", "data"} & set(query) and (saved := studio.draft(draft_id, owner=owner)):
        return {**defaults, **saved.values}, saved.step
    model = next(iter(studio.catalog.models))
    first = {**defaults, "model.base_model": model, **studio.catalog.recommended(model)}
    if "data" in query:
        chosen = studio.registry.dataset(query["data"], owner=owner)
        return first | {"dataset.path": chosen.path}, 1
    if "demo" in query:
        first |= {"dataset.path": studio.registry.demo_path(), "name": "gem-orders"}
        return first, PREFLIGHT
    return first, 0


def _edited(field: Component) -> Any:
    """The event of a finished edit: leaving a text field, or a choice."""
    return field.blur if isinstance(field, (gr.Textbox, gr.Number)) else field.input  # type: ignore[attr-defined]
