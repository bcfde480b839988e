"""Lines of a summary against what they cite: what is wrong goes, what is right may stay."""

import random
import re

import pytest

from tests.episodes.conversation import conversation
from whetstone.episodes.content import Line
from whetstone.episodes.gate import Gate
from whetstone.episodes.gate.faithful import Fault, check_lines, support
from whetstone.episodes.gate.quantities import date_words, quantities
from whetstone.episodes.gate.turned import opposed
from whetstone.episodes.lexicon import stem

TALK = conversation()
GATE = Gate(TALK)


def about(*words: str) -> tuple[int, ...]:
    """The segments that have one of these phrases in them."""
    return tuple(s.id for s in TALK.segments if any(word in TALK.segment_text(s.id) for word in words))


# what a careful person would write of the interview
GOOD = [
    ("Tomas Adeyemi spent 11 years building a power station in Skerra Sound.", about("eleven years", "guest today")),
    ("In 2009 the current tore his instruments off the piers at Skerra.", about("In 2009", "The current")),
    ("The stream runs at 3.6 metres per second.", about("3.6")),
    ("Wind is cheaper than tidal power, Adeyemi admits.", about("Wind is cheaper")),
    ("The seals were tested in clean salt water in Rotterdam.", about("tested them")),
    ("Fine sand ate the seals in 9 weeks.", about("nine weeks")),
    ("They did not test the seals in sand.", about("did not test the seals")),
    ("The seals were never tested in sand.", about("did not test the seals")),
    ("The gearbox flooded on February 14, 2014.", about("gearbox flooded")),
    ("The failure cost £4.2 million and half of the investors.", about("4.2 million")),
    ("It cost 4.2 million pounds and 50% of their investors.", about("4.2 million")),
    ("The new turbine weighs 210 tonnes, the old one 85.", about("210 tonnes")),
    ("Agnes Rourke led the protest with charts kept since 1931.", about("Agnes Rourke", "leader of", "1931")),
    ("The four turbines were moved 700 metres north.", about("700 metres")),
    ("New surveys took 18 months.", about("eighteen months")),
    ("In three years they saw 1140 seals within 10 metres of a rotor.", about("recorded for three", "1,140")),
    ("No collision was recorded.", about("one collision")),
    ("Electricity is sold at 19 pence per kilowatt hour, wind at 7 pence.", about("19 pence", "around 7")),
    ("He expects 13 pence for the next station, and 9 with a gigawatt built.", about("19 pence", "My own estimate")),
    ("Tidal power will not beat wind on price.", about("beat wind")),
    ("5 gigawatts of tidal would cut storage by a fifth, says the University of Leith.", about("University of")),
    ("He does not trust the fifth: at least 3 sites can't be built on.", about("the fifth", "at least three")),
    ("The rotors stop for around 40 minutes at slack water.", about("forty minutes")),
    ("Twelve megawatts are enough for 9,000 homes.", about("Twelve megawatts", "9,000")),
    ("Keep a diary of what you believed and why, he advises young engineers.", about("Keep a diary", "young engineer")),
    ("Mara asks what went wrong.", about("What went wrong")),
    ('"Print it on a mug," he says.', about("Print it")),
    ('He calls a gearbox "a box of oil waiting for a leak".', about("waiting for a leak")),
    ('They did not "test the seals in sand", he says.', about("did not test the seals")),
    ('Mara asks whether he "hired the leader of the protest".', about("leader of the protest")),
    ('Asked by Mara, Tomas Adeyemi says: "We threw away the gearbox."', about("threw away", "second design")),
    ('"We threw away the gearbox," Adeyemi told Voss.', about("threw away", "second design")),
    ("The second turbine was heavy: 210 tonnes, where the old one had 85.", about("210 tonnes", "direct drive")),
    ("In the fourth year you are certain that you always knew better.", about("In the fourth year")),
    ("One metre per second starts the rotors.", about("When the stream passes")),
    ("After the 3rd one he thought of putting water to work.", about("After the third one")),
    ("The gearbox flooded on the fourteenth of February.", about("gearbox flooded")),
]  # fmt: skip

