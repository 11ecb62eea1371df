"""Texts that look like English: common words between the words of one subject, the same on every machine."""

from __future__ import annotations

from random import Random

_COMMON = (
    "the of and to in a is that for it as was with be by on not he his but at are this have from or had an they which "
    "one you were all her she there would their we him been has when who will no more if out so up said what its about "
    "than into them can only other time new some could these two may first then do any like my now over such our man "
    "me even most made after also did many off before must well back through years much where your way down should "
    "because long each just state people those too little good very still"
)
COMMON = tuple(_COMMON.split())
SUBJECTS = tuple(
    tuple(words.split())
    for words in (
        "galaxy telescope orbit comet astronomer supernova redshift spectroscopy planet lunar eclipse parallax",
        "enzyme protein ribosome mitochondria chromosome membrane peptide genome mutation cytoplasm biologist cell",
        "plaintiff court statute litigation verdict jurisdiction appellate tort contract attorney arbitration judge",
        "inflation currency dividend portfolio bond liquidity treasury exchange shareholder solvency bank market",
        "sonata violin orchestra conductor counterpoint cadence symphony tempo soprano harmony baritone rhythm",
        "glacier moraine permafrost tundra iceberg meltwater fjord avalanche snowpack crevasse arctic mountain",
        "compiler pointer recursion allocator mutex bytecode refactor debugger stack heap middleware algorithm",
        "sourdough yeast oven dough flour caramelize simmer marinade saffron broth garlic cinnamon",
        "midfielder penalty goalkeeper offside stadium championship tournament league striker referee coach match",
        "cathedral nave buttress mosaic fresco archbishop pilgrimage monastery chapel crypt parish abbey",
        "locomotive railway signal gauge freight platform timetable carriage steam junction electrification track",
        "vaccine antibody inoculation epidemic pathogen quarantine fever virologist clinic dosage immunity hospital",
        "orchard pollination beehive pruning compost greenhouse irrigation harvest seedling topsoil farmer blossom",
        "parliament ballot coalition constituency referendum amendment senator filibuster campaign minister vote law",
        "harbour schooner rigging navigator anchor lighthouse tide mainsail keel starboard cargo sailor",
        "pottery kiln glaze porcelain earthenware clay sculptor lacquer terracotta workshop craftsman museum",
    )
)


def texts(count: int, *, least: int = 5, most: int = 120, seed: int = 0) -> list[str]:
    """Write texts of `least` to `most` words, every length as likely as the next."""
    random = Random(seed)
    return [_text(random, random.randint(least, most)) for _ in range(count)]


def _text(random: Random, length: int) -> str:
    subject = random.choice(SUBJECTS)
    sentences, words = [], []
    for _ in range(length):
        words.append(random.choice(subject if random.random() < 0.45 else COMMON))
        if random.random() < 0.08:
            sentences.append(" ".join(words).capitalize() + ".")
            words = []
    return " ".join([*sentences, *([" ".join(words).capitalize() + "."] if words else [])])
