"""Model: the starter, one of the catalogue, one on this machine, or one from the hub."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.home import STARTER, typed_path
from core.base.jobs import JobState, read_job, request_stop
from core.base.looks import kind_of, look
from core.fit import MemoryEstimate
from core.fit.search import four_bits_help
from core.models import (
    HUB_ID,
    ModelInfo,
    ModelSpec,
    cached_model,
    inspect_model,
    is_hub_id,
    model_folder,
    model_name,
)
from core.models.catalogue import CatalogueModel, load_catalogue
from core.models.download import download_job, read_download, start_download
from core.models.hub import endpoint, logged_in, token_page
from core.presets import suggested_models
from ui.bench import Bench
from ui.fit import steps_for
from ui.memo import stamp
from ui.models import (
    HubFacts,
    LocalModel,
    ask_hub,
    catalogue_spec,
    folder_spec,
    listed_model,
    models_here,
    search,
    try_token,
)
from ui.scene import Scene, scene_of
from ui.step import Step, Values, nothing
from ui.words import (
    VERDICTS,
    count,
    hub_id,
    inside,
    largest,
    memory,
    of_memory,
    where,
)

Line = tuple[str, str]
# licences that only want to be kept with what is passed on
_FREE = ("Apache-2.0", "MIT")
_ORDER = {"fits": 0, "tight": 1, "no": 2}
_FIRST = "Download the model first."


@dataclass(frozen=True)
class CatalogueRow:
    """A model of the catalogue with its verdict; `suggested` by the preset, `here` on this machine."""

    model: CatalogueModel
    estimate: MemoryEstimate
    suggested: bool
    here: bool


@dataclass(frozen=True)
class About:
    """What is known about the chosen model. `closed`: why the way on is closed; empty when it is open.

    `problem`: a mark and what is wrong. `info`: what lies in its folder, `whole` if the hub's hashes were
    compared; `listed`: its entry in the catalogue; `facts`: what the hub says; `spec`: its shapes. `waiting`:
    what is going on; `failure`: title, sentence, and the act and words of the button that tries again.
    `cached`: a copy of another program that can be used. `gated`: the id of a model whose makers want their
    terms accepted; `job`: its download, where one is possible.
    """

    closed: str = ""
    problem: tuple[str, str] | None = None
    info: ModelInfo | None = None
    whole: bool = False
    listed: CatalogueModel | None = None
    facts: HubFacts | None = None
    spec: ModelSpec | None = None
    waiting: str = ""
    failure: tuple[str, str, str, str] | None = None
    cached: Path | None = None
    gated: str = ""
    job: JobState | None = None


# ----- the lists


def _list(scene: Scene) -> Values | None:
    """The models of the chosen kind to choose from."""
    kind, words = scene.choices.model_kind, scene.bench.words
    if kind == "catalogue":
        return {"rows": catalogue_rows(scene), "basis": basis_words(scene), "free": _FREE}
    if kind == "folder":
        models = [(item, *_local_fit(scene, item)) for item in models_here(scene.bench)]
        return {"rows": models, "example": Path.home() / "models" / "my-model"}
    if kind != "hub":
        return None
    errand = scene.bench.errands.find(f"search {words}") if words else None
    models = errand.result if errand is not None and errand.status == "done" else []
    return {
        "words": words,
        "errand": errand,
        "rows": [(item, _listed_fit(scene, item.id)) for item in models],
    }


def _local_fit(scene: Scene, item: LocalModel) -> tuple[ModelSpec | None, MemoryEstimate | None, str]:
    """The shapes of a model that is here and what it takes, or why they can't be read."""
    try:
        spec = folder_spec(scene.bench, item.folder)
    except UserError as problem:
        return None, None, str(problem)
    return spec, scene.estimate(spec), ""


def _listed_fit(scene: Scene, name: str) -> MemoryEstimate | None:
    listed = listed_model(name)
    return None if listed is None else scene.estimate(catalogue_spec(scene.bench, listed))


def basis_words(scene: Scene) -> str:
    """What the verdicts rest on: machine, preset, recipe and data."""
    recipe, place = scene.recipe, scene.place
    usable = f"{memory(place.usable)} {where(place)} can be used"
    way = f"{recipe.method_title}, rank {recipe.rank}, rows of up to {recipe.max_length:,} tokens"
    data = f" The longest row of your data has {scene.lengths.longest:,}." if scene.lengths else ""
    return f"{usable}. Checked with the preset “{scene.preset.title}”: {way}.{data}"


def suggestions(scene: Scene) -> tuple[str, ...]:
    """Ids of the models that the preset suggests for this hardware."""
    return suggested_models(scene.preset, scene.machine.best_gpu)


def catalogue_rows(scene: Scene) -> list[CatalogueRow]:
    """All models of the catalogue: suggested ones first, then what fits, from small to large."""
    suggested = suggestions(scene)
    here = {item.name for item in models_here(scene.bench)}

    def order(row: CatalogueRow) -> tuple[int, int, int]:
        first = suggested.index(row.model.id) if row.suggested else len(suggested)
        return first, _ORDER[row.estimate.verdict], row.model.parameters

    rows = [
        CatalogueRow(
            model,
            scene.estimate(catalogue_spec(scene.bench, model)),
            model.id in suggested,
            model.id in here,
        )
        for model in load_catalogue()
    ]
    return sorted(rows, key=order)


