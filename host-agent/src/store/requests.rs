//! Requests of people that must not overwrite one another.

use super::Store;
use super::error::{StoreError, failed};
use super::jobs::Refusal;
use super::rows::{self, text};
use crate::job::{Asked, Change, JournalError, Request, RequestKind, fold};
use sqlx::{AnyConnection, AssertSqlSafe};

impl Store {
    /// Records a request and wakes whoever drives the job, unless the same was asked before or another one is open that
    /// this one may not overrule. Of those who ask at once, one is the first.
    ///
    /// # Errors
    /// `NoSuchJob`, and what the store fails of.
    pub async fn ask_in_turn(&self, job: &str, request: &Request) -> Result<Asked, JournalError> {
        let (asked, request) = (job.to_owned(), request.clone());
        let work = self.write(move |writing| {
            Box::pin(async move {
                let look = format!("SELECT request FROM jobs WHERE id = $1{}", writing.dialect.locked());
                let open: Option<Option<String>> = sqlx::query_scalar(AssertSqlSafe(look))
                    .bind(&asked)
                    .fetch_optional(&mut *writing.sql)
                    .await
                    .map_err(failed("read a request"))?;
                let open = open.ok_or(Refusal::NoSuchJob)?;
                let open: Option<Request> = open.map(|body| rows::parsed("a request", &body)).transpose()?;
                match open {
                    Some(open) if request.kind.repeats(&open.kind) => return Ok(Asked::Already(open.kind)),
                    Some(open) if !request.kind.overrules(&open.kind) => return Ok(Asked::Pending(open)),
                    _ => {}
                }
                if let RequestKind::Anew { .. } = request.kind
                    && let Some(successor) = successor(writing.sql, &asked).await?
                {
                    return Ok(Asked::Already(RequestKind::Anew { successor }));
                }
                sqlx::query("UPDATE jobs SET request = $2 WHERE id = $1")
                    .bind(&asked)
                    .bind(text("a request", &request)?)
                    .execute(&mut *writing.sql)
                    .await
                    .map_err(failed("record a request"))?;
                writing.changes.push(Change::Job(asked));
                Ok(Asked::Recorded)
            })
        });
        work.await.map_err(|refusal: Refusal| refusal.of(job))
    }
}

/// The job that begins anew after this one, if its journal has one already.
async fn successor(sql: &mut AnyConnection, job: &str) -> Result<Option<String>, StoreError> {
    let state = fold(&rows::events(sql, job).await?);
    state.map(|state| state.successor).map_err(|illegal| StoreError::row("a journal", illegal))
}
