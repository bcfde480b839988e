"""A conversation to test with: an interview written for the purpose, with the ways a transcript may come.

Nobody in it exists. `conversation()` has what a real one has: an advertisement, greetings, questions with and without
answers, numbers, names, dates, hedges, negations, filler, and a phrase that two people say.
"""

from __future__ import annotations

import re

from whetstone.episodes.transcript import Origin, Segment, Timing, Transcript, Word

HOST, GUEST = "Mara Voss", "Tomas Adeyemi"

# A turn begins with who speaks; indented lines go on with it.
_INTERVIEW = """
H: Hello and welcome to the Slow Engine, the show about machines that take a long time to get right. I'm Mara Voss.
H: This episode is brought to you by Larkspur Tea. Larkspur blends their leaves in small batches, and right now you
   can get 20% off your first order. Go to larkspurtea.example and use the promo code ENGINE at checkout.
H: My guest today is Tomas Adeyemi. He spent eleven years building a tidal power station in Skerra Sound, and last
   October it sent its first electricity to the mainland. Tomas, welcome.
G: Thank you. It's good to be here.
H: So let's begin at the beginning. How did a bridge engineer end up building turbines under the sea?
G: Um, by accident, really. In 2009 I was inspecting the piers of the old road bridge at Skerra, and I kept losing my
   instruments. The current tore them off their mounts. After the third one I thought, if the water can do that to
   steel bolts, somebody should be putting it to work.
G: So I measured it. The stream runs at 3.6 metres per second at spring tide, which is faster than almost anywhere
   else on that coast. And the tide is the only renewable source that you can print in a calendar a hundred years
   ahead.
H: That is a lovely way to put it.
G: Well, it's the whole argument. Wind is cheaper, I would never deny that. But nobody can tell you how much wind
   there will be at four o'clock on a Tuesday in March. I can tell you what the tide will do on that Tuesday to within
   five minutes.
H: The first machine failed, though. You have written about it quite openly. What went wrong?
G: We did not test the seals in sand. We tested them in clean salt water, in a tank in Rotterdam, and they were
   perfect. The Sound is full of fine sand, and the sand ate the seals in nine weeks. The gearbox flooded on the 14th
   of February, 2014, and by the time we lifted the turbine it was scrap.
H: Nine weeks.
G: Nine weeks. It cost us 4.2 million pounds and, I think, about half of our investors. I probably should have
   resigned. The board asked me not to, because nobody else knew where the cables were.
H: Did you want to resign?
G: Yes. I wrote the letter. My wife told me to leave it in the drawer for a month, and after a month I was angry
   instead of ashamed, which is a much better state for an engineer.
H: I love that. So what did you change in the second design?
G: We threw away the gearbox. That is the single most important decision we made. A gearbox under water is a box of
   oil waiting for a leak. The new turbine drives its generator directly, it turns slowly, about 12 revolutions per
   minute, and the bearings are washed by the sea water itself. There is nothing left to seal.
H: But direct drive generators are heavy, aren't they?
G: They are. Ours weighs 210 tonnes, and the old one weighed 85. Everybody told us that weight was the enemy. Under
   water, weight is your friend. It holds you on the sea bed, and you don't have to drill into the rock.
H: Let me pause there for a moment. We'll be right back after a short break.
H: Support for the Slow Engine comes from Quillmark, the notebook that scans itself. Listeners get a free month at
   quillmark.example slash engine. Terms and conditions apply.
H: And we're back with Tomas Adeyemi. I want to talk about the fishermen. There was a protest in 2016, and it got
   quite heated. What were they afraid of?
G: They were afraid of losing the lobster grounds, and they were right to be. Our first map put four turbines on the
   best lobster ground in the Sound. We drew that map in an office in Edinburgh. We had not asked a single person who
   fishes there.
G: Then a skipper called Agnes Rourke came to a public meeting with a roll of charts that her grandfather had kept
   since 1931. Every line was in the wrong place on ours and in the right place on hers. So I hired her.
H: You hired the leader of the protest?
G: I did. She was our marine manager for six years. We moved all four turbines 700 metres to the north. It took us
   eighteen months of new surveys, and I believe it's the reason why the project exists at all.
H: And what about the seals? I mean the animals, not the rubber ones.
G: Ha. We put cameras and sonar on the first two machines and recorded for three years. In that time we saw 1,140
   seals come within ten metres of a rotor. We did not record one collision. Now, I would be careful with that. It
   does not prove that it can't happen. It says that it's rare, at this site, with these slow rotors.
H: I appreciate that caution. People usually just say that it's safe.
G: People who say that usually want to sell you something.
H: Let's talk about money, then. What does a unit of tidal electricity cost today, and what will it cost in ten years?
G: Today we sell at 19 pence per kilowatt hour, under a contract that runs for fifteen years. Offshore wind is around
   7. So we are expensive, and we shouldn't hide it. My own estimate is that the next station will be at 13, and if
   somebody builds a gigawatt of this stuff it may come down to 9. It will not beat wind on price. I don't think it
   has to.
H: Why not?
G: Because the last ten percent of a clean grid is the expensive part. When there is no wind for a week in January,
   you need something that does not care about the weather. You can buy very large batteries, or you can keep gas
   plants on standby, or you can have some power that arrives four times a day, whatever happens. A study from the
   University of Leith found that adding 5 gigawatts of tidal would cut the storage that the country needs by about a
   fifth.
H: Do you trust that number?
G: I trust the direction. I don't trust the fifth. The model assumes that every site can be built on, and I know of at
   least three that can't.
H: What does the power station do on an ordinary day? Walk me through it.
G: Four times a day the water turns. For about forty minutes around slack water the rotors stop completely, and that
   is when the boat goes out. The blades pitch round by 180 degrees, and then they wait. When the stream passes one
   metre per second they start by themselves. There is nobody on site. Two people watch from an office in the harbour,
   and one of them mostly looks after the coffee machine.
H: How many homes is that?
G: Twelve megawatts at the peak. Over the year it's enough for roughly 9,000 homes, which is everyone on the islands,
   with some left over for the mainland.
H: I want to ask you something that a listener, Joanna from Kirkwall, sent us. She asks, would you do it again?
G: You know, I get asked that in pubs. Um. I would do it again, but I would not do it in that order. I would talk to
   the people first, then measure the sand, and only then draw a turbine. We did it exactly the other way round, and
   that order cost us five years.
H: Talk to the people, measure the sand, then draw the turbine.
G: That's it. Print it on a mug.
H: And what would you tell a young engineer who is starting on something that will take a decade?
G: Keep a diary of what you believed and why. In the fourth year you will be certain that you always knew better, and
   the diary will tell you that you did not. And find somebody who is against you and who has better maps than you
   have.
H: Tomas Adeyemi, thank you so much for coming.
G: Thank you, Mara. It was a pleasure.
H: That was Tomas Adeyemi of Skerra Tidal. If you enjoyed the show, please leave us a review and subscribe wherever
   you get your podcasts. The Slow Engine is produced by Ines Calder. Our music is by the Brass Lanterns. See you next
   week.
"""