BAD = [
    ("The stream runs at 3.6 metres per second.", (), Fault.UNCITED),
    ("The stream runs at 3.6 metres per second.", (4000,), Fault.UNKNOWN),
    ("The stream runs at 3.6 metres per second.", (-1,), Fault.UNKNOWN),
    ("...", about("3.6"), Fault.EMPTY),
    ("The stream runs at 3.7 metres per second.", about("3.6"), Fault.NUMBER),
    ("The stream runs at 36 metres per second.", about("3.6"), Fault.NUMBER),
    ("The stream runs at 3.6 miles per second.", about("3.6"), Fault.NUMBER),
    ("The stream runs at 3.6 feet per second.", about("3.6"), Fault.NUMBER),
    ("He spent twelve years building it.", about("eleven years"), Fault.NUMBER),
    ("The failure cost 42 million pounds.", about("4.2 million"), Fault.NUMBER),
    ("The failure cost 4.2 billion pounds.", about("4.2 million"), Fault.NUMBER),
    ("The failure cost $4.2 million.", about("4.2 million"), Fault.NUMBER),
    ("The failure cost them a third of their investors.", about("4.2 million"), Fault.NUMBER),
    ("The failure cost them 60% of their investors.", about("4.2 million"), Fault.NUMBER),
    ("Storage would be cut by a quarter.", about("University of"), Fault.NUMBER),
    ("The gearbox flooded in 2015.", about("gearbox flooded"), Fault.NUMBER),
    ("The gearbox flooded on the 15th of February, 2014.", about("gearbox flooded"), Fault.NUMBER),
    ("The gearbox flooded on the 14th of March, 2014.", about("gearbox flooded"), Fault.DATE),
    ("On a Wednesday nobody knows how much wind there will be.", about("four o'clock"), Fault.DATE),
    ("The cost doubled to 4.2 million pounds.", about("4.2 million"), Fault.NUMBER),
    ("They recorded for three weeks.", about("recorded for three"), Fault.NUMBER),
    ("Four skippers were put on the best lobster ground.", about("Our first map", "a skipper"), Fault.NUMBER),
    ("A skipper called Anna Rourke came to the meeting.", about("Agnes Rourke"), Fault.NAME),
    ("Bergmann hired the leader of the protest.", about("leader of the protest"), Fault.NAME),
    ("They tested the seals in a tank in Amsterdam.", about("tested them"), Fault.NAME),
    ("Mara Voss threw away the gearbox.", about("threw away"), Fault.NAME),
    ("A study from the University of Oxford found a fifth.", about("University of"), Fault.NAME),
    ("They tested the seals in sand.", about("did not test the seals"), Fault.NEGATION),
    ("Tidal power will beat wind on price.", about("beat wind"), Fault.NEGATION),
    ("We threw away nothing and did not throw away the gearbox.", about("threw away"), Fault.NEGATION),
    ("The current did not tear the instruments off their mounts.", about("The current"), Fault.NEGATION),
    ("Wind is not cheaper.", about("Wind is cheaper"), Fault.NEGATION),
    ('He said "we did test the seals in sand" about it.', about("did not test the seals"), Fault.QUOTATION),
    ("He admits: “we always knew that the seals would fail”.", about("did not test the seals"), Fault.QUOTATION),
    ("The second machine failed.", about("The first machine failed"), Fault.NUMBER),
    ("After the fourth one he thought of putting water to work.", about("After the third one"), Fault.NUMBER),
    ("The gearbox flooded on the fifteenth of February, 2014.", about("gearbox flooded"), Fault.NUMBER),
    ("They moved one turbine 700 metres to the north.", about("700 metres"), Fault.NUMBER),
    ("Only one turbine was put on the lobster ground.", about("Our first map"), Fault.NUMBER),
    ("The stream runs at 3.6 metres per hour.", about("3.6"), Fault.NUMBER),
    ("The stream runs at 3.6 metres a minute.", about("3.6"), Fault.NUMBER),
    ("Electricity sells at 19 pence per megawatt hour.", about("19 pence"), Fault.NUMBER),
    ("The water turns four times a week.", about("Four times a day"), Fault.NUMBER),
    ("The new turbine weighs 85 tonnes, the old one 210.", about("210 tonnes"), Fault.EXCHANGED),
    ("The next station will be at 9 pence, and with a gigawatt 13.", about("19 pence", "My own e"), Fault.EXCHANGED),
    ("He knows of more than three sites like that.", about("at least three", "Do you trust"), Fault.NUMBER),
    ("The turbine turns at most 12 times per minute.", about("12 revolutions"), Fault.NUMBER),
    ("The blades pitch round by 18O degrees.", about("180 degrees"), Fault.NUMBER),
    ("1140 cameras recorded for three years.", about("recorded for three", "1,140"), Fault.NUMBER),
    ("The first ten percent of a clean grid is expensive.", about("last ten percent"), Fault.NUMBER),
    ("The sand ate the seals in a month.", about("nine weeks"), Fault.NUMBER),
    ("One person watches from the harbour.", about("Two people watch"), Fault.NUMBER),
    ("The turbines were moved 700 metres to the south.", about("700 metres"), Fault.NEGATION),
    ("All of the investors left.", about("4.2 million"), Fault.NEGATION),
    ('Mara Voss: "We threw away the gearbox."', about("threw away", "second design"), Fault.QUOTATION),
    ("Mara told Tomas: “We threw away the gearbox.”", about("threw away", "second design"), Fault.QUOTATION),
    ("Tomas hears from Mara Voss: “We threw away the gearbox.”", about("threw", "second design"), Fault.QUOTATION),
    ('They would "test the seals in sand", he says.', about("did not test the seals"), Fault.QUOTATION),
    ('"We did not test the seals in sand?" he says.', about("did not test the seals"), Fault.QUOTATION),
    ('Mara says "you hired the leader of the protest".', about("leader of the protest"), Fault.QUOTATION),
    ("He said ''we did test the seals in sand''.", about("did not test the seals"), Fault.QUOTATION),
    ("He said &quot;we never tested the seals in sand&quot;.", about("did not test the seals"), Fault.QUOTATION),
    ("He said ｢we never tested the seals in sand｣.", about("did not test the seals"), Fault.QUOTATION),
    ("He said <<we never tested the seals in sand>>.", about("did not test the seals"), Fault.QUOTATION),
    ("A cat needs a garden, a sofa and a warm kitchen.", about("threw away"), Fault.UNSUPPORTED),
]  # fmt: skip


