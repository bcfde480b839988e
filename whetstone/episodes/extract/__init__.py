"""What can be said of a conversation without a model: everything is somebody's own words."""

from whetstone.episodes.extract.choosing import content_without_model

__all__ = ["content_without_model"]