_ABBREVIATIONS = frozenset({"Dr.", "Mr.", "Mrs.", "Ms.", "St.", "p.m.", "a.m."})


def interview() -> list[tuple[str, str]]:
    """The turns of the interview: who speaks, and what."""
    names = {"H": HOST, "G": GUEST}
    turns = re.findall(r"^([HG]): (.*(?:\n   .*)*)", _INTERVIEW, re.MULTILINE)
    return [(names[who], " ".join(text.split())) for who, text in turns]


def conversation(
    *, timing: Timing = Timing.WORD, origin: Origin = Origin.PUBLISHER, named: bool = True, bare: bool = False
) -> Transcript:
    """The interview. `named` false: nobody is named. `bare`: lower case without punctuation, as some machines write."""
    return transcript_of(interview(), timing=timing, origin=origin, named=named, bare=bare)


def transcript_of(
    turns: list[tuple[str, str]],
    *,
    timing: Timing = Timing.WORD,
    origin: Origin = Origin.PUBLISHER,
    named: bool = True,
    bare: bool = False,
) -> Transcript:
    """A transcript of `turns` (who speaks, and what): a sentence a segment, at a steady pace."""
    words: list[Word] = []
    segments: list[Segment] = []
    clock = 0.5
    for who, text in turns:
        speaker = who if named else ""
        new = True
        for sentence in sentences(text):
            first, opened = len(words), clock
            spoken = [_bare(word) for word in sentence] if bare else sentence
            spoken = [word for word in spoken if word]
            starts = []
            for word in spoken:
                starts.append(clock)
                clock += 0.12 + 0.045 * len(word)
            ends = [*starts[1:], clock]
            probability = 0.93 if origin is Origin.MACHINE else None
            for word, start, end in zip(spoken, starts, ends, strict=True):
                start, end = (opened, clock) if timing is Timing.CUE else (start, end)
                known = timing is not Timing.NONE
                words.append(
                    Word(
                        word, round(start, 3) if known else None, round(end, 3) if known else None, speaker, probability
                    )
                )
            segments.append(Segment(len(segments), first, len(words), speaker, paragraph=new))
            new = False
            clock += 0.3
        clock += 0.35
    return Transcript(tuple(words), tuple(segments), timing, origin, "en")


def sentences(text: str) -> list[list[str]]:
    """The words of each sentence of `text`, by the full stops, question and exclamation marks at the ends of words."""
    found: list[list[str]] = [[]]
    for word in text.split():
        found[-1].append(word)
        if word.rstrip('"”’')[-1:] in {".", "?", "!"} and word not in _ABBREVIATIONS:
            found.append([])
    return [sentence for sentence in found if sentence]


def _bare(word: str) -> str:
    """As a recogniser without punctuation writes it: only what is inside a word stays (3.6, 1,140, don't, 20%)."""
    return word.lower().strip(".,?!;:\"'“”‘’()")
