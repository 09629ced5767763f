"""What happens when the reader does something: each function returns the parts of the page that change."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
from openai import APIError

from ui.analysis import Analyser
from ui.client import ApiClient
from ui.clip_table import clip_table
from ui.comparison import compare, ways
from ui.conversation import ask, send_if_gone, until_question
from ui.exports import NothingToExport, export
from ui.faces import faces
from ui.heat_map import expert_usage
from ui.layout import EMPTY_CHAT, READY_CHAT, Parts, alert, busy, ready, waiting
from ui.library import NAMED, Clip, Libraries, Library, restored
from ui.player import EMPTY, player
from ui.player import waiting as player_waiting
from ui.profile import profile
from ui.questions import chips
from ui.result_card import EMPTY as NO_RESULT
from ui.result_card import result_card
from ui.timeline import timeline
from ui.why import explain

TABLE_FROM = 2
"""Clips from which on there is a table of them."""
Changes = dict[Any, Any]
"""Parts and their new values."""


class EventHandlers:
    """The page's behaviour.

    Args:
        api: The server.
        libraries: Of all readers.
        analyser: Reads their clips.
        samples: Sample clips by what they show.
        first: A clip that is opened for whoever comes.
    """

    parts: Parts

    def __init__(
        self,
        api: ApiClient,
        libraries: Libraries,
        analyser: Analyser,
        samples: Mapping[str, Path],
        first: Path | None = None,
    ) -> None:
        self._api, self._libraries, self._analyser, self._samples = api, libraries, analyser, samples
        self._first = first
        # A browser that sees another one loads the page anew: what the old one knew is gone.
        self._page = secrets.token_hex(4)

    # ---- coming, and what is new ----

    def arrive(self, remembered: dict[str, Any] | None, request: gr.Request) -> Changes:
        """Find the reader's clips again, or begin with none; open the clip that the address names."""
        kept, session = remembered or {}, request.session_hash or ""
        if not self._libraries.resume(session, str(kept.get("token"))):
            _, library = self._libraries.of(session)
            try:
                self._take(library, list(restored(kept)))
                library.open(str(kept.get("chosen")))
            except (KeyError, TypeError, ValueError, AttributeError):
                pass  # a browser that kept something else begins anew
        token, library = self._libraries.of(session)
        wanted = request.query_params.get("clip")
        if wanted and NAMED.fullmatch(wanted):
            self._open_linked(library, wanted)
        elif self._first is not None and not library.clips:
            self._take(library, [Clip(self._first.name, self._first)])
        return self._changes(library, {}, token)

    def tick(self, shown: dict[str, Any], request: gr.Request) -> Changes:
        """Show what is new since the last time."""
        token, library = self._mine(request)
        if shown.get("revision") == library.revision:
            return self._nothing()
        return self._changes(library, shown, token)

    def server_state(self) -> dict[str, str]:
        """How the server is, and its model's name once it is known."""
        state = self._api.state(0.9)
        if state == "ok" and "model" not in vars(self._api):
            try:
                _ = self._api.model
            except (APIError, ValueError):
                state = "starting"
        return {"state": state, "model": vars(self._api).get("model", ""), "page": self._page}

    # ---- clips ----

    def add(self, paths: Sequence[str] | None, shown: dict[str, Any], request: gr.Request) -> Changes:
        """Take files in, to be read one after the other."""
        token, library = self._mine(request)
        added = self._take(library, [Clip(Path(path).name, Path(path)) for path in paths or []])
        if added:
            library.open(added[0].id)
        return {self.parts.drop: None, **self._changes(library, shown, token)}

    def record(self, path: str | None, shown: dict[str, Any], request: gr.Request) -> Changes:
        """Take what the camera recorded."""
        if path is None:
            return self._nothing()
        token, library = self._mine(request)
        number = sum(clip.name.startswith("recording") for clip in library.clips.values()) + 1
        for clip in self._take(library, [Clip(f"recording {number}", Path(path))]):
            library.open(clip.id)
        return {self.parts.camera: None, **self._changes(library, shown, token)}

    def act(self, shown: dict[str, Any], request: gr.Request, event: gr.EventData) -> Changes:
        """A click on a button of the table, the samples or the result card."""
        (token, library), what, name = self._mine(request), event._data.get("do"), event._data.get("id", "")
        clip = library.clips.get(name)
        if what == "sample" and name in self._samples:
            known = next((one for one in library.clips.values() if one.path == self._samples[name]), None)
            for one in [known] if known else self._take(library, [Clip(name, self._samples[name])]):
                library.open(one.id)
        elif what == "open" and clip is not None:
            library.open(clip.id)
            if clip.state == "waiting":
                self._analyser.add(library, clip, first=True)
        elif what == "face" and name.isdigit() and library.open_clip is not None:
            self._choose_face(library, library.open_clip, int(name))
        elif what in ("cancel", "retry", "remove") and clip is not None:
            getattr(self._analyser, what)(library, clip)
        return self._changes(library, shown, token)

    def sort(self, order: str, untaught: bool, request: gr.Request) -> str:
        """The profile in another order."""
        library = self._mine(request)[1]
        clip, library.order, library.untaught = library.open_clip, order, untaught
        return profile(clip.scores, order, untaught) if clip and clip.scores else ""

    def save(self, kind: str, request: gr.Request) -> dict[str, str] | None:
        """A file for the browser to save."""
        try:
            return export(kind, self._mine(request)[1])
        except NothingToExport as error:
            gr.Warning(str(error))
            return None

    # ---- questions ----

    async def typed(self, text: str, temperature: float, length: float, request: gr.Request) -> AsyncGenerator[Changes]:
        """A question from the box."""
        async with aclosing(self._asked(text, temperature, length, request)) as answer:
            async for changes in answer:
                yield changes

    async def offered(
        self, temperature: float, length: float, request: gr.Request, event: gr.EventData
    ) -> AsyncGenerator[Changes]:
        """A question of the list."""
        text = str(event._data.get("text", ""))
        async with aclosing(self._asked(text, temperature, length, request)) as answer:
            async for changes in answer:
                yield changes

    async def again(
        self, temperature: float, length: float, request: gr.Request, event: gr.RetryData
    ) -> AsyncGenerator[Changes]:
        """The last question once more."""
        async with aclosing(self._replaced(temperature, length, request, event.index, None)) as answer:
            async for changes in answer:
                yield changes

    async def edited(
        self, temperature: float, length: float, request: gr.Request, event: gr.EditData
    ) -> AsyncGenerator[Changes]:
        """A question in other words; what was said after it goes."""
        async with aclosing(self._replaced(temperature, length, request, event.index, event.value)) as answer:
            async for changes in answer:
                yield changes

    def stop(self, request: gr.Request) -> Changes:
        """Keep what was said; a question without a word of answer goes back to be asked again."""
        clip, parts = self._mine(request)[1].open_clip, self.parts
        if clip is None:
            return self._nothing()
        asking, clip.asking = clip.asking, None
        said = bool(clip.turns) and asking is not None and clip.turns[-2:][0]["content"] == asking
        question: dict[str, Any] = {} if said or asking is None else {"value": asking}
        return {
            parts.chat: clip.turns,
            parts.question: gr.update(**question, **ready()),
            parts.timing: _timing("Stopped."),
        }

    def clear(self, request: gr.Request) -> Changes:
        """Forget the conversation about the open clip."""
        clip = self._mine(request)[1].open_clip
        if clip is not None and clip.asking is None:
            clip.turns = []
        return {self.parts.timing: ""}

    def remember(self, request: gr.Request) -> dict[str, Any]:
        """What the browser keeps."""
        token, library = self._mine(request)
        return library.remembered(token)

    async def _replaced(
        self, temperature: float, length: float, request: gr.Request, index: Any, words: Any
    ) -> AsyncGenerator[Changes]:
        clip = self._mine(request)[1].open_clip
        if clip is not None:
            clip.turns, question = until_question(clip.turns, index if isinstance(index, int) else index[0])
            words = words if isinstance(words, str) else question
            async with aclosing(self._asked(words, temperature, length, request)) as answer:
                async for changes in answer:
                    yield changes

    async def _asked(
        self, text: str, temperature: float, length: float, request: gr.Request
    ) -> AsyncGenerator[Changes]:
        library, parts = self._mine(request)[1], self.parts
        clip, text = library.open_clip, text.strip()
        if clip is None or not clip.askable or not text or clip.asking is not None:
            yield self._nothing()
            return
        yield {parts.question: gr.update(value="", **busy()), parts.notice: ""}
        if clip.mattered:
            clip.mattered = ()
            library.changed()
        options = {"temperature": temperature or None, "max_tokens": round(length)}
        async with aclosing(ask(self._api, clip, text, **options)) as answer:
            async for told in answer:
                if library.open_clip is not clip:
                    continue  # it is kept with its clip, and shown when that is opened again
                changes: Changes = {
                    parts.chat: told.turns,
                    parts.timing: _timing(told.status, told.running, why=not told.error),
                }
                if not told.running:
                    changes[parts.question] = gr.update(**ready())
                if told.error:
                    # The question goes back to where it was typed, so that trying again is one key.
                    changes[parts.question] = gr.update(value=text, **ready())
                    changes[parts.notice] = alert("No answer", told.error)
                yield changes

    async def why(self, shown: dict[str, Any], request: gr.Request, event: gr.EventData) -> AsyncGenerator[Changes]:
        """Outline the frames that the last answer rests on."""
        (token, library), parts = self._mine(request), self.parts
        clip = library.open_clip
        if clip is None or not clip.askable or len(clip.turns) < 2 or event._data.get("do") != "why":
            yield self._nothing()
            return
        question, answer = (turn["content"] for turn in clip.turns[-2:])
        yield {parts.timing: _timing("Hiding one frame after the other", running=True)}
        try:
            await send_if_gone(self._api, clip)
            told = await asyncio.to_thread(self._api.why, clip.file_id or "", question, answer, clip.face)
        except APIError as error:
            yield {parts.timing: _timing(""), parts.notice: alert("No reason", self._api.explain(error))}
            return
        clip.mattered, words = explain(told)
        yield {**self._changes(library, shown, token), parts.timing: _timing(words)}

    # ---- both ways ----

    def ways(self) -> Changes:
        """What can be compared: the first model, and beside it another or itself without a part."""
        try:
            found = ways(self._api.models())
        except APIError:
            return {self.parts.way_a: gr.skip()}
        second = found[1][1] if len(found) > 1 else found[0][1]
        return {
            self.parts.way_a: gr.update(choices=found, value=found[0][1]),
            self.parts.way_b: gr.update(choices=found, value=second),
        }

    async def compare(self, question: str, one: str | None, other: str | None, request: gr.Request) -> str:
        """The same question both ways."""
        clip = self._mine(request)[1].open_clip
        if clip is None or not clip.askable or not (one and other and question.strip()):
            return alert("Nothing to compare", "Open a clip, choose two ways and type a question.")
        try:
            names = {way: words for words, way in ways(await asyncio.to_thread(self._api.models))}
            both = [(names.get(way, way), way) for way in (one, other)]
            await send_if_gone(self._api, clip)
            return await compare(self._api, clip, question.strip(), both)
        except APIError as error:
            return alert("No answer", self._api.explain(error))

    # ---- showing ----

    def _mine(self, request: gr.Request) -> tuple[str, Library]:
        return self._libraries.of(request.session_hash or "")

    def _nothing(self) -> Changes:
        """No part changes; Gradio takes an empty dictionary for a part's value."""
        return {self.parts.timing: gr.skip()}

    def _take(self, library: Library, clips: list[Clip]) -> list[Clip]:
        added = library.add(clips)
        for clip in added:
            self._analyser.add(library, clip)
        return added

    def _choose_face(self, library: Library, clip: Clip, face: int) -> None:
        if clip.state == "ready" and clip.asking is None and face != clip.face:
            if clip.choose(face):
                self._analyser.add(library, clip, first=True)
            library.changed()

    def _open_linked(self, library: Library, name: str) -> None:
        for clip in sorted(library.clips.values(), key=lambda one: one.id != library.chosen):
            if name in (clip.id, clip.file_id, (clip.video or {}).get("id")):
                library.open(clip.id)
                return
        for clip in self._take(library, [Clip("linked clip", None, file_id=name)]):
            library.open(clip.id)

    def _changes(self, library: Library, shown: dict[str, Any], token: str) -> Changes:
        """All parts that differ from what is shown."""
        revision, clip = library.revision, library.open_clip
        values = self._values(library, clip)
        new = {name: hash(str(value)) for name, value in values.items()}
        changed = {name: value for name, value in values.items() if shown.get(name) != new[name]}
        changes: Changes = {getattr(self.parts, name): value for name, value in changed.items() if name != "clip"}
        if "clip" in changed:
            empty = READY_CHAT if clip and clip.askable else EMPTY_CHAT
            changes[self.parts.chat] = gr.update(value=clip.turns if clip else [], placeholder=empty)
            box = waiting() if not clip or not clip.askable else busy() if clip.asking else ready()
            changes |= {self.parts.question: gr.update(value="", **box), self.parts.timing: "", self.parts.notice: ""}
        return changes | {
            self.parts.shown: {**new, "revision": revision},
            self.parts.browser: library.remembered(token),
        }

    def _values(self, library: Library, clip: Clip | None) -> dict[str, Any]:
        scores, video = (clip.scores, clip.video) if clip else (None, None)
        taught = [row["name"] for row in scores["attributes"] if row["taught"]] if scores else []
        return {
            "table": clip_table(library) if len(library.clips) >= TABLE_FROM else "",
            "player": _player(clip),
            "faces": faces(clip) if clip else "",
            "timeline": timeline(video, scores, clip.mattered if clip else ()) if video else "",
            "result": result_card(clip) if clip else NO_RESULT,
            "profile": profile(scores, library.order, library.untaught) if scores else "",
            "chips": chips(taught) if clip and clip.askable and scores else "",
            "experts": expert_usage(video) if video else "",
            "facts": _facts(clip),
            "link": {"clip": video["id"]} if video else None,
            "clip": (clip.id, clip.face, clip.askable) if clip else None,
        }


