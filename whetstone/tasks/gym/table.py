"""Every generator of reasoning-gym 0.1.25: by which judge its answers are judged here, or why it is refused."""

from __future__ import annotations

from dataclasses import dataclass

from whetstone.tasks import forms
from whetstone.tasks.forms import FormJudge


@dataclass(frozen=True)
class Generator:
    """What we know about one generator.

    `room`: tokens an answer may have. `about`: the fields of its metadata that say what a problem is about, where the
    wording varies or order does not matter (lists are sorted); the question otherwise. `needs`: fields of its metadata
    that the judge reads. `top`: the last step of its curriculum that works and takes seconds at most, where not all do;
    `skip`: steps that never work. `rebuilt`: its constructor draws, so that a new seed needs a new object.
    """

    judge: FormJudge
    room: int = 32
    about: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    top: int | None = None
    skip: tuple[int, ...] = ()
    rebuilt: bool = False

    @property
    def verifiable(self) -> bool:
        """Whether the judge tests the rules that the question states, and never looks at the gold answer."""
        return self.judge in (forms.expression, forms.sudoku, forms.queens)


def _integer(about: str = "", **more: int | bool) -> Generator:
    return Generator(forms.integer, 16, tuple(about.split()), **more)  # type: ignore[arg-type]


def _words(room: int = 16, **more: object) -> Generator:
    return Generator(forms.words, room, **more)  # type: ignore[arg-type]


def _grid(room: int = 512, **more: object) -> Generator:
    return Generator(forms.grid, room, **more)  # type: ignore[arg-type]


SUPPORTED: dict[str, Generator] = {
    "ab": Generator(forms.tokens, 256),
    "acre": _words(rebuilt=True),
    "aiw": _integer(),
    "arc_1d": _grid(256),
    "arc_agi": _grid(1024),
    "base_conversion": _words(32),
    "basic_arithmetic": _integer("expression"),
    "bf": Generator(forms.sentence, 32),
    "binary_alternation": _integer(),
    "binary_matrix": _grid(),
    "bitwise_arithmetic": Generator(forms.hexadecimal, 64),
    "caesar_cipher": _words(128, top=2),
    "calendar_arithmetic": Generator(forms.integer_or_words, 16),
    "chain_sum": _integer("expression"),
    "circuit_logic": _integer(),
    "color_cube_rotation": _words(),
    "count_bits": _integer("number"),
    "count_primes": _integer(),
    "countdown": Generator(forms.expression, 64, ("numbers", "target"), ("numbers", "target"), top=3),
    "course_schedule": _words(),
    "decimal_chain_sum": Generator(forms.number, 32, ("expression",)),
    "dice": Generator(forms.number, 32),
    "emoji_mystery": Generator(forms.sentence, 256),
    "family_relationships": _words(),
    "figlet_font": _words(),
    "fraction_simplification": Generator(forms.reduced, 32, ("numerator", "denominator")),
    "game_of_life": Generator(forms.nested, 1024, top=3),
    "game_of_life_halting": _words(),
    "gcd": _integer("numbers"),
    "group_anagrams": Generator(forms.groups, 512),
    "gsm_symbolic": Generator(forms.number, 16, rebuilt=True),
    "isomorphic_strings": _words(),
    "knights_knaves": Generator(forms.roles, 96),
    "largest_island": _integer(),
    "lcm": _integer("numbers"),
    "leg_counting": _integer(),
    "letter_counting": _integer(),
    "list_functions": Generator(forms.numbers, 128, rebuilt=True),
    "mahjong_puzzle": _words(),
    "manipulate_matrix": _grid(),
    "maze": _integer(),
    "mini_sudoku": Generator(forms.sudoku, 64, ("puzzle",), ("puzzle",)),
    "modulo_grid": Generator(forms.pattern, 1024, skip=(2,)),
    "n_queens": Generator(forms.queens, 256, ("puzzle",), ("puzzle",), top=4),
    "needle_haystack": _words(),
    "number_filtering": Generator(forms.numbers, 256),
    "number_sequence": _integer(top=2),
    "number_sorting": Generator(forms.numbers, 512),
    "palindrome_generation": Generator(forms.palindrome, 256),
    "path_star": _words(64),
    "prime_factorization": Generator(forms.factors, 48, ("number",)),
    "products": _integer("expression"),
    "puzzle24": Generator(forms.expression, 48, ("numbers",), ("numbers",)),
    "ransom_note": _words(),
    "rearc": _grid(1024),
    "rectangle_count": _integer(),
    "rotate_matrix": _grid(),
    "rotten_oranges": _integer(),
    "self_reference": _integer(),
    "simple_equations": _integer("equation"),
    "simple_geometry": _integer("n_sides known_angles"),
    "spell_backward": _words(32),
    "spiral_matrix": _grid(256),
    "string_insertion": _words(128),
    "string_manipulation": _words(64),
    "string_splitting": _grid(32),
    "string_synthesis": _grid(32),
    "sudoku": Generator(forms.sudoku, 256, ("puzzle",), ("puzzle",)),
    "syllogism": _words(),
    "time_intervals": _words(32),
    "word_sequence_reversal": _words(128),
    "word_sorting": _words(256),
    "zebra_puzzles": _words(top=3),
}

