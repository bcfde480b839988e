"""An episode's page: one folder that needs no server and no scripts, and says where each of its words comes from."""

from whetstone.episodes.page.folder import write_page
from whetstone.episodes.page.render import Desk, render

__all__ = ["Desk", "render", "write_page"]