def _player(clip: Clip | None) -> str:
    if clip is None:
        return EMPTY
    # What the browser plays is not known before the server has looked at the file.
    return player(f"/gradio_api/file={quote(str(clip.play))}", clip.name) if clip.play else player_waiting(clip.name)


def _timing(words: str, running: bool = False, *, why: bool = False) -> str:
    if running:
        return f'<p class="fc-timing" role="status" data-running="{escape(words)} ·"></p>'
    button = '<button type="button" class="fc-button" data-do="why">Why?</button>' if why else ""
    return f'<p class="fc-timing"><span role="status">{escape(words)}</span>{button}</p>'


def _facts(clip: Clip | None) -> str:
    if clip is None or clip.scores is None or clip.video is None:
        return "<p>What the model is made of and how it read the clip stands here once a clip is read.</p>"
    scores, video, face = clip.scores, clip.video, clip.scores["face"]
    rows = {
        "Model": f"{scores['model']}, revision {scores['revision']}",
        "Video": f"{video['id'][:16]}…, {video['width']} × {video['height']}, {video['fps']:.3g} frames/s, "
        f"{video['duration']:.2f} s",
        "Frames": f"{len(video['track']['timestamps'])} sampled, {len(video['experts']['timestamps'])} seen by the "
        "encoders as aligned crop and whole picture",
        "Face": f"{face['size_px']} pixels, sharpness {face['sharpness']}, in {face['visible']:.0%} of the frames",
    }
    return f"<dl>{''.join(f'<dt>{escape(k)}</dt><dd>{escape(v)}</dd>' for k, v in rows.items())}</dl>"