_PLANS = "many sequences of moves are right, and only its own simulator could tell"
_FORMULA = "the answer is a formula in one of many equal forms, and its scorer executes the answer's text"
_ROUNDED = "the gold answer is a rounded floating-point number whose last digits are open"

REFUSED: dict[str, str] = {
    "advanced_geometry": _ROUNDED,
    "boxnet": _PLANS,
    "codeio": "it is not deterministic: one seed gives different answers",
    "coin_flip": _ROUNDED,
    "complex_arithmetic": _ROUNDED,
    "cryptarithm": "several assignments of digits can be right",
    "decimal_arithmetic": "the gold answer is rounded at every step: exact arithmetic can differ in the last digits",
    "futoshiki": "the answer is a drawing in which spaces count, and several fillings can be right",
    "graph_color": "many colourings are right",
    "intermediate_integration": _FORMULA,
    "jugs": _PLANS,
    "kakurasu": "several fillings can be right",
    "knight_swap": _PLANS,
    "letter_jumble": "the letters of some words make several words",
    "number_format": "the gold answer differs in its last digits from the number that the question shows",
    "palindrome_partitioning": "the answer is a list of all partitions, and some of them count as well",
    "polynomial_equations": _ROUNDED,
    "polynomial_multiplication": _FORMULA,
    "pool_matrix": "averages are rounded to a number of digits that the question does not name",
    "power_function": _ROUNDED,
    "propositional_logic": "it has no gold answer: any conclusion that follows is right",
    "quantum_lock": _PLANS,
    "rubiks_cube": _PLANS,
    "rush_hour": _PLANS,
    "sentence_reordering": "the words of some sentences stand in several orders that are right",
    "shortest_path": "several paths can be equally short",
    "simple_integration": _FORMULA,
    "sokoban": _PLANS,
    "survo": "several fillings can be right",
    "tower_of_hanoi": _PLANS,
    "tsumego": "its gold move is not proved to be the only best one",
    "word_ladder": "many ladders are right, and which words exist depends on a dictionary",
}


def listing() -> str:
    """Both tables as text, a line for each generator: what `--task gym:?` prints."""
    width = max(map(len, [*SUPPORTED, *REFUSED]))
    lines = [f"{len(SUPPORTED)} generators, with the form of the answer:"]
    lines += [
        f"  gym:{name:<{width}}  {generator.judge.__name__.replace('_', ' ')}" for name, generator in SUPPORTED.items()
    ]
    lines += [f"{len(REFUSED)} refused, because no exact judgement is known:"]
    lines += [f"  gym:{name:<{width}}  {why}" for name, why in REFUSED.items()]
    return "\n".join(lines)
