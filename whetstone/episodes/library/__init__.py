"""All episodes in the browser: a list, a search over all of them, and what people may put right by hand.

What it keeps (`stored.py`) needs no server; what shows it (`app.py`, `serve.py`) needs the packages of one.
"""
