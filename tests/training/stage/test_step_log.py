import time

from favchat.training.stage.step_log import StepFile, progress_bar, read_steps

METRICS = {"language_loss": 1.0, "tokens_per_second": 10.0}


def test_the_step_file_goes_on_after_a_checkpoint(tmp_path):
    path = tmp_path / "stage" / "steps.jsonl"
    first = StepFile(path, after=0)
    for step in (1, 2, 3):
        first.add(step, {"language_loss": float(step)})
    with path.open("a") as file:
        file.write('{"step": 4, "lan')  # killed midway
    assert [line["step"] for line in read_steps(path)] == [1, 2, 3]
    elapsed = read_steps(path)[1]["elapsed"]
    again = StepFile(path, after=2)
    again.add(3, {"language_loss": 30.0})
    lines = read_steps(path)
    assert [line["language_loss"] for line in lines] == [1.0, 2.0, 30.0]
    assert lines[2]["elapsed"] >= elapsed


def test_a_log_gets_a_line_at_each_tenth_and_hears_of_a_restart(tmp_path, capsys):
    path = tmp_path / "steps.jsonl"
    with progress_bar(path, "questions", 40):
        file = StepFile(path, after=0)
        for step in range(1, 31):
            file.add(step, METRICS)
    said = [line for line in capsys.readouterr().err.splitlines() if line]
    assert [line.split(",")[0] for line in said] == [f"train questions: {n} of 40 steps" for n in range(4, 31, 4)]
    assert said[0].startswith("train questions: 4 of 40 steps, loss 1.000, 10 tokens/s, ")
    assert said[0].endswith(" left")


def test_a_restart_is_said_and_what_was_said_is_not_said_again(tmp_path, capsys):
    path = tmp_path / "steps.jsonl"
    first = StepFile(path, after=0)
    for step in (1, 2, 3):
        first.add(step, METRICS)
    with progress_bar(path, "questions", 10):
        time.sleep(0.5)
        StepFile(path, after=2).add(3, METRICS)
    said = [line.split(",")[0] for line in capsys.readouterr().err.splitlines() if line]
    assert said == [
        f"train questions: {words}" for words in ("1 of 10 steps", "2 of 10 steps", "3 of 10 steps", *AGAIN)
    ]


AGAIN = ("goes on after step 2", "3 of 10 steps")
