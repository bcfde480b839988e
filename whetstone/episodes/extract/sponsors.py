"""Which segments are advertisements, and which only keep house (greetings, "leave us a review"): simple rules on
phrases, shown as a flag, and left out of summaries. English only; nothing is deleted."""

from __future__ import annotations

import re

from whetstone.episodes.names import capital
from whetstone.episodes.normal import tokens
from whetstone.episodes.transcript import Transcript

# what opens an advertisement
_OPENS = re.compile(
    r"(?:brought|made possible|presented) (?:to you )?by|word from (?:our|my|today s|this week s) sponsor"
    r"|(?:episode|show|podcast|week) is (?:also )?(?:sponsored|supported)|(?:promo|discount|coupon|offer) code"
    r"|support for (?:this|the|today|our|my) .*comes from|use (?:the |my |our )?code |today s (?:episode )?sponsor"
    r"|percent off (?:your|the|any|all|plus)|thank(?:s| you) to (?:our |my |today s |this week s )?sponsors?"
    r"|about our sponsor|sponsor of (?:this|today)|i want to tell you about (?:our|a) (?:sponsor|partner)"
)
# what only an advertisement says; it may come some sentences after the one before
_SELLS = re.compile(
    r"at checkout|free (?:trial|month|shipping|account|plan|demo)|for free (?:at|today)|(?:get started|try it"
    r"|sign up|book a demo)|our sponsor|promo|percent off|trusted by|(?:learn more|check (?:it|them) out"
    r"|more information) at|terms and conditions"
)
# an address that somebody reads out, or is told to go to
_ADDRESS = re.compile(
    r"\b[\w-]+\.(?:com|io|org|co|ai|dev|app|net|example)(?:/\w| slash )|\bdot (?:com|org|io|co|ai)\b|\bslash \w+"
    r"|\b(?:at|to|visit|that's|that’s) [\w-]+\.(?:com|io|org|co|ai|dev|app|net|example)\b"
)
_SENDS = re.compile(
    r"\b(?:go to|head to|head over to|visit|sign up at|try it at|free at) [\w-]+(?:\.| dot )(?:com|io|org|co|ai"
    r"|dev|app)\b"
)
# what lets one go on from sentence to sentence
_GOES_ON = re.compile(
    r"head (?:over )?to|\bvisit\b|go to \w+ \w+|listeners?\b|today at|customers like|companies like|right now you"
)
_RETURNS = re.compile(
    r"\b(?:we re back|welcome back|back to (?:the|our|my) (?:show|episode|conversation|interview)"
    r"|(?:let s get|now) (?:back )?(?:in)?to (?:the|our|my) (?:show|episode|conversation|interview))\b"
)
_HOUSE = re.compile(
    r"leave (?:us |me )?a (?:review|rating)|rate and review|wherever you get your podcasts|on apple podcasts|on spotify"
    r"|(?:like and )?subscribe (?:to|on|wherever|and|so)|thank(?:s| you)(?: you)?(?: so much| all| again)? for"
    r" (?:listening|watching|tuning|coming|being|joining|having|doing)|see you (?:next|in the next)|(?:be )?right back"
    r"|short break|after th(?:is|e) break|music (?:is )?by|(?:is )?(?:produced|edited|mixed) by|show notes"
    r"|(?:previous|past) episodes|learn more about the show|thank you so much|(?:pleasure|honor) to (?:be|have)"
    r"|(?:good|great|happy|excited|glad) to (?:be here|have you)|thanks for having|follow (?:us|me) on|tune in"
    r"|next (?:week s )?episode|enjoy this (?:episode|conversation)|hope you enjoy(?:ed)?|helps? other listeners"
    r"|\bwelcome (?:back )?to\b|before we (?:get|dive|jump)|give us a rating|hit that|hit us up"
    r"|you can (?:find|reach|follow) (?:me|us|him|her|them)"
)
# sentences without a sign of it that an advertisement may have before a weak and before a strong one
_NEAR, _FAR = 3, 14
_LONGEST = 70


def sponsored(transcript: Transcript) -> frozenset[int]:
    """The ids of the segments that look like advertisements: from a telling phrase to the last sign of selling that the
    same person gives before anybody else speaks."""
    lines = [_plain(transcript, segment.id) for segment in transcript.segments]
    found: set[int] = set()
    at = 0
    while at < len(lines):
        end = _end(transcript, lines, at) if _OPENS.search(lines[at]) else at
        # an address that listeners are sent to sells, wherever it stands
        if end == at and _SENDS.search(transcript.segment_text(at).lower()):
            end = at + 1
        found.update(range(at, end))
        at = max(end, at + 1)
    return frozenset(found)


def housekeeping(transcript: Transcript) -> frozenset[int]:
    """The ids of the segments that greet, thank, or ask for reviews."""
    return frozenset(s.id for s in transcript.segments if _HOUSE.search(_plain(transcript, s.id)))


def _end(transcript: Transcript, lines: list[str], start: int) -> int:
    """The segment after the last one of the advertisement that `start` opens."""
    speaker = transcript.segments[start].speaker
    brands: set[str] = set()
    people = {token for segment in transcript.segments for token in tokens(segment.speaker)}
    last = start
    for at in range(start, min(len(lines), start + _LONGEST)):
        if at > start and (transcript.segments[at].speaker != speaker or _RETURNS.search(lines[at])):
            break
        opens = _OPENS.search(lines[at])
        if opens:
            words = transcript.segment_text(at).split()[1:]
            brands |= {
                token for word in words if capital(word) for token in tokens(word)[:1] if len(token) > 2
            } - people
        sells = _SELLS.search(lines[at]) or _ADDRESS.search(transcript.segment_text(at).lower())
        strong = opens or sells or brands.intersection(lines[at].split())
        if strong or (at - last <= _NEAR and _GOES_ON.search(lines[at])):
            last = at
        elif at - last > _FAR:
            break
    return last + 1


def _plain(transcript: Transcript, segment: int) -> str:
    """A segment's tokens with apostrophes and points apart, so that one pattern reads every spelling."""
    return " ".join(" ".join(tokens(transcript.segment_text(segment))).replace("'", " ").replace(".", " ").split())
