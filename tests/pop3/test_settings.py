from __future__ import annotations

import pytest

from tpop3d_py.pop3.settings import ProtocolSettings
from tpop3d_py.settings import build, declarations

KINDS = {declaration.name: declaration.kind for declaration in declarations(ProtocolSettings)}


def test_mechanisms_are_named_in_any_case_and_any_order() -> None:
    kind = KINDS["sasl-mechanisms"]
    assert kind.parse("plain SCRAM-SHA-256") == (b"PLAIN", b"SCRAM-SHA-256")
    assert kind.show(kind.parse("login")) == "LOGIN"
    assert kind.parse("") == ()


@pytest.mark.parametrize("word", ["CRAM-MD5", "XOAUTH2", "PLAIN,LOGIN", "łogin"])
def test_mechanisms_that_do_not_exist_or_need_no_word(word: str) -> None:
    with pytest.raises(ValueError, match="SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN"):
        KINDS["sasl-mechanisms"].parse(word)


@pytest.mark.parametrize("name", ["permit-empty-password", "permit-empty-passwords"])
def test_empty_passwords_are_permitted_in_either_spelling(name: str) -> None:
    assert not ProtocolSettings().empty_passwords
    assert build(ProtocolSettings, {name: True}).empty_passwords
