//! The call that gives a stopped instance another name.

use serde_json::json;

use super::client::call::{Call, Method, segment};
use super::client::endpoint::{Answered, Endpoint, Unreadable};
use super::client::operation::OperationId;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RenameInstance {
    pub(super) name: String,
    pub(super) to: String,
}

impl Endpoint for RenameInstance {
    type Answer = OperationId;

    fn call(&self) -> Call {
        Call::new(Method::Post, format!("/1.0/instances/{}", segment(&self.name)))
            .json(&json!({ "name": self.to }))
    }

    fn read(answered: Answered) -> Result<OperationId, Unreadable> {
        answered.operation.ok_or_else(|| Unreadable("an operation's name is wanted".to_owned()))
    }
}
