"""Which steps of a pipeline are to be done, and why."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from favchat.config import Config
from jobs.pipeline.record import Record
from jobs.pipeline.steps import NAMES, STEPS, Step


@dataclass(frozen=True)
class Decision:
    """What is to become of a step."""

    step: Step
    do: bool
    reasons: list[str]
    settings: dict[str, Any]
    inputs: dict[str, str | None]
    aside: bool = False
    """Whether its folder holds results of other settings or inputs, which are moved aside first."""

    def lines(self) -> list[str]:
        """For the terminal."""
        word, (first, *further) = "do" if self.do else "skip", self.reasons
        return [f"{self.step.name:9} {word:5} {first}", *(f"{'':15} {line}" for line in further)]


def plan(config: Config, record: Record, first: str | None, last: str | None) -> list[Decision]:
    """The decisions as far as they can be told before anything is done."""
    found: list[Decision] = []
    for step in STEPS:
        found.append(decide(step, config, record, first, last, {one.step.name for one in found if one.do}))
    return found


def decide(
    step: Step, config: Config, record: Record, first: str | None, last: str | None, before: Collection[str] = ()
) -> Decision:
    """Whether a step is to be done.

    Args:
        step: The step.
        config: The whole configuration.
        record: Of earlier runs.
        first: ``--from``: steps before it are left as they are.
        last: ``--until``: steps after it are.
        before: Steps that are to be done before it, whose outputs are not known yet.
    """
    place = NAMES.index(step.name)
    if first is not None and place < NAMES.index(first):
        return Decision(step, False, [f"left as it is (--from {first})"], {}, {})
    if last is not None and place > NAMES.index(last):
        return Decision(step, False, [f"left as it is (--until {last})"], {}, {})
    unwanted = step.unwanted(config)
    if unwanted:
        return Decision(step, False, [unwanted], {}, {})
    waits = [name for name in step.after if name in before]
    settings: dict[str, Any] = json.loads(json.dumps(step.settings(config)))
    # Digests of what is about to change say nothing.
    inputs = {} if waits else dict(step.inputs(config))
    known = record.steps.get(step.name)
    if known is None:
        reasons = ["not done yet"] if not waits else [f"not done yet; after {', '.join(waits)}"]
        return Decision(step, True, reasons, settings, inputs)
    changed = known.changes(settings, known.inputs if waits else inputs)
    if changed:
        return Decision(step, True, changed, settings, inputs, aside=True)
    if waits:
        return Decision(step, True, [f"if {' or '.join(waits)} changes what it reads"], settings, inputs)
    if not known.done:
        return Decision(step, True, ["interrupted; goes on where it was"], settings, inputs)
    output = step.output(config)
    if output != known.output:
        fault = "its output is gone" if output is None else "its output is not the one that it left"
        return Decision(step, True, [fault], settings, inputs)
    if step.always:
        return Decision(step, True, [step.always], settings, inputs)
    return Decision(step, False, [f"nothing changed since {known.ended}"], settings, inputs)
