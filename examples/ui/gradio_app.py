"""A Gradio chat with likes and source cards: uvicorn --app-dir examples/ui gradio_app:app"""

from typing import Any

import gradio as gr
from fastapi import FastAPI

import ragwheel
from ragwheel.ui import gradio as rw

ragwheel.configure(app="notes")  # RAGWHEEL_DB and RAGWHEEL_SIGNING_KEYS say where and how
NOTES = [
    {"id": "reset", "text": "To reset a password, open Settings."},
    {"id": "length", "text": "Use 12 letters."},
]


@ragwheel.retriever(source="notes")
def search(query: str) -> list[dict[str, str]]:
    return NOTES


def respond(question: str, history: list[Any]) -> tuple[str, list[Any], str]:
    with ragwheel.turn(question, user_id="ada") as turn:
        chunks = search(question)
        turn.answer("Open Settings [1].")
    history += [{"role": "user", "content": question}, rw.answer("Open Settings [1].", turn.handle)]
    return "", history, rw.sources(turn.handle, chunks)


with gr.Blocks(title="Notes") as blocks:
    chatbot = gr.Chatbot(label="Chat")
    question = gr.Textbox(label="Question")
    cards = gr.HTML()
    question.submit(respond, [question, chatbot], [question, chatbot, cards])
    rw.wire_likes(chatbot)

app = rw.mount(FastAPI(), blocks)
