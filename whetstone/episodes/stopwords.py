"""English words that say little about what a text is about. A query of other words does without them."""

_WORDS = """
    a about above after again all also am an and any are aren as at be because been before being below between both but
    by can cannot could couldn did didn do does doesn doing don down during each else ever few for from further get got
    had hadn has hasn have haven having he her here hers herself him himself his how i if in into is isn it its itself
    just ll let me might more most mustn my myself no nor not now of off oh ok okay on once one only or other our ours
    ourselves out over own re s same shall shan she should shouldn so some such t than that the their theirs them
    themselves then there these they this those through to too uh um under until up us ve very was wasn we were weren
    what when where which while who whom why will with won would wouldn yeah yes you your yours yourself yourselves
"""
STOPWORDS = frozenset(_WORDS.split())
