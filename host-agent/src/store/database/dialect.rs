//! Where the two databases want different words. Everything else is the same SQL.

/// Which SQL is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// A migration, which is written as SQLite wants it. Text sorts by bytes in both.
    pub(in crate::store) fn schema(self, migration: &str) -> String {
        match self {
            Self::Sqlite => migration.to_owned(),
            Self::Postgres => migration
                .replace("id INTEGER PRIMARY KEY", "id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY")
                .replace("INTEGER", "BIGINT")
                .replace("TEXT", "TEXT COLLATE \"C\"")
                .replace("BLOB", "BYTEA")
                .replace(") STRICT, WITHOUT ROWID", ")")
                .replace(") STRICT", ")"),
        }
    }

    /// Now, in milliseconds since the Unix epoch: the server's clock, or what is bound to `parameter`.
    pub(in crate::store) fn now(self, parameter: &str) -> String {
        match self {
            Self::Sqlite => parameter.to_owned(),
            Self::Postgres => {
                format!("coalesce({parameter}, (extract(epoch from clock_timestamp()) * 1000)::bigint)")
            }
        }
    }

    /// The texts of the JSON array that is bound to `parameter`, as a subquery.
    pub(in crate::store) fn texts(self, parameter: &str) -> String {
        match self {
            Self::Sqlite => format!("(SELECT value FROM json_each({parameter}))"),
            Self::Postgres => format!("(SELECT jsonb_array_elements_text({parameter}::jsonb))"),
        }
    }

    /// The pairs of text and number of the JSON array that is bound to `parameter`, as a table `pair(job, fence)`.
    pub(in crate::store) fn pairs(self, parameter: &str) -> String {
        match self {
            Self::Sqlite => format!(
                "(SELECT value ->> 0 AS job, value ->> 1 AS fence FROM json_each({parameter})) AS pair"
            ),
            Self::Postgres => format!(
                "(SELECT value ->> 0 AS job, (value ->> 1)::bigint AS fence \
                 FROM jsonb_array_elements({parameter}::jsonb) AS value) AS pair"
            ),
        }
    }

    /// The pairs of texts of the JSON array that is bound to `parameter`, as a table `pair(kind, value)`.
    pub(in crate::store) fn text_pairs(self, parameter: &str) -> String {
        match self {
            Self::Sqlite => format!(
                "(SELECT value ->> 0 AS kind, value ->> 1 AS value FROM json_each({parameter})) AS pair"
            ),
            Self::Postgres => format!(
                "(SELECT element ->> 0 AS kind, element ->> 1 AS value \
                 FROM jsonb_array_elements({parameter}::jsonb) AS element) AS pair"
            ),
        }
    }

    /// The golden of the job of a row of `jobs`, as its journal's first event names it.
    pub(in crate::store) fn golden(self) -> &'static str {
        match self {
            Self::Sqlite => {
                "(SELECT json_extract(body, '$.spec.plan.golden') FROM events WHERE events.job = jobs.id AND seq = 0)"
            }
            Self::Postgres => {
                "(SELECT body::jsonb #>> '{spec,plan,golden}' FROM events WHERE events.job = jobs.id AND seq = 0)"
            }
        }
    }

    /// The same with what the backend saw of the golden's content, as a JSON array of two.
    pub(in crate::store) fn golden_and_mark(self) -> &'static str {
        match self {
            Self::Sqlite => {
                "(SELECT json_extract(body, '$.spec.plan.golden', '$.spec.golden_mark') FROM events WHERE events.job = jobs.id AND seq = 0)"
            }
            Self::Postgres => {
                "(SELECT jsonb_build_array(body::jsonb #> '{spec,plan,golden}', body::jsonb #> '{spec,golden_mark}')::text FROM events WHERE events.job = jobs.id AND seq = 0)"
            }
        }
    }

    /// Does `first`, which changes a row or none; only if it changed one, does `then`, an INSERT by SELECT that lacks only its
    /// condition and `last`. All in one go; a row is answered if it was done.
    pub(in crate::store) fn both(self, first: &str, key: &str, then: &str, last: &str) -> String {
        match self {
            Self::Sqlite => format!("{first} RETURNING {key}; {then} WHERE changes() = 1 {last}"),
            Self::Postgres => format!(
                "WITH one AS ({first} RETURNING {key}), other AS ({then} WHERE EXISTS (SELECT 1 FROM one) {last}) \
                 SELECT {key} FROM one"
            ),
        }
    }

    /// Locks the rows of a SELECT and passes over those that somebody else has locked. SQLite has one writer.
    pub(in crate::store) fn skip_locked(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR UPDATE SKIP LOCKED",
        }
    }

    /// Locks the rows of a SELECT until the transaction ends; waits for whoever has locked them. SQLite has one writer.
    pub(in crate::store) fn locked(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR UPDATE",
        }
    }

    /// Until the transaction ends, nobody else looks at the queue. SQLite has one writer.
    pub(in crate::store) fn lock_queue(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some("SELECT pg_advisory_xact_lock(112589485994242)"),
        }
    }

    /// Until the transaction ends, nobody else makes a job that was counted. SQLite has one writer.
    pub(in crate::store) fn lock_budgets(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some("SELECT pg_advisory_xact_lock(112589485994243)"),
        }
    }
}
