"""The accepted documents, with all their files, for a restart without its source.

Owns: that a file is written once, and is read back only if it is whole. Must not: know what a document says.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

from reconciler.core.errors import StateError
from reconciler.state.compressed import lengths_where_named, whole
from reconciler.state.port import KeptText, Revisions
from reconciler.state.records import DocumentDropped, DocumentSaved, Group, UnusedContentsDropped
from reconciler.state.write_behind import WriteBehind


class RevisionStore(Revisions):
    """The accepted documents, over the write-behind."""

    def __init__(self, behind: WriteBehind) -> None:
        self._behind, self._storage = behind, behind.storage

    def keep(self, texts: Iterable[KeptText], gone: Iterable[str] = ()) -> None:
        self._behind.refuse_if_frozen()
        records, exchanged = self._records(texts, gone)
        with self._behind.remembered.lock:
            for document, record in records.items():
                self._behind.waiting.replace(("text", document), record, lasting=True)
            if exchanged:
                self._behind.waiting.drop("unused")
                self._behind.waiting.replace("unused", UnusedContentsDropped())
        self._behind.flush()

    def groups(self, texts: Iterable[KeptText], gone: Iterable[str] = ()) -> tuple[Group, ...]:
        records, exchanged = self._records(texts, gone)
        unused = (UnusedContentsDropped(),) if exchanged else ()
        return (Group((*records.values(), *unused), lasting=True),) if records else ()

    def _records(
        self, texts: Iterable[KeptText], gone: Iterable[str]
    ) -> tuple[dict[str, DocumentSaved | DocumentDropped], bool]:
        """Return what is written of documents, and whether bytes of files may be unused afterwards."""
        records: dict[str, DocumentSaved | DocumentDropped] = {
            document: DocumentDropped(document) for document in gone
        }
        exchanged = bool(records)
        for text in texts:
            saved = records[text.document] = self._saved(text)
            exchanged = exchanged or saved.digests is not None
        return records, exchanged

    def kept(self) -> Sequence[KeptText]:
        return self._kept(None, "")

    def kept_with(self, words: Sequence[bytes], path: str) -> Sequence[KeptText]:
        return self._kept(words, path)

    def _kept(self, words: Sequence[bytes] | None, path: str) -> Sequence[KeptText]:
        try:
            documents, compressed = self._storage.documents(), self._storage.contents()
        except StateError as error:
            self._behind.unread(error)
            return []
        lengths: Mapping[str, int] = {}
        if words is not None:
            lengths = lengths_where_named(compressed, words)
            documents = [
                one
                for one in documents
                if one.document == path or not lengths.keys().isdisjoint(one.digests.values())
            ]
        needed = {digest for one in documents for digest in one.digests.values()}
        contents = {
            digest: whole(digest, compressed[digest], lengths.get(digest))
            for digest in needed & compressed.keys()
        }
        kept = []
        for one in documents:
            files = _files(one.digests, contents)
            if len(files) == len(one.digests) and one.document in files:
                kept.append(KeptText(one.document, one.revision, files))
        return kept

    def _saved(self, text: KeptText) -> DocumentSaved:
        """Return the record that replaces a document: only its revision if its files are the same."""
        digests = {path: sha256(content).hexdigest() for path, content in text.files.items()}
        if self._has(text.document, digests):
            return DocumentSaved(text.document, text.revision, None, {})
        stored = self._stored(tuple(digests.values()))
        missing = {
            digest: text.files[path] for path, digest in digests.items() if digest not in stored
        }
        compressed = {digest: zlib.compress(content, 1) for digest, content in missing.items()}
        return DocumentSaved(text.document, text.revision, digests, compressed)

    def _has(self, document: str, digests: Mapping[str, str]) -> bool:
        """Return whether a document is stored with these files; never while something waits that might change that."""
        if self._behind.waiting:
            return False
        try:
            return self._storage.digests(document) == digests
        except StateError:
            return False

    def _stored(self, digests: Sequence[str]) -> frozenset[str]:
        """Return the bytes that are already stored; none while something waits that might remove them first."""
        if self._behind.waiting:
            return frozenset()
        try:
            return self._storage.has_contents(digests)
        except StateError:
            return frozenset()


def _files(digests: Mapping[str, str], contents: Mapping[str, bytes | None]) -> Mapping[str, bytes]:
    """Return the files with intact bytes."""
    files = {}
    for path, digest in digests.items():
        content = contents.get(digest)
        if content is not None:
            files[path] = content
    return files
