"""What counts as an episode's own words, against a count by brute force."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.episodes.conversation import transcript_of
from whetstone.episodes.evidence.own_words import RUN, OwnWords
from whetstone.episodes.normal import tokens

SAID = "The tide turns twice a day and the boats wait for it in the harbour of Wick until the stream is slack again."
OWN = OwnWords(transcript_of([("Ann", SAID)]))


def test_copies_are_known_however_short() -> None:
    assert OWN.has(SAID) and OWN.quoted(SAID) and OWN.share(SAID) == 1.0
    assert OWN.has("“the boats wait for it”"), "a passage of a few words can be a copy too"
    assert not OWN.quoted("the boats wait for it"), "but anybody may have said so"
    assert not OWN.has("The boats wait for the lifeboat.") and not OWN.has("") and OWN.share("?!") == 0.0
    article = f"In a podcast a sailor says: {SAID} {'Nobody else was asked about it in this long article. ' * 9}"
    assert not OWN.has(article) and OWN.quoted(article)


WORDS = st.sampled_from(["the", "tide", "turns", "twice", "a", "day", "and", "boats"])


@given(st.lists(WORDS, max_size=40), st.integers(0, 20))
def test_the_share_is_the_share_of_runs(words: list[str], cut: int) -> None:
    said = tokens(SAID)
    found = (*words, *said[cut:])
    length = min(RUN, len(found))
    spans = [found[at : at + length] for at in range(len(found) - length + 1)]
    inside = [any(said[at : at + length] == span for at in range(len(said))) for span in spans]
    assert OWN.share(" ".join(found)) == (sum(inside) / len(spans) if found else 0.0)
    assert OWN.quoted(" ".join(found)) == (length == RUN and any(inside))
