//! A SELECT whose conditions depend on what was asked for.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe};

use super::error::{StoreError, failed};

/// Text with numbered places, and what is bound to them. Only values of ours get into the text.
#[derive(Debug)]
pub(super) struct Query {
    text: String,
    values: Vec<Value>,
}

#[derive(Debug)]
enum Value {
    Text(String),
    Number(i64),
}

impl Query {
    pub(super) fn new(text: String) -> Self {
        Self { text, values: Vec::new() }
    }

    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    pub(super) fn text(&mut self, before: &str, value: &str) {
        self.bind(before, Value::Text(value.to_owned()));
    }

    pub(super) fn number(&mut self, before: &str, value: i64) {
        self.bind(before, Value::Number(value));
    }

    pub(super) fn optional(&mut self, before: &str, value: Option<&String>) {
        if let Some(value) = value {
            self.text(before, value);
        }
    }

    pub(super) fn any_of(&mut self, before: &str, values: impl Iterator<Item = String>) {
        self.push(before);
        for (index, value) in values.enumerate() {
            self.text(if index == 0 { "(" } else { ", " }, &value);
        }
        self.push(")");
    }

    fn bind(&mut self, before: &str, value: Value) {
        self.values.push(value);
        self.text.push_str(&format!("{before}${}", self.values.len()));
    }

    pub(super) async fn fetch(
        self,
        sql: &mut AnyConnection,
        action: &'static str,
    ) -> Result<Vec<AnyRow>, StoreError> {
        let mut query = sqlx::query(AssertSqlSafe(self.text));
        for value in self.values {
            query = match value {
                Value::Text(text) => query.bind(text),
                Value::Number(number) => query.bind(number),
            };
        }
        query.fetch_all(sql).await.map_err(failed(action))
    }
}
