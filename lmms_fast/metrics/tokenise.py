"""Captions into the words that caption metrics count.

`penn_words` follows what the reference for COCO captions (arXiv 1504.00325; salaniz/pycocoevalcap) does: the Penn
Treebank tokeniser of Stanford CoreNLP 3.4.1 with ``-preserveLines -lowerCase``, after which punctuation is dropped. The
rules below were written from that program's answers to probes, not from its source. Compared with it, word lists are
the same for 25,009 of 25,010 references of COCO (the reference reads the whole file: there a caption ended in "D." and
the next began with a capital), for 5,000 long descriptions by a model, and for 98.9% of 40,000 lines of prompts and
answers with formulas, tables and several languages. What differs there: numbers in formulas, smileys, rare addresses.
"""

from __future__ import annotations

import re

_DROPPED = frozenset(("''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"))
"""The reference lists -LRB-, -RRB-, -LCB- and -RCB- too, but tokens come in lower case, so its brackets stay."""
_SPELT = {
    "(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-",
    "&amp;": "&", "&lt;": "<", "&gt;": ">", "½": "1/2", "¼": "1/4", "¾": "3/4", "⅓": "1/3", "⅔": "2/3",
    "€": "$", "¤": "$", "₠": "$", "£": "#", "¢": "cents",
    **dict.fromkeys('"‘’‛“”«»‹›–—―…', "'"),  # quotes, dashes, dots: dropped, so one stands for all
}  # fmt: skip
_SYMBOLS = (
    r"\x21-\x7e\xa1-\u03f6\u2013-\u2023\u2026\u2030-\u203b\u203e-\u2042\u2044\u207a-\u20a0\u20a4\u20ac\u2100-\u214f"
    r"\u2190-\u2bff\u3001\u3002\uff01-\uffe6"
)
"""What else is a word of its own. Other characters, such as emoji, part words and vanish."""

# Abbreviations keep their period: the capitalised ones only with a capital, the numbered ones only before a digit.
_SHORT = (
    "adj adm adv al ala alex apr ariz assn assoc asst atty aug ave bancorp bhd bldg blvd brig bros calif capt cf cie "
    "cmdr co col colo comdr conn corp cos cpl ct dak dec dept det dr drs elec ens esq est etc ext feb fla fri ft ga "
    "gen gov govs hon inc ind insp intl invt jan jos jr jul jun kan kans ky lieut lt ltd maj mar md messrs mfg mich "
    "minn mlle mme mo mon mont mr mrs ms msgr mt mtg natl neb nev nov oct okla penn pfc ph plc ppte ppty pres prof "
    "profs pte ptes pty ptys pvt rd rep reps rev rt sen sens sep sept seq sfc sgt spc sq sr st ste supt sys tel tenn "
    "thu thurs treas tue tues univ va vs vt wed wis wisc wm wyo"
)
_SHORT_CAPITALISED = "ark az del ill la mass miss ore pa tex wash"
_SHORT_NUMBERED = "art ca fig figs no nos op pp prop"
# A letter loses its period before a word that begins a sentence.
_OPENERS = (
    "A About According Additionally After An As At But Earlier He Her Here However If In It Last Many More Now Once "
    "One Other Our She Since So Some Such That The Their Then There These They This We What When While Yet You"
)


def _any(words: str) -> str:
    return f"(?:{'|'.join(words.split())})"


_L = r"[^\W\d_²³¹⁰-₟⅐-↏①-⓿¼-¾]"
_A = r"[^\W_²³¹⁰-₟⅐-↏①-⓿¼-¾]"
_END = rf"(?!{_A})"
_WORD = rf"{_A}++(?:(?:_|[\u0300-\u036f]++){_A}++)*+[\u0300-\u036f]*+"  # with accents written apart
_MORE = rf"(?:[-‐‑]{_WORD})*+"
_HYPHENED = _WORD + _MORE
_TWO_WORDS = r"can(?=not\b) (?:gon|wan)(?=na\b) got(?=ta\b) (?:gim|lem)(?=me\b)"
_NOT = rf"[nN]['’`‘][tT]{_END}"
_SUFFIX = rf"['’](?:[sSmMdD]|ll|re|ve|Ll|Re|Ve|LL|RE|VE){_END}"
_NAME = rf"(?:[dDlLnNoO]|[A-HJ-XZ])['’](?!(?i:ll|re|ve){_END}){_L}{{2,}}+"  # O'Brien
_BETWEEN_VOWELS = rf"{_L}*?[aeiouyAEIOUY]['’][aeiouAEIOU]{_L}*+"  # ma'am
_KNOWN = rf"(?i:jack-o'lantern|nor'easter|c'mon|cap'n|e'er|ev'ry|li'l){_END}"
_SLASHED = r"[A-Za-z0-9]++(?:-[A-Za-z0-9]++)*+(?:/[A-Za-z0-9]++(?:-[A-Za-z0-9]++)*+){1,2}"
# Behind the @, marks and closing brackets are the address's too: "a@b.org, c" has the word "a@b.org,".
_EMAIL = r"[A-Za-z0-9][\w.+-]{0,63}@[^\s<>\"|().{}]{1,63}(?:\.[^\s<>\"|().{}]{1,63}){0,8}"
_PHONE = (
    r"(?:\([0-9]{2,3}\)[ ]?|\+?[0-9]{2,4}[- ](?:[0-9]{2,4}[- ])?)"
    r"(?:[0-9]{3,4}[- ]?[0-9]{3,4}|[0-9]{3,4}[- ][0-9]{5})(?![0-9])"
)

