"""Which segments are advertisements, and which only keep house (greetings, "leave us a review"): simple rules on
phrases, shown as a flag, and left out of summaries. English only; nothing is deleted."""

from __future__ import annotations

import re

from whetstone.episodes.names import capital
from whetstone.episodes.normal import tokens
from whetstone.episodes.transcript import Transcript

# one of these makes an advertisement
_OPENS = re.compile(
    r"(?:brought|made possible|presented) (?:to you )?by|word from (?:our|my|today s|this week s) sponsor"
    r"|(?:episode|show|podcast|week) is (?:also )?(?:sponsored|supported)"
    r"|support for (?:this|the|today|our|my) .*comes from|(?:promo|discount|coupon|offer) code"
    r"|use (?:the |my |our )?code |percent off (?:your|the|any|all|plus)"
    r"|thank(?:s| you) to (?:our |my |today s |this week s )?sponsors?|today s (?:episode )?sponsor"
    r"|let me tell you about our sponsor|terms and conditions apply|free (?:trial|month|shipping)"
    r"|sponsor of (?:this|today)"
)
# one of these lets an advertisement go on
_GOES_ON = re.compile(
    r"\bdot (?:com|org|io|co|ai)\b|\bslash \w+|\b\w+ (?:com|io|co|ai|org) \w+\b|sign up"
    r"|check (?:it|them) out at|go to \w+ \w+|head (?:over )?to|visit|at checkout|percent off"
    r"|free (?:trial|month|shipping|account)|listeners|our sponsor|get started|book a demo|learn more at"
    r"|to learn more|promo|terms and conditions|trusted by|today at|that s \w+ (?:com|dot)"
)
_RETURNS = re.compile(
    r"\b(?:we re back|welcome back|back to (?:the|our) (?:show|episode|conversation|interview)|with that i bring you)\b"
)
_HOUSE = re.compile(
    r"leave (?:us |me )?a (?:review|rating)|rate and review|(?:like and )?subscribe (?:to|on|wherever|and|so)"
    r"|wherever you get your podcasts"
    r"|thank(?:s| you)(?: you)?(?: so much| all| again)? for (?:listening|watching|tuning|coming|being|joining|having)"
    r"|see you (?:next|in the next)|(?:be )?right back|short break|after th(?:is|e) break|word from our"
    r"|on apple podcasts|on spotify|music (?:is )?by|(?:is )?(?:produced|edited|mixed) by|show notes"
    r"|previous episodes|past episodes|learn more about the show|thank you so much|pleasure to (?:be|have)"
    r"|good to be here|great to be here|thanks for having|happy to be here|follow (?:us|me) on|tune in"
    r"|next (?:week s )?episode|enjoy this episode|hope you enjoy(?:ed)?|(?:help|helps) other listeners"
    r"|really helps"
)
# an advertisement without any new sign ends after so many segments, and after so many in all
_SILENT = 3
_LONGEST = 40


def sponsored(transcript: Transcript) -> frozenset[int]:
    """The ids of the segments that look like advertisements: from a telling phrase on, as long as the same person goes
    on about it."""
    lines = [_plain(transcript, segment.id) for segment in transcript.segments]
    found: set[int] = set()
    at = 0
    while at < len(lines):
        if not _OPENS.search(lines[at]):
            at += 1
            continue
        end = _end(transcript, lines, at)
        found.update(range(at, end))
        at = end
    return frozenset(found)


def housekeeping(transcript: Transcript) -> frozenset[int]:
    """The ids of the segments that greet, thank, or ask for reviews."""
    return frozenset(s.id for s in transcript.segments if _HOUSE.search(_plain(transcript, s.id)))


def _end(transcript: Transcript, lines: list[str], start: int) -> int:
    """The segment after the last one of the advertisement that `start` opens."""
    speaker = transcript.segments[start].speaker
    brands: set[str] = set()
    last = start
    for at in range(start, min(len(lines), start + _LONGEST)):
        if at > start and (transcript.segments[at].speaker != speaker or _RETURNS.search(lines[at])):
            break
        words = transcript.segment_text(at).split()
        if _OPENS.search(lines[at]):
            brands |= {token for word in words[1:] if capital(word) for token in tokens(word)[:1] if len(token) > 2}
        told = _OPENS.search(lines[at]) or _GOES_ON.search(lines[at]) or brands.intersection(lines[at].split())
        if told:
            last = at
        elif at - last > _SILENT:
            break
    return last + 1


def _plain(transcript: Transcript, segment: int) -> str:
    """A segment's tokens with apostrophes apart, so that one pattern reads every spelling."""
    return " ".join(" ".join(tokens(transcript.segment_text(segment))).replace("'", " ").replace(".", " ").split())
