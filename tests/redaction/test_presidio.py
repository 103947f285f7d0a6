"""The adapter for Presidio: with its real recognisers where installed, and what it makes of findings."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from ragwheel import redaction
from ragwheel.errors import MissingExtra


class Analyzer:
    """Gives the findings it was made with, as ``AnalyzerEngine.analyze`` does."""

    def __init__(self, *found):
        self.found = [
            SimpleNamespace(zip=None, **dict(zip(("entity_type", "start", "end", "score"), f))) for f in found
        ]
        self.asked = []

    def analyze(self, *, text, language, entities):
        self.asked.append((language, entities))
        return self.found


def test_findings_become_marks_in_any_order():
    analyzer = Analyzer(("LOCATION", 13, 19, 0.9), ("PERSON", 0, 3, 0.85))
    assert redaction.presidio(analyzer)("Ada lives in London.") == "[PERSON] lives in [LOCATION]."
    redaction.presidio(analyzer, language="de", entities=["PERSON"])("Ada")
    assert analyzer.asked == [("en", None), ("de", ["PERSON"])]


def test_overlapping_findings_become_one_named_after_the_surest():
    found = [("URL", 4, 15, 0.5), ("EMAIL_ADDRESS", 0, 15, 1.0), ("PERSON", 0, 3, 0.6), ("X", 16, 18, 0.1)]
    assert redaction.presidio(Analyzer(*found))("ada@example.org ok") == "[EMAIL_ADDRESS] ok"
    assert redaction.presidio(Analyzer(*found), min_score=0.05)("ada@example.org ok") == "[EMAIL_ADDRESS] [X]"


def test_without_presidio_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    with pytest.raises(MissingExtra, match="pip install presidio-analyzer"):
        redaction.presidio()


def test_the_real_one():
    analyzer = pytest.importorskip("presidio_analyzer", reason="pip install presidio-analyzer")
    spacy = pytest.importorskip("spacy", reason="pip install spacy")
    from presidio_analyzer.nlp_engine import SpacyNlpEngine
    from presidio_analyzer.predefined_recognizers import CreditCardRecognizer, PhoneRecognizer

    class WithoutModel(SpacyNlpEngine):
        """Tokens only: the recognisers used here need no names found."""

        def __init__(self):
            super().__init__()
            self.nlp = {"en": spacy.blank("en")}

        def load(self):
            """Nothing to download."""

    registry = analyzer.RecognizerRegistry(supported_languages=["en"])
    for recognizer in (CreditCardRecognizer(), PhoneRecognizer()):
        registry.add_recognizer(recognizer)
    engine = analyzer.AnalyzerEngine(registry=registry, nlp_engine=WithoutModel(), supported_languages=["en"])
    redact = redaction.presidio(engine)
    assert (
        redact("pay 4111 1111 1111 1111 or call +44 20 7946 0958")
        == "pay [CREDIT_CARD] or call [PHONE_NUMBER]"
    )
    assert redact("nothing here") == "nothing here"
