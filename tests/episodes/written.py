"""What a page says of the conversation: written by hand, each part pointing at the words that it is about."""

from __future__ import annotations

from whetstone.episodes.content import (
    About,
    Answered,
    Badge,
    Chapter,
    Claim,
    Content,
    Counts,
    Evidence,
    Line,
    Quote,
    Stance,
)
from whetstone.episodes.transcript import Transcript


def span(transcript: Transcript, text: str) -> tuple[int, int]:
    """The words of `text`, which stands in the transcript as it is written here (but for a last comma or full stop)."""
    wanted = text.rstrip(",.").split()
    said = [word.text for word in transcript.words]
    for first in range(len(said) - len(wanted) + 1):
        last = first + len(wanted) - 1
        if [*said[first:last], said[last].rstrip(",.")] == wanted:
            return first, first + len(wanted)
    raise AssertionError(f"not said: {text}")


def segment(transcript: Transcript, text: str) -> int:
    """The segment in which `text` begins."""
    first, _ = span(transcript, text)
    return next(each.id for each in transcript.segments if each.first <= first < each.end)


def quote(transcript: Transcript, text: str, *badges: Badge) -> Quote:
    """`text` as a quote of whoever said it."""
    first, end = span(transcript, text)
    return Quote(first, end, transcript.words[first].speaker, badges or (Badge.PUBLISHER,))


ABOUT = About(
    title="The tide keeps its appointments",
    show="The Slow Engine",
    published="2026-03-12",
    guid="slow-engine-41",
    link="https://slow-engine.example/41",
    description="Tomas Adeyemi on eleven years of building a power station under the sea.",
    people=(("Mara Voss", "host"), ("Tomas Adeyemi", "guest")),
)


