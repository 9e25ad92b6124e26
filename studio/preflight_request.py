"""A preflight as programs ask for it: a job document, and `resources` where it is meant for another machine."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from pipeline.config_base import Config
from pipeline.devices import device_of_type
from pipeline.errors import InvalidConfig
from pipeline.estimate.sharding import shared_among
from pipeline.estimates import Estimate, verdict
from pipeline.preflight import check
from pipeline.preflight_view import preflight_view, problem_view
from pipeline.prices import hourly_price
from pipeline.validation import problems_of
from studio.service import Studio
from studio.smart_defaults import Resources


class _Body(Config):
    resources: Resources = Resources()


def preflight_of(studio: Studio, body: Mapping[str, Any], *, owner: str) -> dict[str, Any]:
    """The whole preflight as JSON types. A document that is no job is an answer too, with `ok` false.

    Raises:
        NotFound, Forbidden: the recipe or the data set.
    """
    document = {name: value for name, value in body.items() if name != "resources"}
    try:
        resources = _resources(body)
        devices = None if resources.gpu_type is None else [device_of_type(resources.gpu_type)]
        checked = studio.full_preflight(document, owner=owner, devices=devices)
    except InvalidConfig as problem:
        return problem_view(problem)
    if checked.estimate is not None and resources.gpus > 1:
        shared = _shared(checked.estimate, resources)
        checked = check(checked.config, replace(checked.facts, estimate=shared))
    # The price of this machine is not that of another.
    price = hourly_price(studio.settings) if devices is None else None
    return preflight_view(checked, price)


def _shared(estimate: Estimate, resources: Resources) -> Estimate:
    said = f"Memory is that of each of {resources.gpus} GPUs with {resources.strategy}. A run here uses one GPU."
    devices = []
    for device in estimate.devices:
        memory = shared_among(device.memory, gpus=resources.gpus, strategy=resources.strategy, layers=estimate.layers)
        devices.append(device.model_copy(update={"memory": memory, "verdict": verdict(memory, device.free)}))
    return estimate.model_copy(update={"devices": devices, "assumptions": [*estimate.assumptions, said]})


def _resources(body: Mapping[str, Any]) -> Resources:
    try:
        return _Body.model_validate({name: value for name, value in body.items() if name == "resources"}).resources
    except ValidationError as error:
        raise InvalidConfig(problems_of(error, model=_Body)) from error