@pytest.mark.parametrize(("text", "segments"), GOOD)
def test_what_is_right_stays(text: str, segments: tuple[int, ...]) -> None:
    assert segments
    line = Line(text, segments)
    kept, dropped = check_lines([line], TALK, gate=GATE)
    assert kept == (line,), [str(d) for d in dropped]


@pytest.mark.parametrize(("text", "segments", "fault"), BAD)
def test_what_is_wrong_goes(text: str, segments: tuple[int, ...], fault: Fault) -> None:
    kept, dropped = check_lines([Line(text, segments)], TALK, gate=GATE)
    assert kept == ()
    assert dropped[0].fault is fault, str(dropped[0])
    assert str(dropped[0]).endswith(text)


def test_of_the_right_lines_with_another_number_none_stays() -> None:
    draw = random.Random(3)
    planted = []
    for text, segments in GOOD:
        for match in re.finditer(r"\d+(?:[.,]\d+)*", text):
            for _ in range(10):
                digits = list(match.group())
                place = draw.choice([i for i, c in enumerate(digits) if c.isdigit()])
                digits[place] = str((int(digits[place]) + draw.randint(1, 9)) % 10)
                false = text[: match.start()] + "".join(digits) + text[match.end() :]
                evidence = " ".join(TALK.segment_text(s) for s in segments)
                # the oracle: neither the digits nor, for small numbers, their words stand in the evidence
                if not re.search(rf"(?<!\d){re.escape(''.join(digits))}(?!\d)", evidence):
                    planted.append(Line(false, segments))
    assert len(planted) > 150
    kept, dropped = check_lines(planted, TALK, gate=GATE)
    assert kept == ()
    assert len(dropped) == len(planted)


