"""The tables of a library, one SQLite file."""

APPLICATION = 0x57484550  # "WHEP": says that a file is one of ours
VERSION = 2

# Segment number `number` of episode e has the row id (e << SHIFT) + number, in the table and in the full-text index.
SHIFT = 20

TABLES = """
CREATE TABLE state (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO state VALUES ('revision', 0), ('vectors', 0);

CREATE TABLE shows (
    id INTEGER PRIMARY KEY, title TEXT NOT NULL, feed TEXT NOT NULL DEFAULT '', link TEXT NOT NULL DEFAULT '',
    description TEXT NOT NULL DEFAULT '', language TEXT NOT NULL DEFAULT '');
CREATE UNIQUE INDEX shows_by_feed ON shows (feed, title);

CREATE TABLE episodes (
    id INTEGER PRIMARY KEY AUTOINCREMENT, show INTEGER NOT NULL REFERENCES shows (id), guid TEXT NOT NULL,
    title TEXT NOT NULL, published TEXT NOT NULL, seconds REAL, link TEXT NOT NULL, description TEXT NOT NULL,
    people TEXT NOT NULL, audio TEXT NOT NULL, audio_sha256 TEXT NOT NULL DEFAULT '', source TEXT NOT NULL DEFAULT '',
    chapters TEXT NOT NULL DEFAULT '[]', added TEXT NOT NULL);
CREATE UNIQUE INDEX episodes_by_guid ON episodes (show, guid);
CREATE INDEX episodes_by_day ON episodes (published);

CREATE TABLE transcripts (
    episode INTEGER PRIMARY KEY REFERENCES episodes (id) ON DELETE CASCADE, timing TEXT NOT NULL, origin TEXT NOT NULL,
    language TEXT NOT NULL, words INTEGER NOT NULL, packed BLOB NOT NULL);

CREATE TABLE segments (
    id INTEGER PRIMARY KEY, first INTEGER NOT NULL, count INTEGER NOT NULL, speaker TEXT NOT NULL,
    paragraph INTEGER NOT NULL, start REAL, finish REAL, text TEXT NOT NULL);
CREATE VIRTUAL TABLE spoken USING fts5 (
    text, content='segments', content_rowid='id', tokenize='porter unicode61 remove_diacritics 2');

CREATE TABLE voices (
    episode INTEGER NOT NULL REFERENCES episodes (id) ON DELETE CASCADE, speaker TEXT NOT NULL,
    segments INTEGER NOT NULL, PRIMARY KEY (episode, speaker)) WITHOUT ROWID;
CREATE TABLE renames (
    episode INTEGER NOT NULL REFERENCES episodes (id) ON DELETE CASCADE, speaker TEXT NOT NULL, name TEXT NOT NULL,
    PRIMARY KEY (episode, speaker)) WITHOUT ROWID;
CREATE TABLE overrides (segment INTEGER PRIMARY KEY, name TEXT NOT NULL);

CREATE TABLE vectors (
    kind TEXT NOT NULL, owner INTEGER NOT NULL, model TEXT NOT NULL, dimension INTEGER NOT NULL, spans BLOB NOT NULL,
    f16 BLOB NOT NULL, PRIMARY KEY (model, kind, owner));

CREATE TABLE stages (
    episode INTEGER NOT NULL REFERENCES episodes (id) ON DELETE CASCADE, stage TEXT NOT NULL, input TEXT NOT NULL,
    output TEXT NOT NULL, finished TEXT NOT NULL, PRIMARY KEY (episode, stage)) WITHOUT ROWID;

CREATE TABLE quotes (
    episode INTEGER NOT NULL REFERENCES episodes (id) ON DELETE CASCADE, first INTEGER NOT NULL,
    finish INTEGER NOT NULL, speaker TEXT NOT NULL, PRIMARY KEY (episode, first, finish)) WITHOUT ROWID;

CREATE TABLE dismissed (
    episode INTEGER NOT NULL REFERENCES episodes (id) ON DELETE CASCADE, claim TEXT NOT NULL, reason TEXT NOT NULL,
    time TEXT NOT NULL, PRIMARY KEY (episode, claim)) WITHOUT ROWID;

CREATE TABLE documents (
    id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT NOT NULL, source TEXT NOT NULL, published TEXT NOT NULL,
    sha256 TEXT NOT NULL UNIQUE, added TEXT NOT NULL, retrieved TEXT NOT NULL DEFAULT '');
CREATE TABLE passages (
    id INTEGER PRIMARY KEY, document INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    number INTEGER NOT NULL, text TEXT NOT NULL);
CREATE INDEX passages_by_document ON passages (document, number);
CREATE VIRTUAL TABLE evidence USING fts5 (
    text, content='passages', content_rowid='id', tokenize='porter unicode61 remove_diacritics 2');
"""

# What makes a file of each earlier version one of the next.
STEPS = {1: "ALTER TABLE documents ADD COLUMN retrieved TEXT NOT NULL DEFAULT ''"}
