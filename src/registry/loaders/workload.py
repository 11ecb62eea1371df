"""What models are measured with: a prompt, a query and documents, of the lengths that they meet in use."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from registry.chat import Messages

# Of sentences come the documents: so many at a time, one after the other, which makes passages of 15 to 200 words.
_SENTENCES_OF_DOCUMENTS = (5, 2, 7, 3, 9, 1, 6, 4)
QUERY = "How does the water that falls on mountains reach the sea, and what does it carry with it?"
_QUESTION = (
    "Explain in detail, to a reader who has never heard of the subject, how this works and why it matters. "
    "Write several paragraphs, begin with an overview, and give an example for each point you make."
)


def documents(count: int) -> list[str]:
    """Give so many documents, always the same, no two of the first 256 alike."""
    made = []
    for number in range(count):
        length = _SENTENCES_OF_DOCUMENTS[number % len(_SENTENCES_OF_DOCUMENTS)]
        begin, stride = divmod(number, len(_SENTENCES))
        # Every round takes other neighbours, so that no document is made twice.
        places = (stride + step * (begin + 1) for step in range(length))
        made.append(" ".join(_SENTENCES[place % len(_SENTENCES)] for place in places))
    return made


def conversation(sentences: int) -> Messages:
    """Give a question about a text of at most so many sentences; 0 leaves the text out."""
    text = " ".join(_SENTENCES[:sentences])
    return [{"role": "user", "content": f"{text}\n\n{_QUESTION}" if text else _QUESTION}]


_TEXT = """
Rain that falls on a mountain begins a journey which may take hours or many thousand years. Part of it runs off at
once over rock and thin soil, gathers in gullies, and fills the brooks within minutes. Another part sinks in, moves
slowly between grains of sand and through cracks of the rock, and comes to light again in springs far below. In winter
the cold holds the water back as snow, and a dry spring day may set free what fell in December. Glaciers keep it
longest: ice at the tongue of a large one fell as snow on its upper field centuries ago. Wherever water runs it also
works, for a steep torrent moves stones that a strong man could not lift. Stones strike each other on the way, lose
their edges, and end as gravel, then as sand, at last as mud. Where the valley widens the slope becomes gentle, the
stream loses its strength, and the coarse load stays behind in a fan at the foot of the mountains. Finer grains travel
on to the plain, where every flood lays down a new thin layer on both banks. Farmers have known for six thousand years
that such soil is deep, easy to till, and renewed without their doing. The same floods destroy houses and roads, and
so people began early to build dikes along the larger rivers. A river between dikes can no longer spread, and its bed
rises year by year until it flows above the fields. Engineers therefore give rivers room again: they move dikes back,
dig side channels, and let meadows be flooded on purpose when a high crest is forecast. Forecasts rest on gauges that
report the level every few minutes, on radar that sees where rain is falling, and on models that turn both into a
curve for the days ahead. Dams store the water of wet months for dry ones, drive turbines, and hold back the sediment
as well. Behind an old dam the lake may be half filled with mud, while the coast below it is eaten away by the waves.
Where the river meets the sea its current dies, and what it still carries sinks to the bottom. Over time the deposits
reach the surface, the stream divides, and a delta grows with arms, islands and lagoons. Salt and fresh water mix
there with every tide, which makes deltas rich in fish, birds and people. Nearly every large delta is sinking, because
its mud is pressed together under its own weight and no new mud comes. Pumping groundwater or gas makes it sink
faster; cities have gone down by four metres within a lifetime. Out on the shelf, currents sort the grains once more
and bury the remains of plankton among them. Under the weight of later layers mud becomes shale, sand becomes
sandstone, and lime becomes limestone. When plates collide these rocks are folded and lifted up, and the rain begins
to take the new mountain apart. Chemistry helps: rain takes up carbon dioxide from the air and dissolves limestone
grain by grain. Caves are the visible part of that work, and the hard water in the kettles of a whole region is
another. Dissolved calcium reaches the sea, where shells and reefs are built of it, so that the circle is closed.
Silicate rocks weather far more slowly, yet over millions of years they bind enough carbon dioxide to cool the climate
of the earth. How much a river carries is measured with bottles that are lowered to several depths, filtered and
weighed. Satellites see the colour of the water, from which the amount of fine mud can be estimated for rivers that
nobody samples. The Amazon alone brings about a fifth of all river water to the oceans, and its plume can be seen for
hundreds of kilometres. The Yellow River once carried more mud than any other, so much that a bucket of its water held
a kilogram of soil. Terraces, new forests and thousands of small dams have reduced that load by nine tenths within
fifty years. Plants hold the soil with their roots, slow the drops with their leaves, and drink a good part of the
rain themselves. After a fire or a careless clearing the next storm may take away what had formed since the last ice
age. A handful of good soil needs centuries to form, and one bad field can lose it in a single afternoon. Fertilizer
washed from fields feeds algae downstream, which die, sink, and use up the oxygen at the bottom. Such dead zones
return each summer off the mouths of several great rivers and drive the fishermen away. Strips of grass and trees
along the banks catch much of the fertilizer, and cost little more than the land. Whoever wants to understand a coast
does well to begin with the mountains, and with the people in between. Old maps, cores drilled from lake beds and the
rings of drowned trees tell how rivers behaved before there were gauges.
"""
_SENTENCES = tuple(" ".join(each.split()) for each in re.split(r"(?<=\.)\s+", _TEXT.strip()))