def test_every_sentence_of_the_interview_is_faithful_to_itself() -> None:
    lines = [Line(TALK.segment_text(s.id), (s.id,)) for s in TALK.segments]
    _, dropped = check_lines(lines, TALK)
    assert [str(d) for d in dropped] == []


def test_the_same_holds_where_the_transcript_has_no_capitals_and_no_punctuation() -> None:
    bare = conversation(bare=True)
    good = [Line(text, segments) for text, segments in GOOD if '"' not in text]
    kept, _ = check_lines(good, bare)
    assert len(kept) >= len(good) - 2
    # without its marks nothing tells a question from a statement
    bad = [Line(text, segments) for text, segments, _ in BAD if "you hired the leader" not in text]
    _, dropped = check_lines(bad, bare)
    assert len(dropped) == len(bad)


def test_support() -> None:
    assert support("The turbines turned slowly", "the turbine turns slow") == 1.0
    assert support("gearbox and lobster", "the gearbox leaks") == 0.5
    assert support("it is what it is", "nothing here") == 1.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("two hundred and ten tonnes", [(210, "tonne")]),
        ("twenty-five percent", [(25, "percent")]),
        ("25%", [(25, "percent")]),
        ("4.2 million pounds", [(4_200_000, "pound")]),
        ("£4.2m", [(4_200_000, "pound")]),
        ("$1,140.50", [(1140.5, "dollar")]),
        ("a hundred years", [(100, "year")]),
        ("three thousand two hundred", [(3200, "")]),
        ("one of the reasons", []),
        ("one year", [(1, "year")]),
        ("-5 degrees", [(-5, "degree")]),
        ("twenty twelve", [(20, ""), (12, "")]),
        ("half a dozen", [(0.5, ""), (12, "")]),
        ("40kg", [(40, "kilogram")]),
        ("two thirds", [(2 / 3, "")]),
        ("it doubled", [(2, "")]),
        ("nothing", []),
        ("3 1/2 hours", [(3.5, "hour")]),
        ("3½ hours", [(3.5, "hour")]),
    ],
)
def test_quantities(text: str, expected: list[tuple[float, str]]) -> None:
    assert [(float(q.value), q.unit) for q in quantities(text)] == expected


def test_months_that_are_verbs() -> None:
    assert date_words("It may rain when they march.") == set()
    assert date_words("May I ask?") == set()
    assert date_words("It was in May, on a Sunday, or the 3rd of Feb.") == {"may", "sunday", "february"}


@pytest.mark.parametrize(
    ("line", "said", "word", "strictly"),
    [
        ("The price fell.", "The price rose.", "fall", "fall"),
        ("The price climbed.", "The price rose and then fell.", "", ""),
        ("The price rose.", "The price did not fall.", "", "ris"),
        ("Half of the boats are gone.", "50 percent of all boats are gone.", "", ""),
        ("All of the boats are gone.", "Half of the boats are gone.", "all", "all"),
        ("They bought the boat from Norway.", "Norway sold them the boat.", "", "buy"),
        ("The storm came before the pier.", "The pier came after the storm.", "", "befor"),
    ],
)
def test_opposites(line: str, said: str, word: str, strictly: str) -> None:
    assert opposed(line, [said]) == word and opposed(line, [said], strict=True) == strictly


def test_every_form_of_a_verb_has_one_stem() -> None:
    forms = [
        "rise rose risen rising rises",
        "lose lost losing",
        "write wrote written",
        "drive drove driven",
        "leave left",
    ]
    assert all(len(set(map(stem, each.split()))) == 1 for each in forms)
