"""The template writer: it never claims what nobody labelled, writes the same for the same clip, and writes English."""

import re
from collections import Counter, defaultdict
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from favchat.data.annotate import formal_templates
from favchat.data.annotate.attribute_questions import (
    Question,
    QuestionGroup,
    choice_groups,
    joint_groups,
    open_groups,
    yes_no_groups,
)
from favchat.data.annotate.emotion_questions import change_groups, emotion_groups
from favchat.data.annotate.grammar import article, joined, seconds
from favchat.data.annotate.known_labels import known_labels_of
from favchat.data.annotate.label_check import check, truths
from favchat.data.annotate.rows import CHANGE, Annotation, table_of
from favchat.data.annotate.template_writer import TemplateWriter, balanced
from favchat.data.corpus.clip import Clip, EmotionSegment
from favchat.data.corpus.schema import TEXT_SCHEMA
from favchat.labels.attributes import ACTION, APPEARANCE, EMOTION, FAMILIES, Attribute, attribute
from favchat.labels.confusable import are_confusable
from tests.data.annotate.conftest import make_clip

WRITER = TemplateWriter(seed=0, summaries=3, questions=60)


def seeded(seed: int) -> Random:
    return Random(seed)


def answers(clip: Clip) -> list[str]:
    return [row.answer for row in WRITER.rows(clip)]


def written(units: list[QuestionGroup]) -> list[Question]:
    return [write() for unit in units for write in unit]


def random_clips(count: int, known: float, seed: int = 0, split: str = "train") -> list[Clip]:
    """Clips of which a share of the labels is known; one in five changes its emotion."""
    random = seeded(seed)
    clips = []
    for number in range(count):
        labels = {a.name: int(random.random() < 0.3) for a in (*APPEARANCE, *ACTION) if random.random() < known}
        segments = [("neutral", 0.0, 1.2), (random.choice(EMOTION[1:]).name, 1.2, 3.0)] if number % 5 == 0 else ()
        emotion = None if segments else random.choice(EMOTION).name
        clips.append(make_clip(f"{split}{number}", emotion, segments, split, **labels))
    return clips


emotions = st.sampled_from([emotion.name for emotion in EMOTION])
label_vectors = st.tuples(
    st.lists(st.sampled_from([None, None, 0, 1]), min_size=40, max_size=40),
    st.lists(st.sampled_from([None, None, 0, 1]), min_size=35, max_size=35),
    st.none() | emotions,
    st.lists(emotions, max_size=4),
    st.integers(0, 10**6),
)


def clip_of(vectors: Any) -> Clip:
    appearance, action, emotion, course, number = vectors
    segments = [EmotionSegment(name, float(index), index + 1.0) for index, name in enumerate(course)]
    emotion = emotion if not segments else None
    return Clip(str(number), "/v", appearance=appearance, action=action, emotion=emotion, emotion_segments=segments)


def mentions(text: str, of: Attribute) -> bool:
    """Whether a text speaks of an attribute, by the words that only it uses."""
    phrase = of.phrase.replace("wearing ", "").replace("closing {their} eyes", "closing")
    phrase = re.sub(r"^an? ", "", phrase.replace(" under {their} eyes", "").replace("{their} ", ""))
    if of.name in ("wagging", "shake_head", "head_wagging", "turn"):
        phrase = of.phrase.split(" ")[0]
    words = {"male": r"(fe)?male|wo?man|\bs?he\b|\bhis\b|\bher\b", "young": "young", "long_hair": "long.* hair"}
    words |= {name: f"{attribute(name).phrase.split(' ')[0]}.* hair" for name in ("straight_hair", "wavy_hair")}
    return re.search(words.get(of.name, rf"\b{re.escape(phrase)}\b"), text, re.IGNORECASE) is not None


ROWS_CHECKED: Counter[str] = Counter()


@settings(max_examples=300, deadline=None)
@given(label_vectors)
def test_no_row_speaks_of_an_unknown_attribute(vectors: Any) -> None:
    clip = clip_of(vectors)
    facts = known_labels_of(clip)
    known = truths(facts)
    unknown = [a for a in (*APPEARANCE, *ACTION, *EMOTION) if a.name not in known]
    order = tuple(segment.emotion for segment in facts.segments)
    rows = WRITER.rows(clip)
    ROWS_CHECKED["rows"] += len(rows)
    for row in rows:
        assert not {a.name for a in unknown} & set(row.attributes), row
        for of in unknown:
            assert not mentions(row.answer, of), (of.name, row)
        # A second opinion, by the vocabulary that checks the texts of models.
        found = check(row.question, row.answer, row.answer_type, known, order)
        assert found.neutral == found.contradicted == (), (found, row)
    if not facts.emotions:
        assert all(row.family not in ("emotion", CHANGE) for row in rows)


