"""What the program knows of English without a model: words that carry no topic, filler, negations, and a light stemmer.

In other languages these lists match nothing. The gate does not depend on them, the ranking loses little (words that are
everywhere weigh little anyhow), and a check that needs them does not veto.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


STOP = _words("""
    a about above actually after again against ago all almost along already also although always am among an and any
    anybody anyone anything anyway are aren't around as at away back basically be became because become been before
    being below between both but by came can can't cannot come comes coming could couldn't did didn't do does
    doesn't doing don't done down during each either else enough even ever every everybody everyone everything
    exactly few first for from further gave get gets getting give given go goes going gone gonna good got gotta
    great had hadn't has hasn't have haven't having he he'd he'll he's her here here's hers herself him himself his
    how how's however i i'd i'll i'm i've if in indeed instead into is isn't it it'd it'll it's its itself just kind
    kinda know knew known last least less let let's like literally little lot lots made make makes making many may
    maybe me mean means might mine more most much must my myself need needs neither never next no nobody none nor
    not nothing now of off often oh ok okay on once one ones only onto or other others our ours ourselves out over
    own perhaps please pretty probably put quite rather really right said same saw say saying says see seem seemed
    seems seen shall she she'd she'll she's should shouldn't since so some somebody somehow someone something
    sometimes somewhere sort still such sure take taken takes talk talking than thank thanks that that'll that's the
    their theirs them themselves then there there's therefore these they they'd they'll they're they've thing things
    think this those though thought through to today together too took toward towards tried try trying two under
    until up upon us use used using usually very wanna want wanted wants was wasn't way ways we we'd we'll we're
    we've well went were weren't what what's whatever when when's where where's whether which while who who's whole
    whom whose why why's will with within without won't would wouldn't yeah yes yet you you'd you'll you're you've
    your yours yourself yourselves absolutely totally obviously definitely certainly guess stuff guy guys person
    people time times day days year years bit different able look looking looks feel feels felt happen happened
    happens happening start started starts tell told ask asked asking call called keep kept hear heard work works
    point part place end matter hello hi hey welcome
""")
FILLER = _words("""
    um uh uhm umm er erm ah hmm mm mhm mmm hm oh yeah okay ok right well so and but like sure exactly
    absolutely totally now look listen honestly obviously basically actually anyway ha
""")
HESITATION = _words("""
    um uh uhm umm er erm ah hmm mm mhm mmm hm ha oh
""")
NEGATIONS = _words("""
    not no never none nobody nothing neither nor without cannot hardly barely scarcely rarely seldom
""")
# words that point at what was said before: a sentence that opens with one does not stand alone
POINTING = _words("""
    he she it they them him her his their its this that these those there here then it's that's he's she's they're
    they've they'd it'll it'd that'll which who both either neither such so one ones another
""")
# said everywhere of everything: a title of these says nothing
VAGUE = _words("""
    problem problems question questions example examples idea ideas number numbers case cases world change
    changes easy easier hard harder big bigger biggest small smaller win reason reasons sense side sides bunch
    set sets level levels word words fact facts issue issues story stories moment moments line lines top bottom
    order type types form forms area areas piece pieces bit bits answer answers topic topics subject
    conversation episode episodes podcast show listener listeners guest minute minutes second seconds hour hours
    week weeks month months today tomorrow yesterday morning night long short high low new old real true false
    full free open close great nice cool amazing interesting important huge crazy funny super main whole general
    specific particular certain similar possible available whatever default current currently basic simple
    complicated complex strong clear sure left right hand hands eye eyes head name names list book thought
    thoughts opinion view point points perspective term terms process approach option options result results
    effect effects amount value values rest half couple dozen hundred thousand million billion zero three four
    five six seven eight nine ten percent folks everyone somebody anybody place places home house room door ago
    early late later soon version versions feature features concept concepts kinds sorts role situation
    situations context scenario detail details mind sentence another single third fourth fifth senior internal external
    sake
    fucking shit damn
""")
# before a noun stand the first, before a verb, or an adjective that only tells how something is, the second
BEFORE_NOUNS = _words("""
    the a an this these those my your our their his her its of in on with for from by about no any some each
    every another and or
""")
BEFORE_OTHERS = _words("""
    to i you we they he she it can could will would should must may might don't doesn't didn't won't can't not
    let's let who gonna just really very so too is are was were be been being i'm you're we're they're it's
    that's i'd i'll you'll we'll how pretty quite more less most also then
