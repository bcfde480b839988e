"""tmp"""


def render(report: dict) -> str:
    return "<p>tmp</p>"
