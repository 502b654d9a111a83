# SPDX-License-Identifier: LGPL-2.1-or-later
"""The two servers that vectors need: an embedding server that hashes words, and a Chroma of the
tests' own that knows as much of API v2 as AtoCore speaks. Both can be told to misbehave.

ATOCORE_TEST_CHROMA=http://HOST:PORT runs the same tests against a real Chroma (an empty one: the
collection `atocore` in it is deleted); what only the fake can do is skipped then. How to get one is
in tests/README.md."""

import hashlib
import http.server
import json
import math
import os
import re
import socket
import threading
import urllib.error
import urllib.request
import uuid

import pytest

DIMENSION = 64
COLLECTION = "/api/v2/tenants/default_tenant/databases/default_database/collections"
# Words that mean the same to this model: what vectors find and words do not.
SYNONYMS = {"automobile": "car", "lorry": "car", "vehicle": "car"}


def vector_of(text, dimension=DIMENSION):
    """A bag of words: each has a direction of its own."""
    vector = [0.0] * dimension
    for word in re.findall(r"\w+", text.lower()):
        digest = hashlib.sha256(SYNONYMS.get(word, word).encode()).digest()
        vector[digest[0] % dimension] += 1 if digest[1] % 2 else -1
        vector[digest[2] % dimension] += 1 if digest[3] % 2 else -1
    if not any(vector):
        vector[0] = 1.0
    return vector


