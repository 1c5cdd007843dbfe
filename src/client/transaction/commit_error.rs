//! Why a commit has failed, and what became of the transaction.

use std::error::Error as StdError;
use std::fmt;

use crate::backend::{EndError, Outcome};
use crate::base::Error;

/// Why a commit has failed, and what became of the transaction.
///
/// ```
/// use alluvium::{CommitError, Error, Outcome};
///
/// /// Whether what was sent has to be sent again.
/// fn again(error: CommitError) -> Result<bool, Error> {
///     match error.outcome {
///         Outcome::Aborted => Ok(true),
///         Outcome::Committed => Ok(false),
///         _ => Err(error.into()), // Undecided: ask the log when it is well again.
///     }
/// }
/// # let _ = again;
/// ```
#[derive(Clone, Debug)]
pub struct CommitError {
    /// The cause.
    pub error: Error,
    /// What became of the transaction.
    pub outcome: Outcome,
}

impl From<EndError> for CommitError {
    fn from(EndError { error, outcome }: EndError) -> Self {
        Self { error, outcome }
    }
}

impl From<CommitError> for Error {
    fn from(error: CommitError) -> Self {
        error.error
    }
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            Outcome::Aborted => "the transaction is aborted",
            Outcome::Committed => "the transaction is committed all the same",
            Outcome::Undecided => "it is not known whether the transaction is committed",
        };
        write!(f, "{outcome}: {}", self.error)
    }
}

impl StdError for CommitError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.error)
    }
}
