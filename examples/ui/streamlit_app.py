"""A Streamlit chat whose sources and answers can be voted on: streamlit run examples/ui/streamlit_app.py

Its beacon talks to: ragwheel serve --beacon --origin http://localhost:8501
"""

import os

import streamlit as st

import ragwheel
from ragwheel.ui import streamlit as rw

NOTES = [
    {"id": "reset", "text": "To reset a password, open Settings.", "url": "https://example.com/reset"},
    {"id": "length", "text": "Use twelve letters."},
]


@ragwheel.retriever(source="notes")
def search(query: str) -> list[dict[str, str]]:
    return NOTES


if "ready" not in st.session_state:
    ragwheel.configure(app="notes")  # RAGWHEEL_DB and RAGWHEEL_SIGNING_KEYS say where and how
    st.session_state.ready = True
rw.beacon(os.environ.get("COLLECTOR_URL", "http://localhost:8321"))
question = st.text_input("Question", "How do I reset my password?")
if st.session_state.get("question") != question:
    with ragwheel.turn(question, user_id="ada") as turn:
        st.session_state.chunks = search(question)
        turn.answer("Open Settings [1].")
    st.session_state.update(question=question, handle=turn.handle)
st.write("Open Settings [1].")
rw.feedback(st.session_state.handle)
rw.sources(st.session_state.handle, st.session_state.chunks)