""")
_IRREGULAR = {
    "built": "build", "cost": "cost", "paid": "pay", "sold": "sell", "bought": "buy", "lost": "lose", "won": "win",
    "wrote": "write", "written": "write", "began": "begin", "begun": "begin", "grew": "grow", "grown": "grow",
    "broke": "break", "broken": "break", "chose": "choose", "chosen": "choose", "spent": "spend", "left": "leave",
    "led": "lead", "met": "meet", "ran": "run", "fell": "fall", "fallen": "fall", "drew": "draw", "drawn": "draw",
    "threw": "throw", "thrown": "throw", "drove": "drive", "driven": "drive", "found": "find", "taught": "teach",
    "learnt": "learn", "men": "man", "women": "woman", "children": "child", "better": "good", "best": "good",
    "feet": "foot", "lives": "life", "tidal": "tide", "ate": "eat", "eaten": "eat", "tore": "tear", "torn": "tear",
    "people": "person",
    "beaten": "beat", "bore": "bear", "flew": "fly", "froze": "freeze", "frozen": "freeze", "shown": "show",
    "rose": "rise", "risen": "rise", "sank": "sink", "sunk": "sink", "shrank": "shrink", "shrunk": "shrink",
    "forgot": "forget", "forgotten": "forget", "forbade": "forbid", "forbidden": "forbid",
}  # fmt: skip

# words that exclude each other: who says one side has not said the other
_PAIRS = """
    rise climb increase grow / fall drop sink decrease decline reduce shrink | north northern / south southern
    | east eastern / west western | cheap / expensive dear costly | win gain / lose | succeed success / fail failure
    | safe / dangerous | accept approve / reject refuse | allow permit / forbid ban | support / oppose | hot / cold
    | true / false | legal / illegal banned | possible / impossible | likely / unlikely | able / unable
    | agree / disagree | remember / forget | friend / enemy | love / hate | all every / half few | always / sometimes
    | easy / difficult hard | strong / weak | public / secret
"""
# words that may be exchanged where the sentence is turned with them: what one buys another sells
_CONVERSE_PAIRS = """
    more / less fewer | most / least | higher / lower | highest / lowest | larger bigger / smaller
    | largest biggest / smallest | longer / shorter | longest / shortest | older / younger newer
    | oldest / youngest newest | faster / slower | fastest / slowest | above over / below under | before / after
    | first / last | with / without | buy / sell | import / export | born / die died | open / close
    | begin start / end
"""
Opposites = Sequence[tuple[frozenset[str], frozenset[str]]]  # of stems


def _opposites(pairs: str) -> Opposites:
    found = []
    for pair in pairs.split("|"):
        one, other = (frozenset(map(stem, side.split())) for side in pair.split("/"))
        found += [(one, other), (other, one)]
    return found


def negates(token: str) -> bool:
    """Whether a token in normal form turns a statement round."""
    return token in NEGATIONS or token.endswith("n't")


def content(tokens: Iterable[str]) -> list[str]:
    """The stems of the tokens (in normal form) that carry a topic, in order."""
    return [stem(token) for token in tokens if carries(token)]


def carries(token: str) -> bool:
    """Whether a token carries a topic: no word of grammar, no filler, no symbol."""
    return token not in STOP and token not in FILLER and len(token) > 1 and any(c.isalnum() for c in token)


def stem(token: str) -> str:
    """A token without the endings of English plurals, verbs and adverbs: for comparing meanings, never for quotes."""
    token = token.removesuffix("'s").removesuffix("'")
    if token in _IRREGULAR:
        return _root(_IRREGULAR[token])
    if len(token) <= 3 or not token.isascii() or not token.isalpha():
        return token
    for ending, replacement in (("ies", "y"), ("ied", "y"), ("ing", ""), ("edly", ""), ("ed", ""), ("ly", "")):
        root = token.removesuffix(ending)
        if root != token and len(root) >= 3 and any(c in "aeiouy" for c in root):
            return _root(root + replacement)
    if token.endswith("s") and not token.endswith(("ss", "us", "is")):
        token = token[:-2] if token.endswith(("ches", "shes", "sses", "xes", "zes")) else token[:-1]
    return _root(token)


def _root(root: str) -> str:
    if len(root) > 3 and root[-1] == root[-2] and root[-1] not in "aeiouls":
        root = root[:-1]
    if len(root) > 4 and root.endswith("er"):
        root = root[:-2]
    return root[:-1] if len(root) > 3 and root.endswith("e") else root


OPPOSITES = _opposites(_PAIRS)
CONVERSES = _opposites(_CONVERSE_PAIRS)