def test_ten_thousand_rows_were_checked() -> None:
    if not ROWS_CHECKED:
        pytest.skip("counts what the test before it did")
    assert ROWS_CHECKED["rows"] >= 10_000


@settings(max_examples=40, deadline=None)
@given(label_vectors)
def test_yes_and_no_follow_the_labels(vectors: Any) -> None:
    clip = clip_of(vectors)
    known = truths(known_labels_of(clip))
    for row in WRITER.rows(clip):
        assert (row.truth is not None) == (row.answer_type == "yes_no" or row.answer.startswith(("Yes", "No,")))
        if row.truth is not None:
            assert row.answer.startswith("Yes" if row.truth else "No"), row
        if row.answer_type == "yes_no" and "male" not in row.attributes and row.family != "emotion":
            asked = known[row.attributes[0]] if row.level == "one" else all(known[name] for name in row.attributes)
            assert asked is row.truth, row


def test_the_same_clip_gives_the_same_rows_whatever_else_is_written() -> None:
    clip = make_clip("b", "happy", male=1, smile=1, nod=0, bangs=1)
    first = TemplateWriter(seed=3).rows(clip)
    TemplateWriter(seed=3).rows(make_clip("a", "fear", bald=1))
    assert TemplateWriter(seed=3).rows(clip) == first
    assert TemplateWriter(seed=4).rows(clip) != first


def test_a_clip_of_which_nothing_is_known_has_no_rows() -> None:
    assert WRITER.rows(make_clip()) == []


@pytest.mark.parametrize("budget", [1, 5, 12])
def test_the_first_question_is_about_the_emotion_and_the_budget_holds(budget: int) -> None:
    writer = TemplateWriter(questions=budget, summaries=2)
    for clip in (
        make_clip("a", "disgust", male=0, smile=0, talk=1, bangs=1, eyeglasses=0),
        make_clip("b", segments=[("neutral", 0.0, 1.0), ("happy", 1.0, 2.0)], male=1, talk=1, nod=0),
    ):
        rows = writer.rows(clip)
        questions = [row for row in rows if row.task == "qa"]
        assert questions[0].family == ("emotion" if clip.emotion else CHANGE)
        assert len(questions) <= budget
        assert 1 <= len(rows) - len(questions) <= 2


def test_every_family_is_asked_about_at_every_level() -> None:
    rows = [row for clip in random_clips(400, 1.0) for row in TemplateWriter().rows(clip)]
    questions = [row for row in rows if row.task == "qa"]
    assert {row.family for row in questions} == {*FAMILIES, CHANGE, "several"}
    assert {row.level for row in questions} == {"one", "several", "time", "description"}
    assert {row.answer_type for row in questions} == {"yes_no", "choice", "open", "temporal"}


def test_every_family_has_at_least_twelve_phrasings() -> None:
    """Questions that differ in more than whom and what they ask about."""
    masks = [
        re.escape(a.phrase.format(their=their))
        for a in (*APPEARANCE, *ACTION, *EMOTION)
        for their in ("his", "her", "their")
    ]
    mask = re.compile("|".join(sorted(masks, key=len, reverse=True)))
    found: defaultdict[str, set[str]] = defaultdict(set)
    for clip in random_clips(1500, 0.5):
        for row in TemplateWriter(questions=40).rows(clip):
            found[row.family if row.task == "qa" else "summary"].add(
                re.sub(r"\b(?:man|woman|male|female)\b", "person", mask.sub("X", row.question))
            )
    for family in (*FAMILIES, CHANGE, "several", "summary"):
        assert len(found[family]) >= 12, (family, found[family])
    for options in (
        formal_templates.OPEN,
        formal_templates.EXPRESSION,
        formal_templates.CHANGES,
        formal_templates.STAYS,
        formal_templates.COURSE,
    ):
        assert len(set(options)) >= 12
    for kinds in (
        *formal_templates.CHOICES.values(),
        *formal_templates.OPEN_OF_FAMILY.values(),
        formal_templates.SEX,
        formal_templates.OPENINGS,
    ):
        assert len(set(kinds)) >= 12


@pytest.mark.parametrize("known", [1.0, 0.4, 0.1])
def test_yes_and_no_are_as_frequent_in_every_family_of_every_split(known: float) -> None:
    clips = random_clips(300, known) + random_clips(60, known, seed=1, split="val")
    rows = balanced([row for clip in clips for row in TemplateWriter().rows(clip)], seed=0)
    answers: defaultdict[tuple[str, str], Counter[bool]] = defaultdict(Counter)
    for row in rows:
        if row.truth is not None:
            answers[row.split, row.family][row.truth] += 1
    assert len(answers) > 20
    for key, counts in answers.items():
        assert counts[True] == counts[False], key


