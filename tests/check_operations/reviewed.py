"""Pairs that fail a library check but were read and kept, each with the reason."""

from __future__ import annotations

_BY_REASON: dict[str, dict[str, str]] = {
    "name_copying": {"African first names that gender-guesser lacks": "Kwame, Chinua, Ngozi, Thabo"},
    "country_to_capital": {
        "renamed back from Nur-Sultan in 2022": "Kazakhstan > Astana",
        "the constitutional capital; the libraries give Colombo": "Sri Lanka > Sri Jayawardenepura Kotte",
        "parts of the United Kingdom": "England > London, Scotland > Edinburgh, Wales > Cardiff,"
        " Northern Ireland > Belfast",
    },
    "country_to_official_language": {
        "CLDR says Persian; Dari is the official name": "Afghanistan > Dari",
        "another name of the CLDR language": "Bangladesh > Bengali, Burundi > Kirundi, Eswatini > Swazi,"
        " Lesotho > Sesotho, Maldives > Dhivehi, Nauru > Nauruan, Tuvalu > Tuvaluan",
        "named so in the constitution; CLDR has Serbian": "Montenegro > Montenegrin",
        "CLDR calls the country Palestinian Territories": "Palestine > Arabic",
    },
    "object_to_superclass": {
        "WordNet says plant, bulb or herb": "rose > flower, tulip > flower, lily > flower, daffodil > flower,"
        " violet > flower",
        "WordNet says monetary unit": "euro > currency, yen > currency, peso > currency, rupee > currency,"
        " ruble > currency",
        "WordNet says day of the week": "Monday > day, Tuesday > day, Wednesday > day, Thursday > day,"
        " Friday > day, Saturday > day, Sunday > day",
        "WordNet says garment or lists the singular": "jeans > clothing, trousers > clothing, socks > clothing",
        "the usual class, on another branch in WordNet": "bomb > weapon, train > vehicle, malaria > disease,"
        " juice > drink, brother > sibling, sister > sibling, brain > organ, skin > organ, salt > mineral,"
        " pepper > spice, cumin > spice",
    },
    "work_to_location": {"the occupation is not in WordNet": "barista > cafe, zookeeper > zoo"},
    "adjective_to_comparative": {"suppletive forms": "little > less, many > more"},
    "adjective_to_superlative": {"suppletive forms": "little > least, many > most"},
    "noun_to_pronoun": {"plural only, no singular": "scissors > them, jeans > them, clothes > them"},
    "word_to_antonym": {
        "opposites that WordNet does not link (both ways)": "life/death, build/destroy, teach/learn, save/spend,"
        " everything/nothing, everyone/nobody, profit/loss, income/expense, hero/villain, teacher/student,"
        " master/servant, guest/host, ancient/modern, real/fake, freedom/slavery, order/chaos, angel/devil,"
        " noon/midnight, ceiling/floor, freeze/melt, join/separate, reward/punish, before/after, over/under,"
        " with/without, for/against, both/neither, vague/precise, fiction/fact, truth/lie, knowledge/ignorance,"
        " virtue/vice, hello/goodbye, input/output, offline/online",
        "opposites that WordNet does not link (one way)": "create > destroy, confirm > deny",
    },
    "word_to_synonym": {
        "WordNet has one as a kind of the other, or no link": "normal > usual, great > excellent, road > street,"
        " method > way, place > location, advice > counsel, very/extremely, mostly > mainly,"
        " clearly > obviously, now > currently, previously > before",
        "pronouns are not in WordNet": "everybody/everyone, anybody/anyone",
    },
}


def _expand(item: str) -> list[str]:
    """Return the "source > target" lines of one item ("a > b", "a/b" or "a")."""
    if "/" in item:
        left, right = item.split("/")
        return [f"{left} > {right}", f"{right} > {left}"]
    return [item if ">" in item else f"{item} > {item}"]


REVIEWED: dict[str, dict[str, str]] = {
    name: {line: why for why, items in reasons.items() for item in items.split(", ") for line in _expand(item)}
    for name, reasons in _BY_REASON.items()
}
