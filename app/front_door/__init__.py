"""The front door: an ASGI layer before Streamlit. What no page of ours needs is refused here, before Streamlit sees it.

`server` listens and runs until interrupted, `door` decides on each request and connection, `messages` on each message
of a page, `visits` knows who is there and keeps room for raters, `ownership` is the token that proves the owner.
"""
