"""Words of closed classes, such as prepositions: few words, all frequent, most of which WordNet lacks.

A class is named by the plural that is true of each of its words. A word may be of several: "that" is a
demonstrative, a determiner, a relative pronoun and a conjunction. Number words have senses in WordNet as
well; of the others none counts, since what WordNet has of them is rare beside their use ("in", an inch).
"""

from __future__ import annotations

_WORDS = {
    "forms of I": "i me my mine myself",
    "forms of we": "we us our ours ourselves",
    "forms of you": "you your yours yourself yourselves",
    "forms of he": "he him his himself",
    "forms of she": "she her hers herself",
    "forms of it": "it its itself",
    "forms of they": "they them their theirs themselves",
    "forms of thou": "thou thee thy thine thyself",
    "personal pronouns": "i you he she it we they me him her us them thou thee",
    "possessives": "my your his her its our their mine yours hers ours theirs whose thy thine",
    "reflexive pronouns": """myself yourself himself herself itself oneself ourselves yourselves themselves
        thyself""",
    "relative pronouns": "who whom whose which that",
    "indefinite pronouns": """anybody anyone anything everybody everyone everything nobody none nothing one
        somebody someone something""",
    "question words": "what when where which who whom whose why how",
    "modal verbs": """can could may might must ought shall should will would cannot can't couldn't mightn't
        mustn't shan't shouldn't won't wouldn't""",
    "forms of be": "am are be been being is was were aren't isn't wasn't weren't",
    "forms of have": "had has have having hadn't hasn't haven't",
    "forms of do": "did do does doing done didn't doesn't don't",
    "prepositions": """about above across after against along amid among amongst around as at before behind
        below beneath beside besides between beyond by despite down during except for from in inside into
        like near of off on onto out outside over past per round since than through throughout till to
        toward towards under underneath until unto up upon via with within without""",
    "conjunctions": """after although and as because before but for if lest nor once or since so than that
        though till unless until when whenever where whereas wherever whether while yet""",
    "articles": "a an the",
    "demonstratives": "that these this those",
    "quantifiers": """all any both each either enough every few fewer less least many more most much neither
        no none several some""",
    "determiners": """a all an another any both each either enough every few fewer her his its least less
        many more most much my neither no our several some that the their these this those what which whose
        your""",
    "adverbs of frequency": """always constantly ever frequently generally never normally occasionally often
        rarely regularly seldom sometimes usually""",
    "words that negate": """cannot neither never no nobody none nor not nothing nowhere aren't can't
        couldn't didn't doesn't don't hadn't hasn't haven't isn't mightn't mustn't shan't shouldn't wasn't
        weren't won't wouldn't""",
    "contractions": """aren't can't couldn't didn't doesn't don't hadn't hasn't haven't he'd he'll he's
        here's how's i'd i'll i'm i've isn't it'd it'll it's let's mightn't mustn't shan't she'd she'll
        she's shouldn't that'll that's there's they'd they'll they're they've wasn't we'd we'll we're we've
        weren't what's where's who's won't wouldn't you'd you'll you're you've""",
    "number words": """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen
        fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety
        hundred thousand million billion trillion""",
    "ordinal numbers": """first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth
        thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth thirtieth
        fortieth fiftieth hundredth thousandth millionth""",
}
_UNIONS = {
    "auxiliary verbs": ("modal verbs", "forms of be", "forms of have", "forms of do"),
    "pronouns": ("personal pronouns", "reflexive pronouns", "relative pronouns", "indefinite pronouns"),
}
_OPEN = ("number words", "ordinal numbers")  # whose words have senses in WordNet that count
_NO_CLASS = """
    again ago almost already also away back became become else etc even further hence here however instead
    just now only other others otherwise own perhaps quite rather same somewhat soon still such then there
    therefore thus together too very well whatever whichever whoever whole yes
"""
_OWN = {name: frozenset(words.split()) for name, words in _WORDS.items()}
# The words of each class, in lower case and with straight apostrophes.
CLASSES = _OWN | {name: frozenset().union(*map(_OWN.__getitem__, parts)) for name, parts in _UNIONS.items()}
_NUMBERS = frozenset().union(*map(_OWN.__getitem__, _OPEN))
# All closed words but numbers, with some of no class here.
CLOSED = frozenset(_NO_CLASS.split()).union(*CLASSES.values()) - _NUMBERS
# Closed words that are common as adjectives too: of these senses WordNet's count.
ADJECTIVES = frozenset({"near", "other", "own", "past", "round", "same"})
