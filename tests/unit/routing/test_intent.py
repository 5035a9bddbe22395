"""What a post is, in five languages: what is heard, and what is innocently near."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klankbord_routing.intent import (
    FRAME_LINE,
    PRECEDENCE,
    STACK_TRACE,
    CueFile,
    Cues,
    shipped_cues,
)
from klankbord_routing.plain import Plain
from klankbord_runtime.accepted import Refused

CUES = shipped_cues()


def intents(text: str, language: str, name: str | None = None, at_least: float = 0.5) -> list[str]:
    readings = CUES.read(Plain.of(name, text), language)
    return [reading.intent for reading in readings if reading.score >= at_least]


HEARD = [
    ("en", "The app crashes every time I open the settings.", "bug"),
    ("en", "Export stopped working since the update", "bug"),
    ("en", "It would be great if we could sort the list by date", "idea"),
    ("en", "Please add an option to mute a thread", "idea"),
    ("en", "Hi all, how do I change the e-mail address of my account?", "question"),
    ("en", "I'm really disappointed, still waiting for a reply after a week", "complaint"),
    ("en", "Great work on the new release, we love using it!", "praise"),
    ("en", "Could you send us a quote for 50 licences?", "lead"),
    ("en", "My lawyer will contact you about this data breach", "risk"),
    ("nl", "De app crasht zodra ik op opslaan druk", "bug"),
    ("nl", "Sinds de update werkt het zoeken niet meer, ik krijg een foutmelding", "bug"),
    ("nl", "Het zou handig zijn als je berichten kon inplannen", "idea"),
    ("nl", "Hoe kan ik mijn wachtwoord wijzigen?", "question"),
    ("nl", "Ik ben erg teleurgesteld, nog steeds geen antwoord", "complaint"),
    ("nl", "Complimenten voor het team, werkt perfect!", "praise"),
    ("nl", "We willen graag een offerte voor 40 gebruikers", "lead"),
    ("nl", "Dit is een datalek, ik stap naar de Autoriteit Persoonsgegevens", "risk"),
    ("sv", "Appen kraschar när jag öppnar kalendern", "bug"),
    ("sv", "Jag får ett felmeddelande och kan inte logga in", "bug"),
    ("sv", "Det vore bra om man kunde filtrera på datum", "idea"),
    ("sv", "Hur gör jag för att byta språk?", "question"),
    ("sv", "Jag är väldigt besviken, har fortfarande inte fått svar", "complaint"),
    ("sv", "Bra jobbat, nya versionen funkar klockrent", "praise"),
    ("sv", "Vi vill köpa 30 licenser, kan vi få en offert?", "lead"),
    ("sv", "Jag kommer att polisanmäla er, det här är en dataläcka", "risk"),
    ("de", "Die App stürzt beim Speichern ab, dann kommt eine Fehlermeldung", "bug"),
    ("de", "Seit dem Update funktioniert die Suche nicht", "bug"),
    ("de", "Es wäre toll, wenn man Beiträge planen könnte", "idea"),
    ("de", "Wie kann ich meine Daten exportieren?", "question"),
    ("de", "Ich bin sehr enttäuscht und warte seit zwei Wochen", "complaint"),
    ("de", "Tolle App, großes Lob an alle!", "praise"),
    ("de", "Wir brauchen ein Angebot und Lizenzen für 80 Leute", "lead"),
    ("de", "Mein Anwalt wird sich wegen der Datenpanne melden", "risk"),
    ("fi", "Sovellus kaatuu aina kun avaan asetukset", "bug"),
    ("fi", "Kirjautuminen ei onnistu, tulee virheilmoitus", "bug"),
    ("fi", "Olisi hienoa, jos viestejä voisi ajastaa", "idea"),
    ("fi", "Miten voin vaihtaa salasanani?", "question"),
    ("fi", "Olen todella pettynyt, en ole vieläkään saanut vastausta", "complaint"),
    ("fi", "Loistavaa työtä, toimii täydellisesti!", "praise"),
    ("fi", "Haluaisimme ostaa 20 lisenssiä, voisitteko lähettää tarjouksen?", "lead"),
    ("fi", "Tämä on tietovuoto, teen ilmoituksen tietosuojavaltuutetulle", "risk"),
]


@pytest.mark.parametrize(("language", "text", "intent"), HEARD)
def test_what_is_said_is_heard_in_its_own_language(language: str, text: str, intent: str) -> None:
    assert intents(text, language)[:1] == [intent]


@pytest.mark.parametrize(("language", "text", "intent"), HEARD)
def test_what_is_said_is_heard_when_nobody_can_tell_the_language(
    language: str, text: str, intent: str
) -> None:
    assert intent in intents(text, "und")


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "This is not a bug."),
        ("en", "No problem, see you on Friday!"),
        ("en", "It never crashes on my machine"),
        ("en", "We celebrated her birthday with a bugle concert"),
        ("en", "How are you?"),
        ("en", "No thanks"),
        ("en", "My grandmother has a garden full of roses"),
        ("nl", "Geen probleem, tot morgen"),
        ("nl", "Bij mij crasht hij niet"),
        ("nl", "Hoe gaat het?"),
        ("nl", "Het was zonnig vandaag in Utrecht"),
        ("sv", "Inga problem, vi ses på fredag"),
        ("sv", "Den kraschar inte hos mig"),
        ("sv", "Hur mår du?"),
        ("sv", "Det var sol i Göteborg i dag"),
        ("de", "Kein Problem, bis morgen"),
        ("de", "Bei mir stürzt sie nicht ab"),
        ("de", "Das ist kein Fehler"),
        ("de", "Wie geht's?"),
        ("de", "Heute war es sonnig in Köln"),
        ("fi", "Ei hätää, nähdään perjantaina"),
        ("fi", "Se ei ole bugi"),
        ("fi", "Mitä kuuluu?"),
        ("fi", "Tänään paistoi aurinko Turussa"),
    ],
)
def test_what_is_innocently_near_bothers_nobody(language: str, text: str) -> None:
    assert intents(text, language) == []


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "I am not happy with it"),
        ("nl", "Ik ben niet blij met de nieuwe versie"),
        ("sv", "Jag är inte nöjd med svaret"),
        ("de", "Ich bin nicht glücklich mit der Antwort"),
        ("fi", "En ole tyytyväinen"),
    ],
)
def test_denied_praise_is_a_complaint(language: str, text: str) -> None:
    assert intents(text, language) == ["complaint"]


def test_words_of_quotations_code_addresses_and_mentions_are_not_read() -> None:
    text = (
        "> the app crashes, worst service ever\n"
        "Nice weather here @CrashReporter, see https://example.org/bug/crash `bug`"
    )
    assert intents(text, "en") == []


def test_a_stack_trace_in_a_code_block_is_a_bug() -> None:
    text = 'Look:\n```\nTraceback (most recent call last):\n  File "a.py"\nKeyError: 1\n```'
    assert intents(text, "en") == ["bug"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "It says\n    at Order.place (order.js:12:3)\n    at main (main.js:1:1)",
            "at Order.place (",
        ),
        ("  at Order.place(order.js:12:3)", "at Order.place("),
        ("We met at noon (all of us)\n\n at main (main.js:1:1)", "at main ("),
    ],
)
def test_lines_of_a_stack_trace_without_its_error_are_a_bug(text: str, found: str) -> None:
    (reading,) = CUES.read(Plain.of(None, text), "en")
    assert [(sign.rule, sign.words) for sign in reading.signs] == [("stack-trace", found)]


@pytest.mark.parametrize(
    "text", ["We met at noon (all of us)", "We met\nat noon (all of us)", "at noon (all of us)"]
)
def test_at_is_no_stack_trace_in_a_sentence(text: str) -> None:
    assert CUES.read(Plain.of(None, text), "en") == ()


@given(st.lists(st.sampled_from(["\n", " ", "\t", "at", " at ", "a.b", "(", "x"]), max_size=20))
def test_a_line_of_a_stack_trace_is_found_wherever_any_stack_trace_is(parts: list[str]) -> None:
    text = "".join(parts)
    whole, line = STACK_TRACE.search(text), FRAME_LINE.search(f"\n{text}")
    assert (whole and whole[0].strip()) == (line and line[0].strip())


@pytest.mark.parametrize(
    ("text", "versions"),
    [
        ("It is 2.4.1 here", ["2.4.1"]),
        ("It is v2.4 here... so be it", ["v2.4"]),
        ("We sang no. 5. It took 2.5 hours, e.g. on page .7", []),
    ],
)
def test_a_version_number_is_told_from_a_sentence_that_ends_with_a_number(
    text: str, versions: list[str]
) -> None:
    signs = [sign for reading in CUES.read(Plain.of(None, text), "en") for sign in reading.signs]
    assert [sign.words for sign in signs if sign.rule == "version-number"] == versions


@pytest.mark.parametrize(
    ("text", "opening"),
    [
        ("How is this done.", "how"),
        ("Hello all, how is this done.", "how"),
        ("Good morning: how is this done.", "how"),
        ("I looked for it, but how is this done.", "how"),
        ("I looked, and looked, where is it.", "where"),
        ("I looked, where is it, and found nothing.", None),
        ("I know how it is done.", None),
        ("How well this is done!", None),
    ],
)
def test_a_question_word_opens_a_sentence_or_follows_its_last_comma(
    text: str, opening: str | None
) -> None:
    signs = [sign for reading in CUES.read(Plain.of(None, text), "en") for sign in reading.signs]
    found = [sign.words for sign in signs if sign.rule == "opens-with-question-word"]
    assert found == ([] if opening is None else [opening])


def test_error_codes_are_heard_and_version_numbers_alone_are_not() -> None:
    assert intents("I get error 5012 here", "en") == ["bug"]
    assert intents("Version 2.4.1 is out", "en") == []


def test_the_title_is_read_with_the_text() -> None:
    assert intents("See the picture.", "en", name="App crashes on start") == ["bug"]


def test_a_post_may_be_two_things() -> None:
    text = "We want to buy 50 licences, but the trial crashes and throws an error."
    assert {"lead", "bug"} <= set(intents(text, "en"))


def test_cues_of_another_language_do_not_count_where_the_language_is_known() -> None:
    assert "complaint" in intents("Das ist eine Frechheit", "de")
    assert intents("Das ist eine Frechheit", "fi") == []


def test_a_regional_variant_is_read_as_its_language() -> None:
    assert intents("Die App stürzt ab", "de-AT") == ["bug"]


def test_a_language_without_cues_is_read_for_structure_and_loanwords() -> None:
    assert intents("Il y a un bug, traceback ici", "fr") == ["bug"]


def test_reasons_are_the_words_that_were_found() -> None:
    (reading,) = CUES.read(Plain.of(None, "The importer crashed again"), "en")
    assert [(sign.rule, sign.words) for sign in reading.signs] == [("malfunction", "crashed")]
    assert reading.score == 0.5


def test_saying_a_word_twice_adds_nothing() -> None:
    once, often = (CUES.read(Plain.of(None, "crash " * n), "en")[0] for n in (1, 9))
    assert once == often


def test_scores_stay_below_one_and_fall_in_order() -> None:
    cries = "bug crash buggy glitch hangs freezes error message traceback segfault " * 3
    readings = CUES.read(Plain.of(None, f"{cries} how do i get a refund? worst service"), "en")
    scores = [reading.score for reading in readings]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score < 1 for score in scores)


def test_the_shipped_cues_speak_five_languages_for_every_intent() -> None:
    spoken: dict[str | None, set[str]] = {}
    for cues in shipped_file().cues:
        for _, phrases in cues.by_strength():
            spoken.setdefault(cues.intent, set()).update(phrases)
    for intent in PRECEDENCE:
        assert {"en", "nl", "sv", "de", "fi"} <= spoken[intent]


def test_no_shipped_cue_stands_twice_in_its_list_and_language() -> None:
    for cues in shipped_file().cues:
        for language in shipped_file().languages() | {"any"}:
            phrases = [
                phrase for _, by_language in cues.by_strength()
                for phrase in by_language.get(language, ())
            ]  # fmt: skip
            assert sorted(phrases) == sorted(set(phrases)), (cues.name, language)


def test_a_wrong_cue_file_is_refused_with_line_and_fix() -> None:
    with pytest.raises(Refused) as refused:
        Cues.parse(b"weights: {strong: 4}\ncues:\n  - name: broken\n    intent: bgu\n")
    assert "line 4: cues[0].intent: 'bgu' is none of" in str(refused.value)
    assert "did you mean bug?" in str(refused.value)


def shipped_file() -> CueFile:
    from importlib.resources import files

    from klankbord_runtime.yamlfile import read_yaml

    return read_yaml(files("klankbord_routing").joinpath("cues.yaml").read_bytes(), CueFile)
