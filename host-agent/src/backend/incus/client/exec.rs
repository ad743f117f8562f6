//! A command in a running instance, from its start to what it printed.

use serde_json::Value;
use tokio::time::Instant;

use super::Client;
use super::call::Method;
use super::endpoint::exec::{Exec, ReadOutput, RemoveOutput};
use super::operation::OperationEnd;
use super::verdict::{ApiError, Class};

/// What a command came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed {
    /// As a shell would have it: 128 and more of one that a signal ended. None: the server did not say.
    pub status: Option<i32>,
    /// Both cut after the bytes that were asked for.
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Client {
    /// Runs a command, and takes up to `most` bytes of each of its outputs, which are then removed from the server.
    /// A command that does not end by `deadline` goes on.
    ///
    /// # Errors
    /// It did not start, or nobody knows how it ended.
    pub async fn exec(&self, exec: &Exec, most: usize, deadline: Instant) -> Result<Executed, ApiError> {
        let id = self.send(exec).await?;
        let error = |class, text: String| ApiError {
            method: Method::Post,
            path: format!("/1.0/instances/{}/exec", exec.instance).into(),
            class,
            status: None,
            text: text.into(),
        };
        let metadata = match self.follow(&id, deadline).await {
            OperationEnd::Done(operation) => operation.metadata,
            OperationEnd::Failed { class, text } => return Err(error(class, text)),
            OperationEnd::Unknown { text } => return Err(error(Class::MaybeApplied, text)),
        };
        let status = metadata.get("return").and_then(Value::as_i64).and_then(|code| i32::try_from(code).ok());
        let stdout = self.output(exec, &metadata, "1", most).await?;
        let stderr = self.output(exec, &metadata, "2", most).await?;
        Ok(Executed { status, stdout, stderr })
    }

    async fn output(
        &self,
        exec: &Exec,
        metadata: &Value,
        stream: &str,
        most: usize,
    ) -> Result<Vec<u8>, ApiError> {
        let path = metadata.get("output").and_then(|output| output.get(stream)?.as_str());
        let Some(file) = path.and_then(|path| path.rsplit('/').next()) else { return Ok(Vec::new()) };
        let (instance, file) = (exec.instance.clone(), file.to_owned());
        let bytes = self.send(&ReadOutput { instance: instance.clone(), file: file.clone(), most }).await?;
        if let Err(error) = self.send(&RemoveOutput { instance, file }).await {
            tracing::debug!(remote = self.remote(), error = %error, "a command's output stays on the server");
        }
        Ok(bytes.to_vec())
    }
}
