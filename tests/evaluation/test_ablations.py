"""The benchmark that leaves parts of the model out: its variants, its tables, and one small run."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import ablations
from benchmarks.ablations import (
    EMOTION,
    FULL,
    VARIANTS,
    Asked,
    family_table,
    planned,
    pooled,
    question_table,
    variant_of,
)
from favchat.data.corpus.parquet_files import write_whole
from favchat.evaluation.asking.eval_question import EvalQuestion
from favchat.evaluation.evaluate import PREDICTIONS
from favchat.evaluation.scoring.metrics import Answers, plain
from favchat.evaluation.scoring.predictions import predictions, table_of
from favchat.labels.attributes import EMOTION as EMOTIONS
from favchat.model.adapter import FaVChatAdapter, active_parameters
from favchat.model.build import architecture

WORDS = tuple(emotion.phrase for emotion in EMOTIONS)
CLIPS = 48


def test_each_variant_leaves_out_what_its_name_says(tiny_preset, tmp_path):
    configs = {name: variant_of(tiny_preset, name, 3, tmp_path / name) for name in VARIANTS}
    adapters = {name: architecture(config.model).adapter_config for name, config in configs.items()}
    assert configs[FULL].model == tiny_preset.model
    assert {config.seed for config in configs.values()} == {3}
    assert len({config.training.out for config in configs.values()}) == len(VARIANTS)
    assert adapters["no_face_encoder"].face_grid == 0
    assert adapters["no_general_encoder"].vision_grid == 0
    assert list(adapters["last_level"].face_sizes) == list(adapters[FULL].face_sizes)[-1:]
    # As many parameters for each token, but for the router's rows.
    router = adapters[FULL].hidden_size * (adapters[FULL].num_experts - 1)
    assert active_parameters(adapters[FULL]) - active_parameters(adapters["dense"]) == router
    whole, apart = (FaVChatAdapter(adapters[name]) for name in (FULL, "no_injection"))
    assert (len(whole.level_proj), len(whole.fused_proj)) == (2, 0)
    assert (len(apart.level_proj), len(apart.fused_proj)) == (0, 2)


def test_the_last_of_the_chosen_levels_is_kept(tiny_preset):
    adapter = tiny_preset.model.adapter.model_copy(update={"face_levels": [0, 1]})
    config = tiny_preset.model_copy(update={"model": tiny_preset.model.model_copy(update={"adapter": adapter})})
    assert variant_of(config, "last_level", 0, ablations.Path("x")).model.adapter.face_levels == [1]


def asked(seed: int) -> Asked:
    random = np.random.default_rng(seed)
    truth = np.arange(CLIPS) % 3
    said = np.where(random.random(CLIPS) < 0.6, truth, random.integers(0, 3, CLIPS))
    clips = tuple(f"clip{number}" for number in range(CLIPS))
    return Asked(clips, tuple(f"person{number // 2}" for number in range(CLIPS)), Answers(truth, said, 3))


def test_the_main_variants_alone_get_all_seeds():
    assert planned([0, 1], [FULL, "dense"], [FULL]) == [(0, FULL), (0, "dense"), (1, FULL)]


def test_pooled_seeds_have_the_means_of_the_seeds():
    seeds = [asked(seed) for seed in range(3)]
    together, people = pooled(seeds)
    for metric in ("war", "uar"):
        assert plain(together)[metric] == pytest.approx(np.mean([plain(one.answers)[metric] for one in seeds]))
    assert len(np.unique(people)) == CLIPS // 2
    other = Asked(seeds[0].clips[::-1], seeds[0].people, seeds[0].answers)
    with pytest.raises(SystemExit, match="different clips"):
        pooled([seeds[0], other])


def write_report(folder, right: list[bool]):
    """The emotion of each clip, answered rightly or as the next one."""
    items = [
        EvalQuestion(
            "celebv_hq_emotion", "clip", f"clip{n:02}", f"person{n // 2}", "val", "likelihood", "?", WORDS, truth=n % 4
        )
        for n in range(CLIPS)
    ]
    answers = {}
    for item, hit in zip(items, right, strict=True):
        sums = np.zeros(len(WORDS))
        sums[((item.truth or 0) + (not hit)) % len(WORDS)] = 5.0
        answers[item.key] = {
            "raw": None,
            "log_likelihoods": sums.tolist(),
            "prior": [0.0] * len(WORDS),
            "tokens": [1] * len(WORDS),
            "error": None,
        }
    folder.mkdir(parents=True)
    write_whole(table_of(predictions(items, answers, "none")), folder / PREDICTIONS)
    majority = {"part": "clip", "way": "likelihood", "metrics": {"war": {"majority": 0.25}, "uar": {"majority": 0.25}}}
    (folder / "metrics.json").write_text(json.dumps({"tasks": {"celebv_hq_emotion": {"results": [majority]}}}))
    return folder


def test_a_table_has_means_spread_and_a_test_against_the_full_model(tmp_path):
    shares = {(FULL, 0): 1.0, (FULL, 1): 0.75, ("dense", 0): 0.5, ("dense", 1): 0.5}
    runs = [
        SimpleNamespace(
            variant=name,
            seed=seed,
            report=write_report(tmp_path / name / str(seed), [n < share * CLIPS for n in range(CLIPS)]),
        )
        for (name, seed), share in shares.items()
    ]
    lines = question_table(EMOTION, runs, "likelihood", 200)
    rows = {cells[0]: cells[1:] for cells in ([c.strip() for c in line.strip("|").split("|")] for line in lines[4:])}
    assert rows["always the most frequent"][1] == "0.250"
    assert rows[FULL][0] == "2"
    assert rows[FULL][1].startswith("0.875 [")
    assert rows[FULL][2] == f"{np.std([1.0, 0.75], ddof=1):.3f}"
    assert rows[FULL][6:] == [""] * 4
    assert rows["dense"][1].startswith("0.500 [")
    assert rows["dense"][2] == "0.000"
    assert rows["dense"][6].startswith("-0.375 [-0.")
    assert float(rows["dense"][7]) < 0.05
    assert question_table("nod", runs, "likelihood", 200)[-1] == "Not labelled in this corpus."


def test_families_have_means_and_differences_by_person(tmp_path):
    def report(name: str, wrong: int):
        """48 clips asked about a hat and a beard; the first `wrong` answers about hats are wrong."""
        items, answers = [], {}
        for part in ("wearing_hat", "goatee"):
            for n in range(CLIPS):
                clip, person = f"c{n:02}", f"p{n // 2}"
                one = EvalQuestion(
                    "celebv_hq_attributes", part, clip, person, "val", "scores", part, ("Yes", "No"), truth=n % 2
                )
                items.append(one)
                said = 1 - n % 2 if part == "wearing_hat" and n < wrong else n % 2
                sums = [5.0 * (option == said) for option in range(2)]
                more = {"log_likelihoods": sums, "prior": [0.0, 0.0], "tokens": [1, 1], "error": None}
                answers[one.key] = {"raw": None} | more
        folder = tmp_path / name
        folder.mkdir()
        write_whole(table_of(predictions(items, answers, "none")), folder / PREDICTIONS)
        return SimpleNamespace(variant=name.partition("-")[0], seed=int(name[-1]), report=folder)

    runs = [report(f"{FULL}-0", 0), report(f"{FULL}-1", 12), report("dense-0", 24)]
    lines = family_table(runs, "scores", 200)
    rows = {cells[0]: cells[1:] for cells in ([c.strip() for c in line.strip("|").split("|")] for line in lines[6:])}
    assert rows["accessories"][:4] == ["1", "0.875", f"{np.std([1.0, 0.75], ddof=1):.3f}", "0.500"]
    assert rows["accessories"][5].startswith("-0.500 [-0.")
    assert rows["facial hair"][1:4] == ["1.000", "0.000", "1.000"] and rows["facial hair"][5].startswith("+0.000")
    assert rows["all"][:2] == ["2", "0.938"] and rows["all"][3] == "0.750"
    assert "No attribute" in family_table(runs, "likelihood", 10)[-1]


def test_variants_are_trained_evaluated_and_not_repeated(corpus, new_store, tmp_path, monkeypatch, capsys):
    settings = [
        "training.stages=[{name: questions, task: qa, batch_size: 2, trainable: [adapter], cache_features: false}]",
        "training.val_answers=0",
        "training.val_batches=1",
        "evaluation.max_clips=2",
        "evaluation.resamples=100",
        "evaluation.threads=1",
        f"tracking.uri={new_store(tmp_path / 'mlflow.db')}",
    ]
    words = ["ablations.py", str(corpus), "tiny", "--variants", FULL, "no_face_encoder", "--seeds", "1", "--steps", "1"]
    words += ["--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "table.md"), "--set", *settings]
    monkeypatch.setattr("sys.argv", words)
    ablations.main()
    table = (tmp_path / "table.md").read_text()
    assert f"## {EMOTION}" in table and "| no_face_encoder | face_grid: 0 |" in table
    steps = tmp_path / "runs/no_face_encoder/seed-1/run/stages/questions/steps.jsonl"
    before = steps.stat().st_mtime_ns
    monkeypatch.setattr("favchat.training.curriculum._fit", lambda *_: pytest.fail("trained again"))
    monkeypatch.setattr("favchat.evaluation.asking.runner._rows", lambda *_: pytest.fail("asked again"))
    ablations.main()
    assert steps.stat().st_mtime_ns == before
    assert (tmp_path / "table.md").read_text() == table
    assert capsys.readouterr().out.count("seed 1: trained") == 4
