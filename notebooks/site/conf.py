"""Sphinx settings of the static site: notebooks with the outputs they were committed with; nothing from the network."""

project = "minigemma"
author = "the minigemma authors"
copyright = "the minigemma authors, Apache-2.0"
extensions = ["myst_nb"]
html_theme = "sphinx_book_theme"
html_title = "minigemma"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {"show_navbar_depth": 1, "use_download_button": False, "use_fullscreen_button": False}
html_copy_source = False
html_show_sourcelink = False
exclude_patterns = ["_static"]

nb_execution_mode = "off"  # what is shown is what was committed
nb_ipywidgets_js = {"require.js": {}, "embed-amd.js": {}}
mathjax_path = "tex-svg.js"
mathjax3_config = {"options": {"enableSpeech": False, "enableBraille": False, "enableMenu": False}}
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
suppress_warnings = ["mystnb.unknown_mime_type", "misc.highlighting_failure"]