def content(transcript: Transcript) -> Content:
    """A full page."""

    def line(text: str, *cited: str) -> Line:
        return Line(text, tuple(segment(transcript, each) for each in cited))

    def said(text: str, *badges: Badge) -> Quote:
        return quote(transcript, text, *badges)

    return Content(
        paragraph=(
            line("Tomas Adeyemi spent eleven years building a tidal power station in Skerra Sound.", "He spent eleven"),
            line("The first machine was lost to fine sand within nine weeks.", "The Sound is full", "Nine weeks. It"),
            line("The second has no gearbox and nothing to seal.", "We threw away", "There is nothing left"),
            line(
                "He would do it again, in another order: people, sand, turbine.",
                "I would do it again, but",
                "I would talk",
            ),
        ),
        summary=(
            line(
                "Adeyemi came to the tide by way of a bridge: the current kept tearing off his instruments.",
                "In 2009 I",
                "The current tore",
            ),
            line("The stream runs at 3.6 metres per second at spring tide.", "The stream runs"),
            line(
                "His argument for tidal power is not its price, it is that it can be foretold.",
                "Wind is cheaper",
                "I can tell you",
            ),
            line(
                "The seals of the first machine were tested in clean salt water, and sand ate them in nine weeks.",
                "We tested them",
                "The Sound is full",
            ),
            line(
                "The failure cost 4.2 million pounds, and he wrote a letter of resignation.",
                "It cost us",
                "I wrote the letter.",
            ),
            line("The new turbine drives its generator directly and turns about 12 times a minute.", "The new turbine"),
            line(
                "Fishermen protested in 2016, and Adeyemi says that they were right.",
                "There was a protest",
                "They were afraid",
            ),
            line("All four turbines were moved 700 metres to the north.", "We moved all"),
            line(
                "In three years the cameras saw 1,140 seals near the rotors and recorded no collision.",
                "In that time",
                "We did not record",
            ),
            line(
                "A unit costs 19 pence today; his own estimate for the next station is 13.",
                "Today we sell",
                "My own estimate",
            ),
        ),
        takeaways=(
            line("Test in the water that you will work in.", "We did not test", "We tested them"),
            line("A machine under water is better heavy than sealed.", "A gearbox under", "Under water, weight"),
            line("Ask the people who know the place before drawing a map.", "We had not asked", "Every line was"),
            line("Tidal power is dear, and it arrives whatever the weather.", "So we are expensive,", "You can buy"),
        ),
        quotes=(
            said(
                "I can tell you what the tide will do on that Tuesday to within five minutes.",
                Badge.PUBLISHER,
                Badge.LISTEN,
            ),
            said("A gearbox under water is a box of oil waiting for a leak."),
            said(
                "We drew that map in an office in Edinburgh. We had not asked a single person who fishes there.",
                Badge.PUBLISHER,
                Badge.LISTEN,
            ),
            said(
                "It does not prove that it can't happen. It says that it's rare, at this site, with these slow rotors."
            ),
            said("Keep a diary of what you believed and why."),
        ),
        answered=(
            Answered(
                "How did a bridge engineer end up building turbines under the sea?",
                segment(transcript, "How did a bridge"),
                said(
                    "After the third one I thought, if the water can do that to steel bolts, "
                    "somebody should be putting it to work."
                ),
            ),
            Answered(
                "Would you do it again?",
                segment(transcript, "She asks, would you"),
                said(
                    "I would do it again, but I would not do it in that order. I would talk to the people first, "
                    "then measure the sand, and only then draw a turbine."
                ),
            ),
            Answered(
                "What does the station deliver over a year?",
                None,
                said("Over the year it's enough for roughly 9,000 homes,", Badge.PUBLISHER, Badge.LISTEN),
            ),
        ),
        chapters=(
            Chapter("A show about slow machines", 0),
            Chapter("From bridges to the tide", segment(transcript, "So let's begin")),
            Chapter("The sand that ate the seals", segment(transcript, "The first machine failed,")),
            Chapter("A turbine with nothing to seal", segment(transcript, "I love that. So")),
            Chapter("The fishermen were right", segment(transcript, "And we're back")),
            Chapter("What it costs", segment(transcript, "Let's talk about money,")),
            Chapter("In another order", segment(transcript, "I want to ask you something")),
        ),
        claims=(
            Claim(
                "c1",
                "The stream in Skerra Sound runs at 3.6 metres per second at spring tide.",
                said("The stream runs at 3.6 metres per second at spring tide,", Badge.PUBLISHER, Badge.LISTEN),
                Stance.SUPPORTED,
                (
                    Evidence(
                        "Peak currents at springs reach 3.6 m/s in the narrows of Skerra Sound.",
                        "Tidal atlas of the northern isles",
                        "https://atlas.example/skerra",
                        "2019-05-02",
                    ),
                ),
            ),
            Claim(
                "c2",
                "The old turbine weighed 85 tonnes.",
                said("Ours weighs 210 tonnes, and the old one weighed 85.", Badge.PUBLISHER, Badge.LISTEN),
                Stance.CONTRADICTED,
                (
                    Evidence(
                        "The unit recovered in 2014 had a mass of 94 tonnes in air.",
                        "Recovery report.txt",
                        "Recovery report.txt",
                        "2026-06-01",
                    ),
                ),
            ),
            Claim(
                "c3",
                "Adding 5 gigawatts of tidal power would cut the storage that the country needs by about a fifth.",
                said(
                    "adding 5 gigawatts of tidal would cut the storage that the country needs by about a fifth.",
                    Badge.PUBLISHER,
                    Badge.LISTEN,
                ),
            ),
            Claim(
                "c4",
                "Offshore wind costs around 7 pence.",
                said("Offshore wind is around 7.", Badge.PUBLISHER, Badge.LISTEN),
                dismissed=True,
            ),
        ),
        counts=Counts(15, 12, 24, 18, len(transcript.segments), len(transcript.segments), 41.6, 18_240, 2_911),
        made_by="a model of the test",
    )
