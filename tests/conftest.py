"""What holds for all tests."""

import os
import signal
import tempfile
from pathlib import Path

from hypothesis import settings

# The tests' own looks and rounds must not be counted in the history of whoever runs them. Set before any test starts a
# process, for that inherits it.
_folder = tempfile.TemporaryDirectory(prefix="whetstone-history-")
os.environ["WHETSTONE_HISTORY"] = str(Path(_folder.name) / "history.sqlite")

# How long an example takes says how busy the machine is, and nothing about what is tested.
settings.register_profile("whetstone", deadline=None, derandomize=True)
# The same examples every time, so that a change is judged by what it changes. Others: `make test-explore`.
settings.register_profile("explore", deadline=None, max_examples=200)
settings.load_profile("whetstone")

# A shell that puts the run into the background lets it ignore Ctrl-C, and every child of a test inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)
