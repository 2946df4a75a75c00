"""One script for each experiment; each writes its report to ``docs/experiments``.

``python -m experiments.ssr --help``, from the root of the repository. Nothing else imports from here, and nothing here
is part of an installation.
"""
