"""A Chainlit chat whose thumbs are votes on the turn: chainlit run examples/ui/chainlit_app.py"""

import chainlit as cl

import ragwheel
from ragwheel.ui.chainlit import FeedbackOnly, remember

ragwheel.configure(app="notes")  # RAGWHEEL_DB and RAGWHEEL_SIGNING_KEYS say where and how
NOTES = [
    {"id": "reset", "text": "To reset a password, open Settings."},
    {"id": "length", "text": "Use twelve letters."},
]


@ragwheel.retriever(source="notes")
def search(query: str) -> list[dict[str, str]]:
    return NOTES


@cl.data_layer
def data_layer() -> FeedbackOnly:
    return FeedbackOnly()


@cl.on_message
async def answer(message: cl.Message) -> None:
    with ragwheel.turn(message.content, user_id="ada") as turn:
        chunks = search(message.content)
        turn.answer("Open Settings [1].")
        elements = [cl.Text(name=chunk["id"], content=chunk["text"], display="inline") for chunk in chunks]
        reply = cl.Message("Open Settings [1].", elements=elements)
        remember(turn, reply)
    await reply.send()
