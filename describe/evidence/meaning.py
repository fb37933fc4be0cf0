"""Meanings of tokens, by WordNet (`describe.evidence.lexicon`) and closed lists: tables of properties and relations."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

from describe.evidence.grammar import words
from describe.evidence.lexicon import load_lexicon
from describe.evidence.properties import Property, Token
from describe.evidence.relations import Relation

__all__ = ["MEANINGS", "MEANING_RELATIONS", "OPERATION_GROUPS"]

CLASSES = {
    "animal": "animals",
    "body_part": "parts of the body",
    "food": "food and drink",
    "plant": "plants",
    "substance": "substances",
    "person": "words for people",
    "people": "groups of people",
    "place": "places",
    "nature": "things of nature",
    "artefact": "things that people make",
    "time": "words of time",
    "quantity": "quantities",
    "possession": "money and possessions",
    "feeling": "feelings",
    "condition": "states and conditions",
    "quality": "qualities",
    "thought": "thoughts and fields of knowledge",
    "communication": "speech, writing and signs",
    "event": "events",
    "act": "acts",
    "verb_motion": "verbs of motion",
    "verb_speech": "verbs of speech",
    "verb_thought": "verbs of thought",
    "verb_perception": "verbs of perception",
    "verb_emotion": "verbs of feeling",
    "verb_contact": "verbs of touch and handling",
    "verb_making": "verbs of making",
    "verb_possession": "verbs of having and giving",
    "verb_social": "verbs of dealing with people",
    "verb_change": "verbs of change",
}
"""Classes of the lexicon, as they are said."""

BRITISH_PIECES = words("ise ised ises ising iser isers isation isations isable yse ysed ysing our ours oured ouring")
AMERICAN_PIECES = words("ize ized izes izing izer izers ization izations izable yze yzed yzing")
"""Pieces of words that are spelt so."""

PERSONS = {
    "first": words("i me my mine myself we us our ours ourselves"),
    "second": words("you your yours yourself yourselves"),
    "masculine": words("he him his himself"),
    "feminine": words("she her hers herself"),
    "neuter": words("it its itself this that"),
    "plural": words("they them their theirs themselves these those"),
}
"""Pronouns by person, number and gender."""

MEN = words(
    "man men boy father dad son brother uncle husband king prince lord gentleman nephew grandfather grandson actor"
    " waiter monk priest duke john james paul david michael robert william peter thomas george richard charles joseph"
    " daniel mark edward henry andrew jack steven stephen brian kevin jason jeff gary eric scott frank matthew adam"
    " simon alan ben sam tom tim jim bob bill joe mike dave steve chris tony max oliver harry philip ryan jacob"
)
WOMEN = words(
    "woman girl mother mom mum daughter sister aunt wife queen princess lady niece grandmother granddaughter actress"
    " waitress nun duchess mary elizabeth sarah anna anne jane susan karen lisa nancy laura emily emma jennifer jessica"
    " helen margaret linda barbara patricia maria julia kate alice rachel rebecca amy michelle kelly diana lucy sophie"
    " victoria catherine caroline charlotte grace ruth martha eva ellen rose amanda melissa nicole stephanie"
)
VERBS = {"singular": words("is was has does isn doesn wasn hasn"), "plural": words("are were have do aren don weren")}
"""Forms of auxiliaries by the number of their subject."""


def _of_class(name: str) -> Callable[[Token], bool]:
    return lambda token: name in token.classes


def _words(token: Token) -> list[str]:
    """The plain forms of the word, itself if the dictionary has none."""
    return sorted(token.lemmas)[:4] or ([token.fold] if token.fold.isalpha() else [])


def _is_nationality(token: Token) -> bool:
    return token.word[:1].isupper() and bool(_nations_named(token))


def _nations_named(token: Token) -> frozenset[str]:
    """Countries whose people or things the word names: it is one of `Lexicon.nations`, or their plural."""
    nations = load_lexicon().nations
    return nations.get(token.fold) or nations.get(token.fold.removesuffix("s"), frozenset())


@lru_cache(maxsize=1)
def _countries() -> frozenset[str]:
    return frozenset(name for names in load_lexicon().nations.values() for name in names)


def _is_place(token: Token) -> bool:
    named = token.fold in _countries() or token.fold in load_lexicon().parts
    return token.word[:1].isupper() and len(token.fold) > 3 and named


def _in_country(token: Token) -> Iterable[str]:
    """The countries that a place is or lies in."""
    if not _is_place(token):
        return []
    return sorted(({token.fold} | load_lexicon().parts.get(token.fold, frozenset())) & _countries())


def _of_country(token: Token) -> Iterable[str]:
    return sorted(_nations_named(token)) if token.word[:1].isupper() else []


@lru_cache(maxsize=1)
def _american_spellings() -> frozenset[str]:
    return frozenset(load_lexicon().spellings.values())


def _is_british(token: Token) -> bool:
    spellings = load_lexicon().spellings
    return any(word in spellings for word in _spelt(token)) or (token.inner and token.fold in BRITISH_PIECES)


def _is_american(token: Token) -> bool:
    spellings = _american_spellings()
    return any(word in spellings for word in _spelt(token)) or (token.inner and token.fold in AMERICAN_PIECES)


def _spelt(token: Token) -> Iterable[str]:
    return {token.fold, *token.lemmas}


def _respelt(token: Token) -> Iterable[str]:
    """The American spelling of a word that has another."""
    spellings = load_lexicon().spellings
    return sorted({spellings.get(word, word) for word in _spelt(token) if _has_spellings(word)})


def _has_spellings(word: str) -> bool:
    return word in load_lexicon().spellings or word in _american_spellings()


def _opposites(token: Token) -> Iterable[str]:
    opposites = load_lexicon().opposites
    return sorted({found for word in _words(token) for found in opposites.get(word, ())})


def _kinds(token: Token) -> Iterable[str]:
    kinds = load_lexicon().kinds
    return sorted({found for word in _words(token) for found in kinds(word)})


def _stands_for(token: Token) -> Iterable[str]:
    """The person, number and gender of a noun, a name or a pronoun."""
    if of_pronoun := _pronoun(token):
        return of_pronoun
    if token.fold in MEN or token.fold in WOMEN:
        return [*(["masculine"] if token.fold in MEN else ["feminine"]), *(["plural"] if "NNS" in token.tags else [])]
    if "NNS" in token.tags:
        return ["plural"]
    return ["neuter"] if "NOUN" in token.tags else []


def _pronoun(token: Token) -> list[str]:
    return [name for name, listed in PERSONS.items() if token.fold in listed]


def _number(token: Token) -> Iterable[str]:
    """Singular or plural, of a noun, a name or a pronoun."""
    found = set(_stands_for(token)) - {"first", "second"}
    return sorted({"plural" if name == "plural" else "singular" for name in found})


def _verb_number(token: Token) -> Iterable[str]:
    listed = [name for name, forms in VERBS.items() if token.fold in forms]
    return listed or (["singular"] if "VBZ" in token.tags and "NNS" not in token.tags else [])


def _person(name: str) -> Callable[[Token], bool]:
    return lambda token: token.fold in PERSONS[name]


MEANINGS = (
    Property("british_spelling", "spelling", "British spellings", _is_british),
    Property("american_spelling", "spelling", "American spellings", _is_american),
    Property("nationality", "meaning", "nationalities", _is_nationality),
    Property("place_name", "meaning", "names of places", _is_place),
    *(Property(f"class_{name}", "meaning", said, _of_class(name)) for name, said in CLASSES.items()),
    Property("first_person", "person", "pronouns of the first person", _person("first")),
    Property("second_person", "person", "pronouns of the second person", _person("second")),
    Property("masculine", "person", "masculine pronouns", _person("masculine")),
    Property("feminine", "person", "feminine pronouns", _person("feminine")),
    Property("plural_pronoun", "person", "plural pronouns and determiners", _person("plural")),
    Property("third_person_verb", "person", "verbs in the third person singular", lambda token: "VBZ" in token.tags),
)

MEANING_RELATIONS = (
    Relation("antonym", "opposite", "gives words of opposite meaning", _opposites, _words),
    Relation("kind", "kind", "gives the kind of thing that the input is", _kinds, _words),
    Relation("kind_reversed", "kind", "gives things of the kind that the input names", _words, _kinds),
    Relation("place_to_nationality", "nation", "maps a place to the nationality", _in_country, _of_country, ""),
    Relation("nationality_to_place", "nation", "maps a nationality to its places", _of_country, _in_country, ""),
    Relation("spelling", "spelling", "gives the other spelling, British or American", _respelt, _respelt),
    Relation("reference", "reference", "gives pronouns that stand for the input", _stands_for, _pronoun),
    Relation("agreement", "agreement", "gives verb forms of the number of the input", _number, _verb_number),
)

OPERATION_GROUPS = {
    "word_to_antonym": "opposite",
    "word_to_antonym_reversed": "opposite",
    "object_to_superclass": "kind",
    "noun_to_pronoun": "reference",
    "noun_to_subject_pronoun": "reference",
}
"""The groups of operations that say what a relation of the table says too."""