# Tried from top to bottom at each place, longer readings above shorter ones; what none reads is dropped. Repetitions
# are possessive or bounded, so that no run of characters is walked more than a few times.
_TOKEN = re.compile(
    rf"""
      (?!{_any("cannot gonna wanna gotta gimme lemme")}\b)[a-z]++(?=[ ,]|$)
    | (?={_L})(?:
          (?:https?://|www\.)[^\s<>"|()]{{1,500}}(?<![.,;:!?'])
        | {_EMAIL} | (?P<contracted>{_NOT})
        | (?:(?i:{_any(_SHORT)})\.(?!{_L})
            | (?=[A-Z])(?i:{_any(_SHORT_CAPITALISED)})\.(?!{_L})
            | (?:{_L}\.){{2,}}+(?!{_L})){_MORE}
        | (?i:{_any(_SHORT_NUMBERED)})\.(?=[ ]?[0-9])
        | [A-Za-z]\.(?!{_L})(?![ ]+(?:{_any(_OPENERS)}(?:[ ]|$)|Mr?s?\.))
        | [A-Z]++(?:(?:&(?:amp;)?|\+)[A-Z]++)++ | [A-Z]++\$ | [cCfF]\# | [cC]\+\+
        | {_SLASHED}
        | {_L}{_A}*+(?:[.!?]{_L}{_A}*+)++
        | [jyY]['’](?={_L}) | {_NAME}{_MORE} | {_BETWEEN_VOWELS} | {_KNOWN}
        | (?i:(?:[djl]|ol|dunkin)['’](?!(?:[smd]|ll|re|ve){_END}))
        | {_L}+?(?={_NOT})
        | (?i:{_any(_TWO_WORDS)})
        | {_HYPHENED}(?:\.(?=[,;:]))?)
    | (?P<spaced></?[A-Za-z!][^<>]{{0,200}}+> | {_PHONE} | [0-9]{{1,4}}[ ][0-9]{{1,4}}/[0-9]{{1,4}}(?![0-9/])
        | >?[:;=][-o^]?[()])
    | (?={_A})(?:
          {_EMAIL}
        | {_SLASHED}
        | [0-9]++(?:,[0-9]++)*+(?:\.[0-9]++)*+(?:[-‐‑]{_WORD})++
        | [0-9]++(?:[.,:][0-9]++)++
        | {_HYPHENED}(?:\.(?=[,;:]))?)
    | (?P<apostrophe>{_SUFFIX})
    | ['’](?:n['’]{_END}|[0-9]0s{_END}|[0-9][0-9](?=[ ]|$)|(?:em|n|till?|cause){_END}|(?i:t)(?=(?i:is|was)\b))
    | @[A-Za-z]\w*+ | \#(?:{_L}++|\#+) | [:;]-?[DpP3]{_END} | =D{_END} | [:;=]\| | =\\(?!\w) | \^_\^
    | [-+]?[.,:]?[0-9]++(?:[.,:][0-9]++)*+
    | \.{{3,}} | -{{2,4}}(?!-) | -{{5,}} | [?!]{{2,}} | \*+ | _+ | <<|>>
    | (?P<symbol>&(?:amp|lt|gt); | [{_SYMBOLS}])
    """,
    re.VERBOSE,
)
_BEYOND = re.compile("[\U00010000-\U0010ffff]")


def penn_words(caption: str) -> str:
    """The caption's words in lower case, one space between them (a fraction such as ``1 1/2`` holds a hard space)."""
    if not caption.isascii():
        caption = _BEYOND.sub(" ", caption.replace("\xad", ""))
    words = (_word(found) for found in _TOKEN.finditer(" ".join(caption.split())))
    return " ".join(word for word in words if word not in _DROPPED)


def _word(found: re.Match[str]) -> str:
    text, kind = found[0], found.lastgroup
    if kind == "symbol":
        return _SPELT.get(text, text)
    if kind == "spaced":
        text = text.replace("(", "-lrb-").replace(")", "-rrb-").replace(" ", "\xa0")
    elif kind in ("apostrophe", "contracted"):
        text = text.replace("’", "'")
    elif text[0] in ".-" and not text.strip(".-") and len(text) < 5:
        return "-"
    return text.lower()
