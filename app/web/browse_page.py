"""The map of a model, heads and search are a page of their own (`app.browsing`): the browser is sent there.

Streamlit is asked for it where a browser does not send the owner's cookie: from a link of another site, and where the
owner has signed in just now.
"""

from __future__ import annotations

import streamlit as st

from app.web.gate import require_reader, send_on


def show() -> None:
    """Send the browser on."""
    require_reader()
    send_on()
    st.html('<p class="hs-said"><a href="./" target="_self">The map of all heads</a></p>')


show()
