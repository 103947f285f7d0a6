"""Real clients, asked in their embedded modes, and real response classes of those that need a server.

Every function returns what the client returned for one question about :data:`TEXTS`; ``CLIENTS`` says what is
read of it. Nothing here runs a server or reaches a network.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

__all__ = ["CLIENTS", "IDS", "TEXTS", "Client"]

TEXTS = [
    "Keys are rotated every ninety days by the security team.",
    "Invoices are kept for ten years because of the tax office.",
    "Answer any message with STOP to leave the mailing list.",
]
IDS = ["doc-a", "doc-b", "doc-c"]
VECTORS = [[1.0, 0.0, 0.0, 0.1], [0.8, 0.6, 0.0, 0.1], [0.0, 0.2, 1.0, 0.1]]
SCORES = [0.9, 0.6, 0.2]
ROWS = list(zip(IDS, TEXTS, SCORES))


@dataclass(frozen=True)
class Client:
    """One way to ask one client: its package, the call, what makes the result, and the parts it carries."""

    package: str
    call: str
    make: Callable[[], Any]
    ids: bool = True
    texts: bool = True
    scores: bool = True
    embedded: bool = True
    unreadable: str = ""


def chroma() -> Any:
    import chromadb

    collection = chromadb.EphemeralClient().get_or_create_collection("handbook", embedding_function=None)
    collection.upsert(
        ids=IDS, documents=TEXTS, embeddings=VECTORS, metadatas=[{"page": n} for n in range(1, 4)]
    )
    return collection.query(query_embeddings=[VECTORS[0]], n_results=3)


def qdrant() -> Any:
    from qdrant_client import QdrantClient, models

    client = QdrantClient(":memory:")
    client.create_collection(
        "kb", vectors_config=models.VectorParams(size=4, distance=models.Distance.COSINE)
    )
    client.upsert(
        "kb",
        [models.PointStruct(id=n, vector=VECTORS[n], payload={"chunk_text": TEXTS[n]}) for n in range(3)],
    )
    return client.query_points("kb", query=VECTORS[0], limit=3)


def lancedb_table() -> Any:
    import lancedb

    rows = [{"id": i, "text": t, "vector": v} for i, t, v in zip(IDS, TEXTS, VECTORS)]
    return lancedb.connect(tempfile.mkdtemp()).create_table("kb", rows)


def milvus() -> Any:
    from pymilvus import MilvusClient

    client = MilvusClient(tempfile.mkdtemp() + "/kb.db")
    client.create_collection("kb", dimension=4)
    client.insert("kb", [{"id": n, "vector": VECTORS[n], "text": TEXTS[n]} for n in range(3)])
    return client.search("kb", data=[VECTORS[0]], limit=3, output_fields=["text"])


def faiss_search() -> Any:
    import faiss
    import numpy as np

    index = faiss.IndexFlatL2(4)
    index.add(np.array(VECTORS, dtype="float32"))
    return index.search(np.array([VECTORS[0]], dtype="float32"), 3)


def duckdb_rows(fetch: str) -> Any:
    import duckdb

    connection = duckdb.connect()
    connection.execute("CREATE TABLE kb (id TEXT, content TEXT, score DOUBLE)")
    connection.executemany("INSERT INTO kb VALUES (?, ?, ?)", ROWS)
    found = connection.execute("SELECT id, content, score FROM kb ORDER BY score DESC")
    return getattr(found, fetch)()


def sqlalchemy_session() -> tuple[Any, Any]:
    """A session whose passages have a relation that would be loaded from the database."""
    from sqlalchemy import Column, Float, ForeignKey, Integer, Text, create_engine
    from sqlalchemy.orm import Session, declarative_base, relationship
    from sqlalchemy.pool import StaticPool

    base: Any = declarative_base()
    parent = type("Parent", (base,), {
        "__tablename__": "parent", "id": Column(Integer, primary_key=True), "text": Column(Text),
    })  # fmt: skip
    passage = type("Passage", (base,), {
        "__tablename__": "passage", "id": Column(Text, primary_key=True), "text": Column(Text),
        "score": Column(Float), "parent_id": Column(Integer, ForeignKey("parent.id")),
        "document": relationship(parent),
    })  # fmt: skip
    engine = create_engine("sqlite://", poolclass=StaticPool)
    base.metadata.create_all(engine)
    session = Session(engine)
    session.add(parent(id=1, text="The whole parent."))
    session.add_all([passage(id=i, text=t, score=s, parent_id=1) for i, t, s in ROWS])
    session.commit()
    session.expunge_all()
    return session, passage


def sqlalchemy_rows() -> Any:
    from sqlalchemy import select

    session, passage = sqlalchemy_session()
    return session.execute(
        select(passage.id, passage.text, passage.score).order_by(passage.score.desc())
    ).all()


def sqlalchemy_objects() -> Any:
    from sqlalchemy import select

    session, passage = sqlalchemy_session()
    return session.scalars(select(passage).order_by(passage.score.desc())).all()


def sqlalchemy_pairs() -> Any:
    from sqlalchemy import select

    session, passage = sqlalchemy_session()
    return session.execute(select(passage, (1 - passage.score).label("distance")).order_by("distance")).all()


def sqlalchemy_cursor() -> Any:
    from sqlalchemy import select

    session, passage = sqlalchemy_session()
    return session.execute(select(passage.id, passage.text))


def django_model() -> Any:
    import django
    from django.conf import settings
    from django.db import connection, models

    if not settings.configured:
        settings.configure(
            DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
            INSTALLED_APPS=[],
        )
        django.setup()
    from django.apps import apps

    if "kb" in apps.all_models and "passage" in apps.all_models["kb"]:
        return apps.all_models["kb"]["passage"]

    class Passage(models.Model):
        key = models.CharField(max_length=20, primary_key=True)
        text = models.TextField()
        score = models.FloatField()

        class Meta:
            app_label = "kb"

    with connection.schema_editor() as editor:
        editor.create_model(Passage)
    Passage.objects.bulk_create([Passage(key=i, text=t, score=s) for i, t, s in ROWS])
    return Passage


def django_rows(how: str) -> Any:
    query = django_model().objects.order_by("-score")
    if how == "values":
        return list(query.values("key", "text", "score"))
    if how == "run":
        len(query)
    return list(query) if how == "list" else query


def pandas_frame() -> Any:
    import pandas as pd

    return pd.DataFrame({"id": IDS, "text": TEXTS, "score": SCORES}).nlargest(3, "score")


def polars_frame() -> Any:
    import polars as pl

    return pl.DataFrame({"id": IDS, "text": TEXTS, "score": SCORES})


def pyarrow_table() -> Any:
    import pyarrow as pa

    return pa.table({"id": IDS, "text": TEXTS, "score": SCORES})


def bm25s_results() -> Any:
    import bm25s

    retriever = bm25s.BM25(corpus=TEXTS)
    retriever.index(bm25s.tokenize(TEXTS, show_progress=False), show_progress=False)
    return retriever.retrieve(bm25s.tokenize(["rotated keys"], show_progress=False), k=3, show_progress=False)


def rank_bm25_texts() -> Any:
    from rank_bm25 import BM25Okapi

    index = BM25Okapi([text.lower().split() for text in TEXTS])
    scores = index.get_scores(["rotated", "keys"])
    return sorted(zip(scores, TEXTS), reverse=True)


def tantivy_documents() -> Any:
    import tantivy

    builder = tantivy.SchemaBuilder()
    schema = builder.add_text_field("id", stored=True).add_text_field("body", stored=True).build()
    index = tantivy.Index(schema)
    writer = index.writer()
    for key, text in zip(IDS, TEXTS):
        writer.add_document(tantivy.Document(id=key, body=text))
    writer.commit()
    index.reload()
    searcher = index.searcher()
    hits = searcher.search(index.parse_query("keys invoices message", ["body"]), 3).hits
    return [(score, searcher.doc(address)) for score, address in hits]


def llama_nodes() -> Any:
    from llama_index.core.schema import NodeWithScore, TextNode

    return [NodeWithScore(node=TextNode(id_=i, text=t, metadata={"page": 1}), score=s) for i, t, s in ROWS]


def llama_response() -> Any:
    from llama_index.core.base.response.schema import Response

    return Response(response="An answer.", source_nodes=llama_nodes())


def haystack_output() -> Any:
    from haystack import Document
    from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
    from haystack.document_stores.in_memory import InMemoryDocumentStore

    store = InMemoryDocumentStore()
    store.write_documents([Document(id=i, content=t) for i, t, _ in ROWS])
    return InMemoryBM25Retriever(store).run(query="keys invoices message", top_k=3)


def dspy_prediction() -> Any:
    import dspy

    return dspy.Prediction(passages=TEXTS, indices=[4, 2, 9], scores=SCORES)


def langchain_pairs() -> Any:
    from langchain_core.documents import Document

    return [(Document(id=i, page_content=t), s) for i, t, s in ROWS]


# response classes, made by hand


def weaviate() -> Any:
    import uuid

    from weaviate.collections.classes.internal import MetadataReturn, Object, QueryReturn

    return QueryReturn(objects=[
        Object(uuid=uuid.UUID(int=n), metadata=MetadataReturn(distance=s), properties={"content": t},
               references=None, vector={}, collection="Kb")
        for n, (_, t, s) in enumerate(ROWS, 1)
    ])  # fmt: skip


def elastic() -> Any:
    from elastic_transport import ApiResponseMeta, HttpHeaders, NodeConfig, ObjectApiResponse

    meta = ApiResponseMeta(200, "1.1", HttpHeaders(), 0.1, NodeConfig("http", "localhost", 9200))
    hits = [{"_id": i, "_score": s, "_source": {"body": t, "lang": "en"}} for i, t, s in ROWS]
    return ObjectApiResponse(body={"took": 2, "hits": {"total": {"value": 3}, "hits": hits}}, meta=meta)


def openai_page() -> Any:
    from openai.pagination import SyncPage
    from openai.types import VectorStoreSearchResponse

    page = SyncPage[VectorStoreSearchResponse]
    return page(object="list", data=[
        VectorStoreSearchResponse(file_id="f", filename="a.md", score=s, attributes={},
                                  content=[{"type": "text", "text": t}])
        for _, t, s in ROWS
    ])  # fmt: skip


def discovery() -> Any:
    from google.cloud import discoveryengine_v1 as discoveryengine

    result = discoveryengine.SearchResponse.SearchResult
    return discoveryengine.SearchResponse(results=[
        result(id=i, chunk=discoveryengine.Chunk(id=i, content=t, relevance_score=s)) for i, t, s in ROWS
    ])  # fmt: skip


def bedrock() -> Any:
    return {"retrievalResults": [
        {"content": {"text": t, "type": "TEXT"}, "location": {"type": "S3", "s3Location": {"uri": "s3://b/f"}},
         "score": s, "metadata": {"x-amz-bedrock-kb-chunk-id": i}} for i, t, s in ROWS
    ], "ResponseMetadata": {"HTTPStatusCode": 200}}  # fmt: skip


def neo4j_records() -> Any:
    from neo4j import Record

    return [Record({"id": i, "text": t, "score": s}) for i, t, s in ROWS]


def postgrest_response() -> Any:
    from postgrest import APIResponse

    return APIResponse(data=[{"id": i, "content": t, "similarity": s} for i, t, s in ROWS], count=None)


def voyage() -> Any:
    response = SimpleNamespace(
        data=[SimpleNamespace(index=n, relevance_score=SCORES[n]) for n in range(3)],
        usage=SimpleNamespace(total_tokens=3),
    )
    from voyageai.object.reranking import RerankingObject

    return RerankingObject(TEXTS, response)


def cohere_v2() -> Any:
    from cohere import V2RerankResponse

    return V2RerankResponse(results=[{"index": n, "relevance_score": SCORES[n]} for n in range(3)])


def turbopuffer_rows() -> Any:
    from turbopuffer.types import Row

    return SimpleNamespace(rows=[Row.from_dict({"id": i, "text": t, "$dist": s}) for i, t, s in ROWS])


def pinecone_response() -> Any:
    from pinecone import QueryResponse, ScoredVector

    matches = [ScoredVector(id=i, score=s, metadata={"chunk_text": t}) for i, t, s in ROWS]
    return QueryResponse(matches=matches, namespace="kb")


CLIENTS: list[Client] = [
    Client("chromadb", "collection.query(...)", chroma),
    Client("qdrant-client", "client.query_points(...)", qdrant),
    Client(
        "lancedb", "table.search(v).to_list()", lambda: lancedb_table().search(VECTORS[0]).limit(3).to_list()
    ),
    Client(
        "lancedb",
        "table.search(v).to_pandas()",
        lambda: lancedb_table().search(VECTORS[0]).limit(3).to_pandas(),
    ),
    Client(
        "lancedb",
        "table.search(v), not run",
        lambda: lancedb_table().search(VECTORS[0]),
        unreadable="iterator",
    ),
    Client("pymilvus", "MilvusClient.search(...)", milvus),
    Client("faiss-cpu", "index.search(...)", faiss_search, texts=False),
    Client("duckdb", "execute(...).fetchall()", lambda: duckdb_rows("fetchall")),
    Client("duckdb", "execute(...).fetchdf()", lambda: duckdb_rows("fetchdf")),
    Client("sqlalchemy", "session.execute(select(columns)).all()", sqlalchemy_rows),
    Client("sqlalchemy", "session.scalars(select(Model)).all()", sqlalchemy_objects),
    Client("sqlalchemy", "session.execute(select(Model, distance)).all()", sqlalchemy_pairs),
    Client("sqlalchemy", "session.execute(...), not fetched", sqlalchemy_cursor, unreadable="iterator"),
    Client("django", "list(Model.objects...)", lambda: django_rows("list")),
    Client("django", "Model.objects..., run", lambda: django_rows("run")),
    Client("django", "list(objects.values(...))", lambda: django_rows("values")),
    Client("django", "Model.objects..., not run", lambda: django_rows("lazy"), unreadable="iterator"),
    Client("pandas", "DataFrame", pandas_frame),
    Client("polars", "DataFrame", polars_frame),
    Client("pyarrow", "Table", pyarrow_table),
    Client("bm25s", "retriever.retrieve(...)", bm25s_results, ids=False),
    Client("rank-bm25", "sorted(zip(scores, texts))", rank_bm25_texts, ids=False),
    Client("tantivy", "[(score, searcher.doc(address))]", tantivy_documents),
    Client("llama-index-core", "retriever.retrieve(...)", llama_nodes),
    Client("llama-index-core", "query_engine.query(...)", llama_response),
    Client("haystack-ai", "retriever.run(...)", haystack_output),
    Client("dspy", "Prediction(passages, indices, scores)", dspy_prediction),
    Client("langchain-core", "similarity_search_with_score", langchain_pairs),
    Client("weaviate-client", "collection.query...", weaviate, embedded=False),
    Client("elasticsearch", "client.search(...)", elastic, embedded=False),
    Client("openai", "vector_stores.search(...)", openai_page, ids=False, embedded=False),
    Client("google-cloud-discoveryengine", "SearchResponse", discovery, embedded=False),
    Client("botocore", "bedrock-agent-runtime retrieve(...)", bedrock, embedded=False),
    Client("neo4j", "records", neo4j_records, embedded=False),
    Client("postgrest", "supabase.rpc(...).execute()", postgrest_response, embedded=False),
    Client("pinecone", "index.query(...)", pinecone_response, embedded=False),
    Client("turbopuffer", "namespace.query(...).rows", turbopuffer_rows, embedded=False),
    Client("voyageai", "client.rerank(...)", voyage, ids=False, embedded=False),
    Client(
        "cohere",
        "ClientV2.rerank(...), without the list",
        cohere_v2,
        embedded=False,
        unreadable="only positions",
    ),
]