# ----- the chosen model


def _chosen(scene: Scene) -> Values:
    """What was found out about the chosen model, and the way on."""
    choices = scene.choices
    about = _ABOUT.get(choices.model_kind, _starter)(scene)
    loading = bool(choices.model) and not about.closed and read_download(scene.home, choices.model).active
    values: Values = {"title": _title(scene), "about": about, "loading": loading, "free": _FREE}
    values["fit"] = fit_lines(scene, about.spec) if about.spec is not None else []
    if about.gated:
        values["login"] = scene.bench.errands.find("login")
        values["page"] = f"{endpoint()}/{about.gated}"
        values["token_page"], values["logged_in"] = token_page(), logged_in()
    return values


def _title(scene: Scene) -> str:
    """What the chosen model is called; empty while there is none."""
    choices = scene.choices
    if choices.model_kind == "folder":
        return model_name(Path(choices.folder)) if choices.folder else ""
    if choices.model == STARTER:
        return "SmolLM2 135M Instruct"
    listed = listed_model(choices.model)
    return listed.title if listed is not None else choices.model


def _starter(scene: Scene) -> About:
    if scene.bench.starter_ready():
        return _here(scene, model_folder(scene.home, STARTER))
    errand = scene.bench.errands.find("starter")
    if errand is not None and errand.status == "failed":
        failure = ("The starter model could not be unpacked", errand.message, "build-starter", "Try again")
        return About(failure=failure, closed="The model isn't ready.")
    return About(waiting="Unpacking the starter model: once, about 15 s. You can go on meanwhile.")


def _catalogue(scene: Scene) -> About:
    name = scene.choices.catalogue
    return _on_hub(scene, name) if name else About(closed="Choose a model from the list first.")


def _folder(scene: Scene) -> About:
    folder = scene.choices.folder
    if not folder:
        return About(closed="Choose a model, or type its folder, first.")
    try:
        return _here(scene, typed_path(folder))
    except UserError as problem:
        return About("This folder can't be used as it is.", ("bad", str(problem)))


def _hub(scene: Scene) -> About:
    name = scene.choices.hub
    if not name:
        return About(closed="Search for a model, or type its id, first.")
    if not HUB_ID.fullmatch(name):
        words = f"“{name}” is not a hub id. It looks like owner/name, for example Qwen/Qwen3-0.6B."
        return About("This is not a hub id.", ("bad", words))
    return _on_hub(scene, name)


_ABOUT = {STARTER: _starter, "catalogue": _catalogue, "folder": _folder, "hub": _hub}


def _on_hub(scene: Scene, name: str) -> About:
    """A model with a hub id: here, in the cache of another program, in the catalogue, or only on the hub."""
    folder = model_folder(scene.home, name)
    listed = listed_model(name)
    job = read_download(scene.home, name)
    if folder.is_dir():
        try:
            return _here(scene, folder, listed=listed, whole=job.status == "done")
        except UserError as problem:
            return About("What is here of the model can't be used.", ("bad", str(problem)), job=job)
    # the data can be looked at meanwhile; Start says so if the model is still missing then
    closed = "" if job.active else _FIRST
    gated = name if listed is not None and listed.gated else ""
    copy = cached_model(name)
    if copy is not None:
        try:
            return _here(scene, copy, listed=listed, closed=closed, cached=copy)
        except UserError as problem:
            words = f"The copy in the Hugging Face cache can't be used: {problem}"
            return About(closed, ("warn", words), gated=gated, job=job)
    if listed is not None:
        spec = catalogue_spec(scene.bench, listed)
        return About(closed, listed=listed, spec=spec, gated=gated, job=job)
    return _asked(scene, name, job, closed)


def _asked(scene: Scene, name: str, job: JobState, closed: str) -> About:
    """A model that only the hub knows: what it says of it."""
    errand = ask_hub(scene.bench, name)
    facts: HubFacts | None = errand.result
    if facts is None:
        unknown = closed and "The hub has to say first what this model is."
        if errand.status == "running":
            return About(closed=unknown, waiting=f"Asking the hub about {name}")
        failure = ("The hub could not be asked", errand.message, "ask", "Ask again")
        return About(closed=unknown, failure=failure, job=None if job.status == "none" else job)
    return About(closed, facts=facts, spec=facts.spec, gated=name if facts.gated else "", job=job)


def _here(scene: Scene, folder: Path, **more: Any) -> About:
    """A model that is on this machine. A UserError says what is wrong with it."""
    kind_of(folder)  # refuses a disk that doesn't answer
    parts = (folder, stamp(folder, folder / "config.json", folder / "tokenizer_config.json"))
    info = scene.bench.memo.get(
        "inspected", parts, lambda: look(folder, partial(inspect_model, folder)), for_s=3.0
    )
    return About(info=info, spec=folder_spec(scene.bench, folder), **more)


