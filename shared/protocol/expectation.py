"""Makes of what an engine reports the message that its end expects next, or raises the error that it is instead."""

from __future__ import annotations

from typing import Final, Generic, NamedTuple, TypeVar

from shared.errors import BirthmarkError, ErrorCode
from shared.protocol.messages import Message, Refusal
from shared.protocol.session import Event, Failed, Session, refusal_error
from shared.protocol.states import Role

MessageT = TypeVar("MessageT", bound=Message)

_REFUSED: Final[dict[Role, ErrorCode]] = {
    Role.AGENT: "session.refused-by-station",
    Role.STATION: "session.refused-by-unit",
}
"""What a Refusal means to the end that receives it."""


class Heard(NamedTuple, Generic[MessageT]):
    """A message that was expected, and the transcript's digests around it."""

    message: MessageT
    before: bytes
    after: bytes


def expected(kind: type[MessageT], event: Event, session: Session) -> Heard[MessageT]:
    """Return the message of the event that `session` has just reported.

    Raises what the session failed with, `session.refused-by-station` or `session.refused-by-unit` for a Refusal, and
    `session.unexpected-message` for any other message that is not of this kind.
    """
    if isinstance(event, Failed):
        raise event.error
    message = event.message
    if isinstance(message, Refusal):
        error = refusal_error(message)
        raise BirthmarkError(_REFUSED[session.role], f"{error.sentence} [{message.code}]")
    if not isinstance(message, kind):
        raise BirthmarkError("session.unexpected-message", type(message).__name__)
    return Heard(message, event.transcript, session.transcript())
