"""Removing personal data and secrets from every text before it is written.

::

    from ragwheel import redaction

    ragwheel.configure(redact=redaction.standard())                       # e-mail, phone, card, iban, secret
    ragwheel.configure(redact=redaction.patterns("email", "secret"))      # some of them
    ragwheel.configure(redact=redaction.chain(redaction.standard(), my_own))
    ragwheel.configure(redact=redaction.presidio())                       # names and places, with Presidio

or ``RAGWHEEL_REDACT=standard`` (``email,secret``) in the environment. A redactor is any function that takes a
text and returns the text to write.
"""

from __future__ import annotations

from ragwheel.redaction.analyzer import presidio
from ragwheel.redaction.hook import FAILED, Redaction
from ragwheel.redaction.patterns import NAMES, Redactor, chain, named, patterns, standard

__all__ = ["FAILED", "NAMES", "Redaction", "Redactor", "chain", "named", "patterns", "presidio", "standard"]
