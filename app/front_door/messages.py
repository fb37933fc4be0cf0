"""The messages that pages send: which of them Streamlit gets to see.

Streamlit takes any of its messages from anybody, also those that only its developers' tools send: one clears the caches
of all visitors, one has the server install files. What a page of ours never sends is passed over.
"""

from __future__ import annotations

from google.protobuf.message import DecodeError
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState

__all__ = ["LARGEST", "LARGEST_OF_VISITORS", "Conversation"]

LARGEST = 1_000_000
"""Bytes of a message, whoever sends it; the owner's forms are far smaller."""

LARGEST_OF_VISITORS = 64_000
"""Bytes of a message of those who are not the owner: Streamlit keeps what widgets are said to hold."""

MOST_WIDGETS = 300
"""No page has a third of them."""

LONGEST_ADDRESS = 4_000
"""Characters of the address that a page says it has."""


class Conversation:
    """The messages of one page to the server."""

    def __init__(self) -> None:
        self._page = ("", "", "")

    def heard(self, data: bytes, *, owner: bool) -> bytes | None:
        """The message for Streamlit; None where there is nothing to pass on. Raises `ValueError` for no message at all.

        In place of one that is too large stands one by which the page is drawn again as it was.
        """
        if not data or len(data) > (LARGEST if owner else LARGEST_OF_VISITORS):
            return self._again()
        message = BackMsg()
        try:
            message.ParseFromString(data)
        except DecodeError as error:
            raise ValueError("this is no message of a page") from error
        kind = message.WhichOneof("type")
        if kind == "rerun_script":
            return data if self._fits(message.rerun_script) else self._again()
        if kind == "backend_operation_request":  # the file behind a download button, made when it is pressed
            wanted = message.backend_operation_request.WhichOneof("payload")
            return data if owner and wanted == "deferred_file" else None
        return data if kind in ("app_heartbeat", "stop_script") else None

    def _fits(self, state: ClientState) -> bool:
        named = (state.query_string, state.page_name, state.page_script_hash)
        if len(state.widget_states.widgets) > MOST_WIDGETS or any(len(name) > LONGEST_ADDRESS for name in named):
            return False
        self._page = named
        return True

    def _again(self) -> bytes:
        query, name, script = self._page
        state = ClientState(query_string=query, page_name=name, page_script_hash=script)
        return bytes(BackMsg(rerun_script=state).SerializeToString())
