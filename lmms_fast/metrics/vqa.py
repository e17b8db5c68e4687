"""VQA accuracy (arXiv 1505.00468) and the text normaliser before it, with the quirks that published numbers rest on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType

from lmms_fast.metrics.plain import TO_TEN
from lmms_fast.metrics.punctuation import vqa_punctuation
from lmms_fast.metrics.rule import Matcher, Options, one_of
from lmms_fast.metrics.text import best, texts
from lmms_fast.types import Prediction, Sample


def _vqa(prediction: Prediction, sample: Sample, options: Options) -> float:
    """Agreement with the annotators: each in turn is left out, and three that agree among the others are full credit.

    So of ten, one match is worth 0.3, two 0.6, three 0.9 and four 1.0, where "a third of the matches" would give 0.33,
    0.67 and 1. One annotator alone leaves nobody to agree with: 0. `normaliser`: ``textvqa`` (the default; also of
    OK-VQA and VizWiz) or ``vqav2``, see below.
    """
    normalise = _NORMALISERS[options.get("normaliser", "textvqa")]
    golds = Counter[str]()
    for gold, times in Counter(sample.target).items():  # annotators repeat one another: normalise each answer once
        golds[normalise(gold)] += times
    return max((_agreement(golds[normalise(text)], golds.total()) for text in texts(prediction)), default=0.0)


def _agreement(matches: int, annotators: int) -> float:
    if not annotators:
        return 0.0
    # Over those who gave this answer, then over the others; whole numbers, so that one division is all that rounds.
    thirds = matches * min(3, matches - 1) + (annotators - matches) * min(3, matches)
    return thirds / (3 * annotators)


def _vqa_equal(prediction: Prediction, sample: Sample, _: Options) -> float:
    """Equal after the normaliser of TextVQA: lmms-eval's rule for SimpleVQA (arXiv 2502.13059).

    The benchmark itself has a judge model grade the answers.
    """
    return best(prediction, sample, lambda text, gold: float(normalise_textvqa(text) == normalise_textvqa(gold)))


def normalise_textvqa(text: str) -> str:
    """An answer as TextVQA's evaluation (facebookresearch/mmf, `EvalAIAnswerProcessor`) compares it.

    Before `normalise_vqav2`: lower case, no commas and question marks, ``'s`` set apart.
    """
    return normalise_vqav2(text.lower().replace(",", "").replace("?", "").replace("'s", " 's").strip())


def normalise_vqav2(text: str) -> str:
    """An answer as the VQA challenge's evaluation (repository GT-Vision-Lab/VQA) compares it.

    Punctuation as in `vqa_punctuation`; number words up to ten become digits ("none" is 0), articles go, apostrophes
    that are missing come back. An answer of nothing else ("A") becomes empty.
    """
    text = vqa_punctuation(text.replace("\n", " ").replace("\t", " ").strip())
    words = (_NUMBER_WORDS.get(word, word) for word in text.lower().split())
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


_NORMALISERS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {"textvqa": normalise_textvqa, "vqav2": normalise_vqav2}
)
_ARTICLES = frozenset({"a", "an", "the"})
_NUMBER_WORDS = {"none": "0", **TO_TEN}

# The challenge's table, odd entries included ("somebody'd" loses its apostrophe). Left out are those that change
# nothing: a word onto itself, and keys with a capital, since words are in lower case here.
_TABLE = """
    aint>ain't arent>aren't cant>can't couldve>could've couldnt>couldn't couldn'tve>couldn't've
    couldnt've>couldn't've didnt>didn't doesnt>doesn't dont>don't hadnt>hadn't hadnt've>hadn't've
    hadn'tve>hadn't've hasnt>hasn't havent>haven't hed>he'd hed've>he'd've he'dve>he'd've hes>he's howd>how'd
    howll>how'll hows>how's isnt>isn't itd>it'd itd've>it'd've it'dve>it'd've itll>it'll maam>ma'am
    mightnt>mightn't mightnt've>mightn't've mightn'tve>mightn't've mightve>might've mustnt>mustn't mustve>must've
    neednt>needn't notve>not've oclock>o'clock oughtnt>oughtn't ow's'at>'ow's'at 'ows'at>'ow's'at 'ow'sat>'ow's'at
    shant>shan't shed've>she'd've she'dve>she'd've shouldve>should've shouldnt>shouldn't shouldnt've>shouldn't've
    shouldn'tve>shouldn't've somebody'd>somebodyd somebodyd've>somebody'd've somebody'dve>somebody'd've
    somebodyll>somebody'll somebodys>somebody's someoned>someone'd someoned've>someone'd've
    someone'dve>someone'd've someonell>someone'll someones>someone's somethingd>something'd
    somethingd've>something'd've something'dve>something'd've somethingll>something'll thats>that's thered>there'd
    thered've>there'd've there'dve>there'd've therere>there're theres>there's theyd>they'd theyd've>they'd've
    they'dve>they'd've theyll>they'll theyre>they're theyve>they've twas>'twas wasnt>wasn't wed've>we'd've
    we'dve>we'd've weve>we've werent>weren't whatll>what'll whatre>what're whats>what's whatve>what've
    whens>when's whered>where'd wheres>where's whereve>where've whod>who'd whod've>who'd've who'dve>who'd've
    wholl>who'll whos>who's whove>who've whyll>why'll whyre>why're whys>why's wont>won't wouldve>would've
    wouldnt>wouldn't wouldnt've>wouldn't've wouldn'tve>wouldn't've yall>y'all yall'll>y'all'll y'allll>y'all'll
    yall'd've>y'all'd've y'alld've>y'all'd've y'all'dve>y'all'd've youd>you'd youd've>you'd've you'dve>you'd've
    youll>you'll youre>you're youve>you've
"""
_CONTRACTIONS = dict(pair.split(">") for pair in _TABLE.split())

MATCHERS: Mapping[str, Matcher] = MappingProxyType(
    {
        "vqa": Matcher(_vqa, frozenset({"normaliser"}), one_of("score.match", normaliser=tuple(_NORMALISERS))),
        "vqa_equal": Matcher(_vqa_equal),
    }
)
