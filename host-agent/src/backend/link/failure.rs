//! No answer.

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub kind: FailureKind,
    /// Whether a byte of the request may have left.
    pub sent: bool,
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// No connection, or it ended before the answer was whole.
    Connection,
    WrongCertificate,
    TimedOut,
    /// More than we take.
    TooLarge,
}
