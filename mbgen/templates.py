"""How templates are read: one environment for C, for build files and for pages.

Knows Jinja and the folders of `templates/`. May not know what a template is for.
"""

from __future__ import annotations

import functools

import jinja2

from mbgen.data import data_folder


@functools.cache
def environment(*folders: str, escape_html: bool = False) -> jinja2.Environment:
    """Reads from these folders of `templates/`; a name that is not defined is an error, and lines of tags leave none.

    Made once in a process: templates take longer to read than to fill, and tuning fills thousands.
    """
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([data_folder("templates") / folder for folder in folders]),
        undefined=jinja2.StrictUndefined,
        autoescape=escape_html,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
