//! Events as the first schema's companions wrote them, put into today's words.

use serde_json::{Value, json};
use sqlx::{AnyConnection, Row};

use crate::store::error::{StoreError, failed};
use crate::store::rows::parsed;

/// Rewrites a job's events that are written differently now.
pub(super) async fn modernise(sql: &mut AnyConnection, job: &str) -> Result<(), StoreError> {
    let old = sqlx::query("SELECT seq, body FROM events WHERE job = $1 ORDER BY seq")
        .bind(job)
        .fetch_all(&mut *sql)
        .await
        .map_err(failed("read an old journal"))?;
    for row in old {
        let (seq, body): (i64, String) = (row.get(0), row.get(1));
        let Some(new) = today(parsed("an old event", &body)?) else { continue };
        sqlx::query("UPDATE events SET body = $3 WHERE job = $1 AND seq = $2")
            .bind(job)
            .bind(seq)
            .bind(new.to_string())
            .execute(&mut *sql)
            .await
            .map_err(failed("rewrite an old event"))?;
    }
    Ok(())
}

/// None: it is written so today.
fn today(mut event: Value) -> Option<Value> {
    if event["kind"] != "unwind-requested" || !event["fault"].is_null() {
        return None;
    }
    let reason = event["reason"].take();
    Some(json!({
        "kind": "unwind-requested",
        "fault": { "code": "operator", "message": reason.as_str().unwrap_or("asked for by the operator") },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Event;

    #[test]
    fn an_old_request_to_unwind_keeps_its_reason() {
        let new = today(json!({"kind": "unwind-requested", "reason": "enough"})).unwrap();
        let event: Event = serde_json::from_value(new.clone()).unwrap();
        let Event::UnwindRequested { fault, successor: None, .. } = event else { panic!("{event:?}") };
        assert_eq!((fault.code.as_str(), fault.message.as_str()), ("operator", "enough"));
        assert_eq!(today(new), None, "what is new stays");
        assert_eq!(today(json!({"kind": "step-started", "step": "a"})), None);
    }
}