def test_a_family_that_is_answered_alike_everywhere_is_left_as_it_is() -> None:
    rows = [row for number in range(5) for row in TemplateWriter().rows(make_clip(str(number), big_nose=0))]
    assert [row.truth for row in balanced(rows, 0) if row.task == "qa"] == [False] * 5


def test_a_false_statement_that_goes_with_a_true_one_is_preferred() -> None:
    facts = known_labels_of(make_clip(smile=1, laugh=0, cough=0, smoke=0, black_hair=1, brown_hair=0, bald=0))
    for seed in range(20):
        pairs, _ = yes_no_groups(facts, seeded(seed))
        questions = written(pairs)
        for question in questions:
            if question.truth is False:
                assert question.hard_negative
                assert question.attributes[0].name in ("laugh", "brown_hair")
    rows = [row for clip in random_clips(200, 1.0) for row in TemplateWriter().rows(clip)]
    denied = [row for row in rows if row.truth is False and row.family in ("hair", "action", "emotion")]
    shares = Counter(row.hard_negative for row in denied)
    assert shares[True] > 2 * shares[False] > 0
    assert are_confusable("fear", "surprise") and not are_confusable("fear", "smile")


def test_pairs_of_yes_and_no_come_from_one_family() -> None:
    clip = make_clip(
        black_hair=1, blonde_hair=0, smile=1, nod=0, eyeglasses=1, wearing_hat=0, big_nose=0, double_chin=0
    )
    pairs, singles = yes_no_groups(known_labels_of(clip), seeded(0))
    found = sorted((q.family, q.truth) for q in written(pairs))
    assert found == sorted((f, t) for f in ("hair", "action", "accessories") for t in (True, False))
    assert sorted((q.family, q.truth) for q in written(singles)) == [("face shape", False), ("nose", False)]


def test_the_noun_and_the_pronouns_follow_the_label_male() -> None:
    for male, he, others in ((1, "he", "she|they|woman"), (0, "she", "he|they|man")):
        rows = WRITER.rows(make_clip(emotion="happy", male=male, smile=1, nod=0, close_eyes=1))
        text = " ".join(row.answer for row in rows).lower()
        assert re.search(rf"\b{he}\b", text)
        assert not re.search(rf"\b({others})\b", text)
    text = " ".join(answers(make_clip(emotion="happy", smile=1, nod=0, close_eyes=1))).lower()
    assert re.search(r"\bthey (are|look)\b", text)
    assert not re.search(r"\b(he|she|his|her|man|woman|they (is|has|looks|does|seems))\b", text)


def test_a_question_about_the_sex_does_not_give_the_answer_away() -> None:
    asked = Counter()
    for clip_id in map(str, range(60)):
        for row in WRITER.rows(make_clip(clip_id, male=1, bangs=0)):
            if row.answer_type == "yes_no" and list(row.attributes) == ["male"]:
                word = re.search(r"\b(man|woman|male|female)\b", row.question)
                assert word and (word.group(1) in ("man", "male")) is row.truth, row
                asked[row.truth] += 1
    assert asked[True] == asked[False] > 0


def test_age_and_sex_are_a_pair() -> None:
    for young in (0, 1):
        pairs, _ = yes_no_groups(known_labels_of(make_clip(male=0, young=young)), seeded(0))
        assert sorted((q.attributes[0].name, q.truth) for q in written(pairs)) == [
            ("male", not young),
            ("young", bool(young)),
        ]


def test_no_beard_reads_as_english() -> None:
    without, bearded = answers(make_clip(male=1, no_beard=1)), answers(make_clip(male=1, no_beard=0))
    assert any("no beard" in text for text in without)
    assert any("a beard" in text for text in bearded)
    assert not any("no no" in text or "a no" in text for text in without + bearded)


def test_hair_is_one_phrase() -> None:
    clip = make_clip(male=0, long_hair=1, wavy_hair=1, brown_hair=1, bangs=1)
    (hair,) = [q for q in written(open_groups(known_labels_of(clip), seeded(0))) if q.family == "hair"]
    assert hair.answer in (
        "She has long wavy brown hair and bangs.",
        "The woman has long wavy brown hair and bangs.",
    )


