-- The catalogue store. Numbered migrations in order: `-- migration N` begins one, and each runs in one transaction that
-- ends with `PRAGMA user_version = N`. A migration that was released is never changed; a new one is put behind it.

-- migration 1
CREATE TABLE store (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    model_changes INTEGER NOT NULL  -- grows whenever counts change, or what words or filters find
) STRICT;
INSERT INTO store VALUES (1, 0);

CREATE TABLE models (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- the number of a removed model is not given to another one
    name TEXT NOT NULL COLLATE NOCASE UNIQUE,
    display_name TEXT NOT NULL,
    type TEXT COLLATE NOCASE,
    model_family TEXT COLLATE NOCASE,
    model_size TEXT,
    parameters REAL,  -- billions
    quantization TEXT COLLATE NOCASE,
    file_format TEXT COLLATE NOCASE,
    organization TEXT COLLATE NOCASE,
    huggingface_id TEXT COLLATE NOCASE,
    license TEXT COLLATE NOCASE,
    release_date TEXT,
    context_length INTEGER,  -- tokens
    embedding_dim INTEGER,  -- components
    file_size_bytes INTEGER,
    ram_required_mb INTEGER,  -- MB of 10^6 bytes
    description TEXT,
    notes TEXT,
    source TEXT NOT NULL DEFAULT 'user',  -- or the module of the registry that it was synced from
    synced_as TEXT COLLATE NOCASE,  -- id in that registry, where a user has given it another name here
    edited TEXT NOT NULL DEFAULT '',  -- fields of a synced model that a user has changed, comma-joined
    created_at TEXT NOT NULL,  -- ISO 8601 in UTC, as 2026-11-21T09:15:00.123456Z
    updated_at TEXT NOT NULL,
    size_class TEXT NOT NULL GENERATED ALWAYS AS (
        CASE
            WHEN parameters IS NULL THEN 'unknown'
            WHEN parameters < 1 THEN 'Tiny'
            WHEN parameters < 5 THEN 'Small'
            WHEN parameters <= 15 THEN 'Medium'
            ELSE 'Large'
        END
    ) VIRTUAL,
    -- Memory that it needs: what is stated, or else its weights and a quarter more for what a runtime adds.
    needed_bytes INTEGER GENERATED ALWAYS AS (
        CASE
            WHEN ram_required_mb IS NOT NULL THEN ram_required_mb * 1000000
            ELSE file_size_bytes + file_size_bytes / 4
        END
    ) VIRTUAL
) STRICT;
-- One for each order. Filters need none: they are words of the index of words, too.
CREATE INDEX models_by_type ON models (type);
CREATE INDEX models_by_family ON models (model_family);
CREATE INDEX models_by_parameters ON models (parameters);
CREATE INDEX models_by_context_length ON models (context_length);
CREATE INDEX models_by_embedding_dim ON models (embedding_dim);
CREATE INDEX models_by_file_size ON models (file_size_bytes);
CREATE INDEX models_by_needed_bytes ON models (needed_bytes);
CREATE INDEX models_by_release_date ON models (release_date);
CREATE INDEX models_by_created_at ON models (created_at);
CREATE INDEX models_by_updated_at ON models (updated_at);
CREATE INDEX models_by_source ON models (source) WHERE source <> 'user';

-- `source` of the rows below: 'user', or the module of the registry that put them there.
CREATE TABLE model_capabilities (
    model_id INTEGER NOT NULL REFERENCES models ON DELETE CASCADE,
    capability TEXT NOT NULL COLLATE NOCASE,
    position INTEGER NOT NULL,
    source TEXT NOT NULL DEFAULT 'user',
    PRIMARY KEY (model_id, capability)
) STRICT, WITHOUT ROWID;

CREATE TABLE model_tags (
    model_id INTEGER NOT NULL REFERENCES models ON DELETE CASCADE,
    tag TEXT NOT NULL COLLATE NOCASE,
    position INTEGER NOT NULL,
    source TEXT NOT NULL DEFAULT 'user',
    PRIMARY KEY (model_id, tag)
) STRICT, WITHOUT ROWID;

CREATE TABLE model_languages (
    model_id INTEGER NOT NULL REFERENCES models ON DELETE CASCADE,
    language TEXT NOT NULL COLLATE NOCASE,
    position INTEGER NOT NULL,
    source TEXT NOT NULL DEFAULT 'user',
    PRIMARY KEY (model_id, language)
) STRICT, WITHOUT ROWID;

