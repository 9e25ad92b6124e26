"""The rewards of GRPO: one form that adds a reward, and the list of those that were added."""

import json
from html import escape
from typing import Any

import gradio as gr
from gradio.components import Component
from gradio.events import Dependency
from pydantic import TypeAdapter, ValidationError

from pipeline.config_base import Config
from pipeline.config_fields import ConfigField, kind_of, members
from pipeline.errors import InvalidConfig, Problem
from pipeline.method_config import GrpoConfig
from pipeline.reward_config import Reward
from pipeline.validation import problems_of
from studio.forms import Form, element_id
from studio.ui.handlers import QUIET
from studio.ui.html import problem_list

REWARDS = "method.rewards"
KIND = "reward.kind"


class RewardEntry(Config):
    """The document that the editor's form is made from."""

    reward: Reward


_REWARDS: TypeAdapter[tuple[Reward, ...]] = TypeAdapter(GrpoConfig.model_fields["rewards"].annotation)


def build_reward_editor(form: Form) -> list[Dependency]:
    """Render the editor into the wizard's form; it is shown while the method is GRPO. Returns the events after which
    the rewards are others."""
    stored = form.hide(REWARDS)
    entry = Form(RewardEntry)
    with gr.Column(visible=False, elem_id="reward-editor") as editor:
        chosen = gr.CheckboxGroup(
            [], label="Rewards", info="What an answer earns. Uncheck one to remove it.", elem_id="reward-list"
        )
        with gr.Accordion("Add a reward", open=True):
            entry.add(KIND, _kind_choice)
            meaning = gr.HTML(_meaning("exact_match"))
            entry.add_rest("reward.")
            add = gr.Button("Add this reward", size="sm", elem_id="add-reward")
            notice = gr.HTML()
    entry.follow_variants()
    entry.components[KIND].change(_meaning, entry.components[KIND], meaning, **QUIET)  # type: ignore[attr-defined]
    kind = form.components["method.kind"]
    kind.change(lambda method: gr.update(visible=method == "grpo"), kind, editor, **QUIET)  # type: ignore[attr-defined]
    stored.change(show_rewards, stored, chosen, **QUIET)  # type: ignore[attr-defined]

    def keep(summaries: list[str], text: str) -> str:
        return _as_text([reward for reward in read_rewards(text) if _summary(reward) in summaries])

    kept = chosen.input(keep, [chosen, stored], stored, **QUIET)  # type: ignore[attr-defined]

    def add_reward(values: dict[Component, Any]) -> dict[Component, Any]:
        try:
            reward = reward_from(entry, entry.read(values))
        except InvalidConfig as error:
            return {notice: problem_list(error.problems)}
        known = read_rewards(values[stored])
        if _summary(reward) in [_summary(other) for other in known]:
            return {notice: problem_list([Problem("reward", "is in the list already.")])}
        return {stored: _as_text([*known, reward]), notice: ""}

    added = add.click(add_reward, {stored, *entry.components.values()}, [stored, notice], **QUIET)
    return [kept, added]


def reward_from(entry: Form, values: dict[str, Any]) -> Reward:
    """The reward that the form describes. Raises InvalidConfig."""
    document = entry.document({path: value for path, value in values.items() if value not in ("", None)})
    try:
        return RewardEntry.model_validate(document).reward
    except ValidationError as error:
        raise InvalidConfig(problems_of(error, model=RewardEntry)) from error


def read_rewards(text: str | None) -> list[Reward]:
    """The rewards in the form's hidden field; none where it holds something else."""
    try:
        return list(_REWARDS.validate_json(text or "[]"))
    except ValidationError:
        return []


def show_rewards(text: str | None) -> Any:
    """The list's entries, all checked."""
    summaries = [_summary(reward) for reward in read_rewards(text)]
    return gr.update(choices=summaries, value=summaries)


def _as_text(rewards: list[Reward]) -> str:
    return json.dumps(
        [reward.model_dump(mode="json", exclude_defaults=True) | {"kind": reward.kind} for reward in rewards]
    )


def _summary(reward: Reward) -> str:
    settings = reward.model_dump(mode="json", exclude={"kind", "weight"}, exclude_defaults=True)
    told = ", ".join(f"{name.replace('_', ' ')} {_shown(value)}" for name, value in settings.items())
    return f"{_words(reward.kind)}{f': {told}' if told else ''} · weight {reward.weight:g}"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _kind_choice(leaf: ConfigField) -> Component:
    choices = [(_words(kind), kind) for kind in leaf.choices]
    return gr.Dropdown(choices, value=leaf.default, label="What earns it", elem_id=element_id(leaf.path))


def _meaning(kind: str) -> str:
    meant = next(member for member in members(RewardEntry.model_fields["reward"].annotation) if kind_of(member) == kind)
    return f'<p class="lap-muted">{escape(" ".join((meant.__doc__ or "").split()))}</p>'


def _words(kind: str) -> str:
    return kind.replace("_", " ").capitalize()