def fit_lines(scene: Scene, spec: ModelSpec) -> list[Line]:
    """The verdict on a model as a sentence; where it does not fit, what would make it fit."""
    estimate, place, recipe = scene.estimate(spec), scene.place, scene.recipe
    taken = f"a training takes about {of_memory(estimate.total, estimate.usable)} {where(place)}"
    guess = "" if spec.exact else " Its shapes are estimated, so this is a rough count."
    if estimate.verdict == "fits":
        return [("ok", f"Fits: {taken}.{guess}")]
    if estimate.verdict == "tight":
        return [("warn", f"Tight: {taken}. Other programs must leave the rest alone meanwhile.{guess}")]
    helps = four_bits_help(recipe, spec, place, scene.lengths)
    words = largest(estimate, recipe.quantization == "nf4", helps)
    return [("bad", f"{VERDICTS['no'][1]} as it is: {taken}. {words}{guess}"), ("info", _remedy(scene, spec))]


def _remedy(scene: Scene, spec: ModelSpec) -> str:
    """What would make it fit, in a sentence."""
    steps = steps_for(scene, spec)
    if not steps or steps[-1].total > scene.place.usable:
        least = f" {memory(steps[-1].total)} is the least that it takes." if steps else ""
        return f"No setting makes it fit here.{least} {_instead(scene, spec)}"
    changes = ", ".join(inside(step.words.split(":")[0]) for step in steps)
    return (
        f"It would fit with {memory(steps[-1].total)} after {count(len(steps), 'change')}: {changes}. "
        "“Make it fit” in the Preset step does that for you."
    )


def _instead(scene: Scene, spec: ModelSpec) -> str:
    """The largest model of the catalogue that fits, of the same family and kind if there is one."""
    fitting = [
        model
        for model in load_catalogue()
        if scene.estimate(catalogue_spec(scene.bench, model)).verdict == "fits"
    ]
    chosen = listed_model(spec.name)
    kind = chosen and (chosen.family, chosen.kind)
    kin = [model for model in fitting if (model.family, model.kind) == kind]
    if kin:
        return f"The largest of its family that fits is {kin[-1].title}."
    return f"The largest of the catalogue that fits is {fitting[-1].title}." if fitting else ""


def _loads(scene: Scene) -> Values | None:
    """Downloads of other models than the chosen one, so that what runs is found again and can be stopped."""
    folders = sorted(path.parent for path in (scene.home.models / ".downloads").glob("*/state.json"))
    lines = [(folder.name.replace("--", "/", 1), read_job(folder)) for folder in folders]
    lines = [(name, job) for name, job in lines if job.active and name != scene.choices.model]
    return {"lines": lines} if lines else None


# ----- what the person does


def _text(value: Any) -> str:
    return str(value).strip()


def _choose_kind(bench: Bench, value: Any) -> None:
    """Another kind; the catalogue starts with what suits the hardware."""
    kind = _text(value)
    first = next(iter(suggestions(scene_of(bench))), "")
    catalogue = bench.choices().catalogue or (first if kind == "catalogue" else "")
    bench.choose(model_kind=kind, catalogue=catalogue)


def _ask_hub(bench: Bench, value: Any) -> None:
    """An id is chosen; other words are searched for."""
    name = hub_id(_text(value))
    if is_hub_id(name):
        bench.words = ""
        bench.choose(hub=name, model_kind="hub")
    else:
        search(bench, name, again=True)


def _choose(bench: Bench, kind: str, value: Any) -> None:
    bench.choose(**{kind: _text(value).strip('"')}, model_kind=kind)


def _search_again(bench: Bench, value: Any) -> None:
    """Ask once more what could not be answered."""
    errand = bench.errands.find(f"search {bench.words}")
    if errand is None or errand.status == "failed":
        search(bench, bench.words, again=True)


def _log_in(bench: Bench, value: Any) -> None:
    if bench.errands.find("login") is None:
        raise UserError("Paste the token into the field first.")


def _stop_download(bench: Bench, value: Any) -> None:
    request_stop(download_job(bench.home, str(value) or bench.choices().model))


class ModelStep(Step):
    name = "model"
    title = "Model"
    order = 10
    question = "Which model do you start from?"
    help = "Training teaches an existing model something new. A small one learns fast; a big one knows more."
    parts = {
        "model-kind": nothing,
        "model-filter": nothing,
        "model-list": _list,
        "model-panel": _chosen,
        "model-loads": _loads,
    }
    edits = {
        "model": _choose_kind,
        "catalogue": lambda bench, value: _choose(bench, "catalogue", value),
        "folder": lambda bench, value: _choose(bench, "folder", value),
        "hub": _ask_hub,
        "hub-found": lambda bench, value: _choose(bench, "hub", value),
        "hub-token": lambda bench, value: try_token(bench, _text(value)),
    }
    acts = {
        "download": lambda bench, _: start_download(bench.home, bench.choices().model),
        "stop-download": _stop_download,
        "use-folder": lambda bench, value: _choose(bench, "folder", value),
        "search": _search_again,
        "ask": lambda bench, _: ask_hub(bench, bench.choices().model, again=True),
        "log-in": _log_in,
        "build-starter": lambda bench, _: bench.build_starter(),
    }
