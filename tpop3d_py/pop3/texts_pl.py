"""The Polish catalog.

Written with its diacritical marks; who did not ask for UTF-8 gets it without them
(`texts.in_ascii`), as Polish computer users write when they have to.

When things fail: a text that breaks a rule of `Texts` keeps the program from starting.
"""

from __future__ import annotations

from tpop3d_py.pop3.texts import Counted, Texts

_octets = str.encode


def _plural(count: int) -> int:
    """Tell the form: 1; 2, 3, 4, 22, 23, ... but not 12, 13, 14; all others."""
    if count == 1:
        return 0
    return 1 if count % 10 in (2, 3, 4) and count % 100 not in (12, 13, 14) else 2


POLISH = Texts(
    tag=b"pl",
    unknown_command=_octets("Nie znam takiego polecenia."),
    malformed_line=_octets("Polecenie może zawierać tylko drukowalne znaki ASCII."),
    line_too_long=_octets("Zbyt długi wiersz."),
    too_many_errors=_octets("Zbyt wiele błędnych poleceń. Do widzenia."),
    idle=_octets("Zbyt długa bezczynność. Do widzenia."),
    capabilities=_octets("Lista możliwości:"),
    languages=_octets("Lista języków:"),
    language_changed=_octets("Odtąd mówię po polsku."),
    language_unknown=_octets("Nie znam tego języka."),
    name_accepted=_octets("Proszę podać hasło."),
    name_wanted=_octets("Najpierw proszę podać nazwę użytkownika."),
    name_already_given=_octets("Nazwa użytkownika została już podana."),
    wrong_words=_octets("Niewłaściwa liczba argumentów."),
    first_log_in=_octets("Najpierw proszę się zalogować."),
    digest_length=_octets("Skrót ma niewłaściwą długość."),
    digest_not_hex=_octets("Skrót nie jest liczbą szesnastkową."),
    use_apop=_octets("Proszę logować się poleceniem APOP."),
    first_tls=_octets("Hasła przyjmuję tylko przez TLS."),
    unknown_mechanism=_octets("Nie znam tego sposobu logowania."),
    bad_response=_octets("Niezrozumiała odpowiedź."),
    login_canceled=_octets("Logowanie przerwane."),
    begin_tls=_octets("Zaczynamy negocjację TLS."),
    no_tls=_octets("TLS jest niedostępny."),
    already_tls=_octets("TLS jest już włączony."),
    too_late_for_tls=_octets("Polecenie STLS jest dostępne tylko przed zalogowaniem."),
    utf8_enabled=_octets("UTF-8 włączone."),
    too_late_for_utf8=_octets("Polecenie UTF8 jest dostępne tylko przed zalogowaniem."),
    quit_before_login=_octets("Do widzenia."),
    welcome=Counted(
        (
            _octets("Witamy! W skrzynce jest %d wiadomość."),
            _octets("Witamy! W skrzynce są %d wiadomości."),
            _octets("Witamy! W skrzynce jest %d wiadomości."),
        ),
        _plural,
    ),
    welcome_empty=_octets("Witamy! W skrzynce nie ma wiadomości."),
    wrong_login=_octets("Nieprawidłowa nazwa użytkownika lub hasło."),
    too_many_logins=_octets("Zbyt wiele nieudanych prób logowania. Do widzenia."),
    login_unavailable=_octets("Logowanie chwilowo niemożliwe. Proszę spróbować później."),
    busy=_octets("Serwer jest przeciążony. Proszę spróbować później."),
    mailbox_locked=_octets("Skrzynka jest otwarta w innej sesji."),
    mailbox_broken=_octets("Nie można otworzyć skrzynki."),
    forbidden=_octets("Ten serwer nie obsługuje tego konta."),
    scan_list=_octets("Lista wiadomości:"),
    id_list=_octets("Lista identyfikatorów:"),
    message_follows=_octets("Oto wiadomość:"),
    done=_octets("Zrobione."),
    still_here=_octets("Jestem, jestem."),
    last_removed=_octets("Polecenie LAST usunięto w RFC 1725."),
    which_to_retrieve=_octets("Proszę podać numer wiadomości."),
    which_to_top=_octets("Proszę podać numer wiadomości."),
    how_many_lines=_octets("Proszę podać liczbę wierszy."),
    which_to_delete=_octets("Proszę podać numer wiadomości do usunięcia."),
    bad_line_count=_octets("To nie jest liczba wierszy."),
    bad_number=_octets("Nie ma wiadomości o takim numerze."),
    extra_argument=_octets("O jeden argument za dużo."),
    too_many_arguments=_octets("Za dużo argumentów."),
    message_deleted=_octets("Ta wiadomość jest już usunięta."),
    message_gone=_octets("Wiadomości już nie ma; mogła ją usunąć inna sesja."),
    cannot_send=_octets("Nie można wysłać wiadomości."),
    goodbye=_octets("Do widzenia."),
    update_failed=_octets("Nie udało się usunąć wszystkich wskazanych wiadomości."),
)
