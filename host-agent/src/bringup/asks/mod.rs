//! What operators ask for: guests, changes of them, their end. Checked at once, and durable when it returns.

mod budget;
mod change;
mod decide;
mod requests;
mod submit;
mod wait;

pub use submit::SubmitError;
pub use wait::WaitFor;