def test_what_is_chosen_from_is_known() -> None:
    clip = make_clip(male=0, smile=1, nod=0, talk=0, black_hair=1, brown_hair=0, pointy_nose=1, big_nose=0)
    for seed in range(30):
        for question in written(choice_groups(known_labels_of(clip), seeded(seed))):
            if question.family == "action":
                assert "smiling" in question.question and re.search("nodding|talking", question.question)
                assert re.search("smiling", question.answer, re.IGNORECASE)
            if question.family == "nose":
                assert "a pointy nose" in question.question and "a big nose" in question.question


def test_half_of_the_choices_of_an_emotion_offer_all_emotions() -> None:
    facts = known_labels_of(make_clip(emotion="anger"))
    offered = []
    for seed in range(200):
        (question,) = [q for q in written(emotion_groups(facts, seeded(seed))) if q.answer_type == "choice"]
        assert "angry" in question.question and "angry" in question.answer.lower()
        offered.append(sum(emotion.phrase in question.question for emotion in EMOTION))
    assert set(offered) == {2, 3, 4, len(EMOTION)}
    assert 80 < offered.count(len(EMOTION)) < 120


def test_two_statements_at_once() -> None:
    clip = make_clip(male=0, smile=1, young=1, nod=0)
    for seed in range(20):
        questions = {q.truth: q for q in written(joint_groups(known_labels_of(clip), seeded(seed)))}
        if questions:
            assert "young and smiling" in questions[True].question
            assert questions[True].answer == "Yes, she is young and smiling."
            assert questions[False].answer == "No, she is young but not nodding."


def test_an_emotion_that_changes_is_told_in_order_with_its_times() -> None:
    clip = make_clip(male=0, segments=[("neutral", 0.0, 1.2), ("happy", 1.2, 2.0), ("happy", 2.0, 3.0)])
    facts = known_labels_of(clip)
    questions = written(change_groups(facts, seeded(0)))
    told = [q.answer for q in questions]
    assert told[0] == "She looks neutral at first, then happy from 1.2 seconds on."
    assert "She looks happy from 1.2 seconds on." in told
    assert "Yes, she looks neutral first and happy later." in told
    assert "No, she looks neutral first and happy later." in told
    assert "She looks neutral before looking happy." in told
    assert all(q.family == CHANGE and q.level == "time" for q in questions)
    summaries = [row.answer for row in WRITER.rows(clip) if row.task == "summary"]
    assert all("neutral at first, then happy from 1.2 seconds on" in text for text in summaries)


def test_an_emotion_that_comes_back_is_not_said_to_differ_at_the_end() -> None:
    facts = known_labels_of(make_clip(segments=[("happy", 0.0, 1.0), ("fear", 1.0, 2.0), ("happy", 2.0, 3.0)]))
    for seed in range(80):
        for question in written(change_groups(facts, seeded(seed))):
            assert not re.search("different at the end|another than at the start", question.question)
            assert "When does" not in question.question and "before" not in question.question


def test_one_emotion_throughout_is_no_change() -> None:
    found = {}
    for seed in range(20):
        (question,) = written(change_groups(known_labels_of(make_clip(emotion="sadness", male=1)), seeded(seed)))
        found[question.truth] = question.answer
    assert found == {False: "No, he looks sad throughout.", True: "Yes, he looks sad throughout."}
    assert emotion_groups(known_labels_of(make_clip(male=1)), seeded(0)) == []


@pytest.mark.parametrize("known", [1.0, 0.3])
def test_every_question_and_answer_is_a_sentence(known: float) -> None:
    rows: list[Annotation] = []
    for clip in random_clips(60, known):
        rows += WRITER.rows(clip)
    assert len(rows) > 800
    wrong = re.compile(r"  |\{|\}|,,| ,|\ba [aeiou]|\ban [^aeiou]|they (?:is|has|does|looks|seems)|\bnone\b|\bnull\b")
    for row in rows:
        assert re.fullmatch(r"[A-Z].*\.", row.answer), row
        assert re.fullmatch(r"[A-Z].*[?.]", row.question), row
        assert not wrong.search(f"{row.question} {row.answer}"), row


def test_rows_become_a_table() -> None:
    rows = WRITER.rows(make_clip("a", "happy", smile=1, nod=0))
    table = table_of(rows)
    assert table.schema.equals(TEXT_SCHEMA)
    assert [tuple(row.values()) for row in table.to_pylist()] == [
        tuple(list(value) if isinstance(value, tuple | list) else value for value in row) for row in rows
    ]
    assert table_of([]).schema.equals(TEXT_SCHEMA)


def test_words() -> None:
    assert [joined(list("abc")[:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]
    assert (article("oval face"), article("young man")) == ("an oval face", "a young man")
    assert (seconds(1.0), seconds(1.24), seconds(0.0)) == ("1 second", "1.2 seconds", "0 seconds")