class Server:
    """On a port of the loopback that stays the same when it is killed and started again."""

    def __init__(self, port=0):
        self.port = port
        self.requests = []  # (method, path, body)
        self.headers = []
        self.misbehave = None  # callable(handler, method, path, body) → True: it has answered
        self.httpd = None
        self.released = threading.Event()  # set at the end: whoever hangs comes back
        self.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *arguments):
                pass

            def answer(self, status, document):
                body = json.dumps(document).encode()
                self.raw(status, "application/json", body)

            def raw(self, status, kind, body):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def serve(self):
                size = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(size)) if size else None
                server.requests.append((self.command, self.path, body))
                server.headers.append(self.headers)
                misbehave = server.misbehave
                try:
                    if not (misbehave and misbehave(self, self.command, self.path, body)):
                        server.respond(self, self.command, self.path, body)
                except BrokenPipeError:
                    pass

            do_GET = do_POST = do_PUT = do_DELETE = serve

        class Threaded(http.server.ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

        self.httpd = Threaded(("127.0.0.1", self.port), Handler)
        self.port = self.httpd.server_address[1]
        threading.Thread(target=self.httpd.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def kill(self):
        self.released.set()
        if self.httpd:
            self.httpd.shutdown()
            self.httpd.server_close()
            self.httpd = None

    def respond(self, handler, method, path, body):
        raise NotImplementedError

    # What servers do that are not as they should be.

    def hang(self, handler, *_):
        """Nothing, until the end of the test."""
        self.released.wait(60)
        handler.close_connection = True
        return True

    @staticmethod
    def die(handler, *_):
        """In the middle of an answer."""
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"data\": [")
        handler.wfile.flush()
        handler.connection.shutdown(socket.SHUT_RDWR)
        handler.close_connection = True
        return True

    @staticmethod
    def html(handler, *_):
        handler.raw(200, "text/html", b"<html><body>It works!</body></html>")
        return True

    @staticmethod
    def nothing(handler, *_):
        handler.raw(200, "application/json", b"")
        return True

    @staticmethod
    def error(status, document):
        def misbehave(handler, *_):
            handler.answer(status, document)
            return True
        return misbehave


class Embedder(Server):
    """POST /v1/embeddings."""

    def __init__(self, port=0):
        self.dimension = DIMENSION
        self.too_long = None  # texts with this word are refused, as those that are too long
        super().__init__(port)

    def respond(self, handler, method, path, body):
        if (method, path) != ("POST", "/v1/embeddings"):
            return handler.answer(404, {"error": {"message": "no such path"}})
        if self.too_long and any(self.too_long in text for text in body["input"]):
            return handler.answer(413, {"error": {"message": "input is too long"}})
        return handler.answer(200, {"object": "list", "model": body.get("model", ""), "data": [
            {"object": "embedding", "index": i, "embedding": vector_of(text, self.dimension)}
            for i, text in reversed(list(enumerate(body["input"])))]})

    def with_vector(self, change):
        """Answers in which one vector is changed."""
        def misbehave(handler, _method, _path, body):
            data = [{"index": i, "embedding": vector_of(text, self.dimension)}
                    for i, text in enumerate(body["input"])]
            data = change(data)
            # Python writes NaN and Infinity as such.
            handler.raw(200, "application/json", json.dumps({"data": data}).encode())
            return True
        return misbehave

    @property
    def texts(self):
        """All that was ever to be embedded."""
        return [text for _, _, body in self.requests for text in body["input"]]


class FakeChroma(Server):
    """Exact and in memory."""

    def __init__(self, port=0):
        self.collections = {}
        super().__init__(port)

    def find(self, method, key, verb):
        """By its name where it is looked at or dropped, else by its id, and never the other way."""
        named = not verb and method in ("GET", "DELETE")
        return next((collection for collection in self.collections.values()
                     if key == collection["name" if named else "id"]), None)

    def respond(self, handler, method, path, body):
        if not path.startswith(COLLECTION):
            return handler.raw(404, "text/plain", b"")
        words = path[len(COLLECTION):].strip("/").split("/")
        if words == [""]:
            return handler.answer(200, self.create(body))
        collection = self.find(method, words[0], words[1:])
        if collection is None and words[0] in self.collections:
            return handler.answer(*self.invalid("Collection ID is not a valid UUIDv4"))
        if collection is None:
            return handler.answer(404, {
                "error": "NotFoundError",
                "message": f"Collection [{words[0]}] does not exist"})
        return handler.answer(*self.act(collection, method, words[1:], body))

    def create(self, body):
        existing = self.collections.get(body["name"])
        if existing is None:
            existing = self.collections[body["name"]] = {
                "id": str(uuid.uuid4()), "name": body["name"], "metadata": body["metadata"],
                "dimension": None, "records": {}}
        return self.show(existing)

    @staticmethod
    def show(collection):
        return {key: value for key, value in collection.items() if key != "records"}

    def act(self, collection, method, verb, body):
        records = collection["records"]
        if not verb and method == "GET":
            return 200, self.show(collection)
        if not verb and method == "PUT":
            collection["metadata"] = body["new_metadata"]
            return 200, {}
        if not verb and method == "DELETE":
            del self.collections[collection["name"]]
            return 200, {}
        if verb == ["count"]:
            return 200, len(records)
        if verb == ["upsert"]:
            return self.upsert(collection, body)
        if verb == ["delete"]:
            for key in body["ids"]:
                records.pop(key, None)
            return 200, {"deleted": len(body["ids"])}
        if verb == ["get"]:
            keys = list(records)[body["offset"]:body["offset"] + body["limit"]]
            return 200, self.found(
                body, keys, [records[key][1] for key in keys] if body["include"] else None)
        if verb == ["query"]:
            return self.query(collection, body)
        raise AssertionError(f"Chroma has no {method} of {verb}")

    @staticmethod
    def found(body, ids, metadatas):
        return {"ids": ids, "embeddings": None, "documents": None, "uris": None,
                "metadatas": metadatas, "include": body["include"]}

    @staticmethod
    def invalid(message):
        return 400, {"error": "InvalidArgumentError", "message": message}

    @classmethod
    def check_dimension(cls, collection, vector):
        """None where it may be one of these."""
        if collection["dimension"] in (None, len(vector)):
            return None
        return cls.invalid("Collection expecting embedding with dimension of "
                           f"{collection['dimension']}, got {len(vector)}")

    @classmethod
    def upsert(cls, collection, body):
        for key, vector, metadata in zip(body["ids"], body["embeddings"], body["metadatas"],
                                         strict=True):
            refused = cls.check_dimension(collection, vector)
            if refused:
                return refused
            collection["dimension"] = len(vector)
            collection["records"][key] = (vector, metadata)
        return 200, {}

    @classmethod
    def query(cls, collection, body):
        [wanted] = body["query_embeddings"]
        allowed = (body.get("where") or {}).get("directory", {}).get("$in")
        refused = cls.check_dimension(collection, wanted)
        if refused:
            return refused
        if allowed == []:
            return cls.invalid("Invalid where clause")

        def distance(vector):
            dot = sum(a * b for a, b in zip(vector, wanted, strict=True))
            return 1 - dot / (math.hypot(*vector) * math.hypot(*wanted))

        found = sorted((distance(vector), key, metadata)
                       for key, (vector, metadata) in collection["records"].items()
                       if allowed is None or metadata["directory"] in allowed)
        found = found[:body["n_results"]]
        answer = cls.found(body, [[key for _, key, _ in found]],
                           [[metadata for _, _, metadata in found]])
        return 200, {**answer, "distances": None}


class Chroma:
    """A client for assertions, whichever server there is."""

    def __init__(self, url):
        self.url = url

    def ask(self, method, path, body=None):
        request = urllib.request.Request(
            self.url + COLLECTION + path, method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise AssertionError(error.read().decode()) from None

    @property
    def collection(self):
        return self.ask("GET", "/atocore")

    def drop(self):
        self.ask("DELETE", "/atocore")

    def act(self, verb, body):
        return self.ask("POST", f"/{self.collection['id']}/{verb}", body)

    def describe(self, **metadata):
        """Changes single fields of the collection's metadata."""
        collection = self.collection
        self.ask("PUT", f"/{collection['id']}",
                 {"new_metadata": {**collection["metadata"], **metadata}})

    @property
    def records(self):
        """{chunk id: metadata}"""
        got = self.act("get", {"limit": 5000, "offset": 0, "include": ["metadatas"]})
        return {int(key): value for key, value in zip(got["ids"], got["metadatas"], strict=True)}


class Vectors:
    """Both servers and a configuration that names them."""

    def __init__(self, directory):
        self.directory = directory
        self.embedder = Embedder()
        real = os.environ.get("ATOCORE_TEST_CHROMA")
        self.fake = None if real else FakeChroma()
        self.url = (real or self.fake.url).rstrip("/")
        self.chroma = Chroma(self.url)
        if real:
            self.chroma.drop()
        self.config = directory / "vectors.conf"
        self.model = "words"
        # Not a matter of time where a test does not want it to be.
        self.configure(vector_timeout_ms=60000)

    def configure(self, **keys):
        lines = {"vector_store": f"chroma:{self.url}",
                 "embedding": f"openai:{self.embedder.url}/v1/embeddings",
                 "embedding_model": self.model, **keys}
        self.config.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
        return self.config

    def only_fake(self):
        if not self.fake:
            pytest.skip("a real Chroma does not misbehave")
        return self.fake

    def close(self):
        self.embedder.kill()
        if self.fake:
            self.fake.kill()
        else:
            self.chroma.drop()


@pytest.fixture(name="vectors")
def vectors_fixture(tmp_path):
    servers = Vectors(tmp_path)
    yield servers
    servers.close()