CREATE TABLE model_metadata (
    model_id INTEGER NOT NULL REFERENCES models ON DELETE CASCADE,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    source TEXT NOT NULL DEFAULT 'user',
    PRIMARY KEY (model_id, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE performance_metrics (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    model_id INTEGER NOT NULL REFERENCES models ON DELETE CASCADE,
    hardware_type TEXT NOT NULL COLLATE NOCASE,
    hardware_name TEXT NOT NULL COLLATE NOCASE,
    metric_type TEXT NOT NULL COLLATE NOCASE,
    metric_value REAL NOT NULL,
    unit TEXT NOT NULL,
    context_size INTEGER,  -- tokens
    measured_at TEXT NOT NULL
) STRICT;
CREATE INDEX performance_metrics_by_model ON performance_metrics (model_id, measured_at);
CREATE INDEX performance_metrics_by_time ON performance_metrics (measured_at);

-- Synced models that a user has removed: `sync` does not bring them back unasked.
CREATE TABLE removed_models (
    source TEXT NOT NULL,
    name TEXT NOT NULL COLLATE NOCASE,  -- id in the registry
    PRIMARY KEY (source, name)
) STRICT, WITHOUT ROWID;

CREATE VIEW model_summary AS
SELECT
    models.*,
    (
        SELECT group_concat(capability, ',')
        FROM (SELECT capability FROM model_capabilities WHERE model_id = models.id ORDER BY position)
    ) AS capabilities,
    (
        SELECT group_concat(tag, ',')
        FROM (SELECT tag FROM model_tags WHERE model_id = models.id ORDER BY position)
    ) AS tags,
    (
        SELECT group_concat(language, ',')
        FROM (SELECT language FROM model_languages WHERE model_id = models.id ORDER BY position)
    ) AS languages,
    (
        SELECT json_group_object(key, value) FROM model_metadata WHERE model_id = models.id
    ) AS metadata
FROM models;

-- Counts, kept by triggers, so that lists of values, totals and statistics never read the models.
CREATE TABLE value_counts (
    kind TEXT NOT NULL,  -- family, type, license, size, capability, tag, language; model, with '' as the value: all
    value TEXT NOT NULL,
    models INTEGER NOT NULL,
    total_bytes INTEGER NOT NULL,  -- of their files; 0 for capability, tag and language
    PRIMARY KEY (kind, value)
) STRICT, WITHOUT ROWID;
CREATE INDEX value_counts_ignoring_case ON value_counts (kind, value COLLATE NOCASE);
-- NOCASE folds ASCII only: the few other spellings are compared one by one.
CREATE INDEX value_counts_beyond_ascii ON value_counts (kind) WHERE value GLOB '*[^ -~]*';
CREATE TRIGGER models_counted AFTER INSERT ON models BEGIN
    INSERT INTO value_counts
    SELECT kind, value, 1, ifnull(new.file_size_bytes, 0)
    FROM (
        SELECT 'model' AS kind, '' AS value
        UNION ALL SELECT 'size', new.size_class
        UNION ALL SELECT 'family', new.model_family
        UNION ALL SELECT 'type', new.type
        UNION ALL SELECT 'license', new.license
    )
    WHERE value IS NOT NULL
    ON CONFLICT DO UPDATE SET models = models + 1, total_bytes = total_bytes + excluded.total_bytes;
END;
CREATE TRIGGER models_uncounted AFTER DELETE ON models BEGIN
    UPDATE value_counts SET models = models - 1, total_bytes = total_bytes - ifnull(old.file_size_bytes, 0)
    WHERE kind = 'model' AND value = '';
    UPDATE value_counts SET models = models - 1, total_bytes = total_bytes - ifnull(old.file_size_bytes, 0)
    WHERE kind = 'size' AND value = old.size_class;
    UPDATE value_counts SET models = models - 1, total_bytes = total_bytes - ifnull(old.file_size_bytes, 0)
    WHERE kind = 'family' AND value = old.model_family;
    UPDATE value_counts SET models = models - 1, total_bytes = total_bytes - ifnull(old.file_size_bytes, 0)
    WHERE kind = 'type' AND value = old.type;
    UPDATE value_counts SET models = models - 1, total_bytes = total_bytes - ifnull(old.file_size_bytes, 0)
    WHERE kind = 'license' AND value = old.license;
END;
CREATE TRIGGER models_recounted
AFTER UPDATE OF model_family, type, license, parameters, file_size_bytes, ram_required_mb ON models
WHEN old.model_family IS NOT new.model_family COLLATE BINARY
    OR old.type IS NOT new.type COLLATE BINARY
    OR old.license IS NOT new.license COLLATE BINARY
    OR old.size_class <> new.size_class
    OR old.file_size_bytes IS NOT new.file_size_bytes
    OR old.needed_bytes IS NOT new.needed_bytes
BEGIN
    UPDATE store SET model_changes = model_changes + 1;
    UPDATE value_counts SET models = models - 1, total_bytes = total_bytes - ifnull(old.file_size_bytes, 0)
    WHERE kind = 'model' AND value = '';
    UPDATE value_counts SET models = models - 1, total_bytes = total_bytes - ifnull(old.file_size_bytes, 0)
    WHERE kind = 'size' AND value = old.size_class;
    UPDATE value_counts SET models = models - 1, total_bytes = total_bytes - ifnull(old.file_size_bytes, 0)
    WHERE kind = 'family' AND value = old.model_family;
    UPDATE value_counts SET models = models - 1, total_bytes = total_bytes - ifnull(old.file_size_bytes, 0)
    WHERE kind = 'type' AND value = old.type;
    UPDATE value_counts SET models = models - 1, total_bytes = total_bytes - ifnull(old.file_size_bytes, 0)
    WHERE kind = 'license' AND value = old.license;
    INSERT INTO value_counts
    SELECT kind, value, 1, ifnull(new.file_size_bytes, 0)
    FROM (
        SELECT 'model' AS kind, '' AS value
        UNION ALL SELECT 'size', new.size_class
        UNION ALL SELECT 'family', new.model_family
        UNION ALL SELECT 'type', new.type
        UNION ALL SELECT 'license', new.license
    )
    WHERE value IS NOT NULL
    ON CONFLICT DO UPDATE SET models = models + 1, total_bytes = total_bytes + excluded.total_bytes;
END;
CREATE TRIGGER value_counts_emptied AFTER UPDATE ON value_counts WHEN new.models = 0 BEGIN
    DELETE FROM value_counts WHERE kind = new.kind AND value = new.value;
END;
CREATE TRIGGER model_capabilities_counted AFTER INSERT ON model_capabilities BEGIN
    INSERT INTO value_counts VALUES ('capability', new.capability, 1, 0)
    ON CONFLICT DO UPDATE SET models = models + 1;
END;
CREATE TRIGGER model_capabilities_uncounted AFTER DELETE ON model_capabilities BEGIN
    UPDATE value_counts SET models = models - 1 WHERE kind = 'capability' AND value = old.capability;
END;
CREATE TRIGGER model_tags_counted AFTER INSERT ON model_tags BEGIN
    INSERT INTO value_counts VALUES ('tag', new.tag, 1, 0)
    ON CONFLICT DO UPDATE SET models = models + 1;
END;
CREATE TRIGGER model_tags_uncounted AFTER DELETE ON model_tags BEGIN
    UPDATE value_counts SET models = models - 1 WHERE kind = 'tag' AND value = old.tag;
END;
CREATE TRIGGER model_languages_counted AFTER INSERT ON model_languages BEGIN
    INSERT INTO value_counts VALUES ('language', new.language, 1, 0)
    ON CONFLICT DO UPDATE SET models = models + 1;
END;
CREATE TRIGGER model_languages_uncounted AFTER DELETE ON model_languages BEGIN
    UPDATE value_counts SET models = models - 1 WHERE kind = 'language' AND value = old.language;
END;

-- The index of words. It holds no text of its own: what is indexed is read from this view. Filters are words of it, too:
-- `¤`, a letter for the kind, and the value in lower case as hexadecimal digits. No other word has a `¤`.
CREATE VIEW model_texts AS
SELECT
    id,
    name,
    replace(display_name, '¤', ' ') AS display_name,
    replace(model_family, '¤', ' ') AS model_family,
    replace(organization, '¤', ' ') AS organization,
    (SELECT replace(group_concat(tag, ' '), '¤', ' ') FROM model_tags WHERE model_id = models.id) AS tags,
    (
        SELECT replace(group_concat(capability, ' '), '¤', ' ') FROM model_capabilities WHERE model_id = models.id
    ) AS capabilities,
    replace(description, '¤', ' ') AS description,
    replace(notes, '¤', ' ') AS notes,
    ifnull('¤f' || hex(lower(model_family)), '')
    || ifnull(' ¤k' || hex(lower(type)), '')
    || ifnull(' ¤l' || hex(lower(license)), '')
    || ifnull((SELECT group_concat(' ¤t' || hex(lower(tag)), '') FROM model_tags WHERE model_id = models.id), '')
    || ifnull(
        (
            SELECT group_concat(' ¤c' || hex(lower(capability)), '')
            FROM model_capabilities
            WHERE model_id = models.id
        ), ''
    )
    || ifnull(
        (SELECT group_concat(' ¤s' || hex(lower(language)), '') FROM model_languages WHERE model_id = models.id), ''
    ) AS filters
FROM models;
CREATE VIRTUAL TABLE model_words USING fts5 (
    name, display_name, model_family, organization, tags, capabilities, description, notes, filters,
    content = 'model_texts', content_rowid = 'id', prefix = '1 2 3',
    tokenize = "unicode61 remove_diacritics 2 tokenchars '¤'"
);
-- The words of the index, and perhaps some that it no longer has; those of filters are left out.
CREATE TABLE vocabulary (
    word TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- A model whose texts change is taken out of the index first, while the view still says what was indexed, and waits
-- here to be indexed again before the transaction ends: once, however many of its rows change.
-- No `INSERT OR IGNORE`: the conflict clause of the statement that fires a trigger would override it.
CREATE TABLE unindexed (
    model_id INTEGER PRIMARY KEY,
    was_indexed INTEGER NOT NULL
) STRICT;
CREATE TRIGGER unindexed_forgotten AFTER INSERT ON unindexed BEGIN
    UPDATE store SET model_changes = model_changes + 1;
    INSERT INTO model_words (
        model_words, rowid, name, display_name, model_family, organization, tags, capabilities, description, notes,
        filters
    )
    SELECT 'delete', * FROM model_texts WHERE id = new.model_id AND new.was_indexed = 1;
END;
CREATE TRIGGER models_added AFTER INSERT ON models BEGIN
    INSERT INTO unindexed VALUES (new.id, 0);
END;
CREATE TRIGGER models_changing
BEFORE UPDATE OF name, display_name, model_family, type, license, organization, description, notes ON models
WHEN (
    old.name <> new.name COLLATE BINARY
    OR old.display_name <> new.display_name
    OR old.model_family IS NOT new.model_family COLLATE BINARY
    OR old.type IS NOT new.type COLLATE BINARY
    OR old.license IS NOT new.license COLLATE BINARY
    OR old.organization IS NOT new.organization COLLATE BINARY
    OR old.description IS NOT new.description
    OR old.notes IS NOT new.notes
)
BEGIN
    INSERT INTO unindexed SELECT old.id, 1 WHERE NOT EXISTS (SELECT 1 FROM unindexed WHERE model_id = old.id);
END;
CREATE TRIGGER models_going BEFORE DELETE ON models BEGIN
    INSERT INTO unindexed SELECT old.id, 1 WHERE NOT EXISTS (SELECT 1 FROM unindexed WHERE model_id = old.id);
END;
CREATE TRIGGER models_gone AFTER DELETE ON models BEGIN
    DELETE FROM unindexed WHERE model_id = old.id;
END;
CREATE TRIGGER model_tags_adding BEFORE INSERT ON model_tags BEGIN
    INSERT INTO unindexed
    SELECT new.model_id, 1 WHERE NOT EXISTS (SELECT 1 FROM unindexed WHERE model_id = new.model_id);
END;
CREATE TRIGGER model_tags_going BEFORE DELETE ON model_tags BEGIN
    INSERT INTO unindexed
    SELECT old.model_id, 1 WHERE NOT EXISTS (SELECT 1 FROM unindexed WHERE model_id = old.model_id);
END;
CREATE TRIGGER model_capabilities_adding BEFORE INSERT ON model_capabilities BEGIN
    INSERT INTO unindexed
    SELECT new.model_id, 1 WHERE NOT EXISTS (SELECT 1 FROM unindexed WHERE model_id = new.model_id);
END;
CREATE TRIGGER model_capabilities_going BEFORE DELETE ON model_capabilities BEGIN
    INSERT INTO unindexed
    SELECT old.model_id, 1 WHERE NOT EXISTS (SELECT 1 FROM unindexed WHERE model_id = old.model_id);
END;
CREATE TRIGGER model_languages_adding BEFORE INSERT ON model_languages BEGIN
    INSERT INTO unindexed
    SELECT new.model_id, 1 WHERE NOT EXISTS (SELECT 1 FROM unindexed WHERE model_id = new.model_id);
END;
CREATE TRIGGER model_languages_going BEFORE DELETE ON model_languages BEGIN
    INSERT INTO unindexed
    SELECT old.model_id, 1 WHERE NOT EXISTS (SELECT 1 FROM unindexed WHERE model_id = old.model_id);
END;
-- Values of a model's lists are added and removed, never changed; positions and sources may be.
CREATE TRIGGER model_tags_fixed BEFORE UPDATE OF model_id, tag ON model_tags BEGIN
    SELECT RAISE(ABORT, 'add and remove tags instead of changing them');
END;
CREATE TRIGGER model_capabilities_fixed BEFORE UPDATE OF model_id, capability ON model_capabilities BEGIN
    SELECT RAISE(ABORT, 'add and remove capabilities instead of changing them');
END;
CREATE TRIGGER model_languages_fixed BEFORE UPDATE OF model_id, language ON model_languages BEGIN
    SELECT RAISE(ABORT, 'add and remove languages instead of changing them');
END;
