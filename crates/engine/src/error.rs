//! Errors as data: a stable code, and a sentence that names the argument, the value and the limit.

use std::fmt;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The stable code.
    pub code: Code,
    /// A sentence for a person: argument, value, limit and, where there is one, the remedy.
    pub message: String,
}

/// Stable codes; their text is what JavaScript sees as `error.code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// An argument is out of its range.
    Argument,
    /// A vector has another number of floats than the collection's `dim`.
    Dimension,
    /// A float is NaN or infinite, or a vector is too long for its squared norm to be one.
    NotFinite,
    /// A vector without a direction, where the metric needs one.
    ZeroVector,
    /// The id is taken.
    Exists,
    /// The id is unknown.
    NotFound,
    /// The collection is closed.
    Closed,
    /// The system gave no memory; nothing changed.
    Memory,
    /// Bytes that were written are not the bytes that are read.
    Corrupt,
    /// Another handle, worker or process writes to the collection.
    Locked,
    /// The collection is in a format that this version does not know.
    Version,
    /// The collection belongs to another embedding model.
    ModelMismatch,
    /// The disk is full; nothing changed.
    NoSpace,
    /// The system refused to read or write.
    Io,
    /// A filter is none; the message names the place inside it.
    Filter,
    /// The collection was opened to be read.
    ReadOnly,
    /// A defect of this library.
    Internal,
    /// The caller's token was cancelled; nothing changed.
    Aborted,
}

impl Code {
    /// The text of the code, as JavaScript sees it. [`Code::Aborted`] is replaced there by the signal's own reason.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Code::Argument => "ERR_ARGUMENT",
            Code::Dimension => "ERR_DIMENSION",
            Code::NotFinite => "ERR_NOT_FINITE",
            Code::ZeroVector => "ERR_ZERO_VECTOR",
            Code::Exists => "ERR_EXISTS",
            Code::NotFound => "ERR_NOT_FOUND",
            Code::Closed => "ERR_CLOSED",
            Code::Memory => "ERR_MEMORY",
            Code::Corrupt => "ERR_CORRUPT",
            Code::Locked => "ERR_LOCKED",
            Code::Version => "ERR_VERSION",
            Code::ModelMismatch => "ERR_MODEL_MISMATCH",
            Code::NoSpace => "ERR_NO_SPACE",
            Code::Io => "ERR_IO",
            Code::Filter => "ERR_FILTER",
            Code::ReadOnly => "ERR_READ_ONLY",
            Code::Internal => "ERR_INTERNAL",
            Code::Aborted => "ABORTED",
        }
    }
}

impl Error {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Error {
        Error { code, message: message.into() }
    }

    pub(crate) fn memory(bytes: usize, what: &str) -> Error {
        Error::new(Code::Memory, format!("no memory for {bytes} bytes of {what}; nothing was changed"))
    }

    pub(crate) fn corrupt(file: &str, offset: usize, what: &str) -> Error {
        Error::new(Code::Corrupt, format!("{file} is damaged at byte {offset}: {what}"))
    }

    /// What the system answered when asked to `what`: [`Code::NoSpace`] where the disk is full, else [`Code::Io`].
    pub(crate) fn io(what: &str, error: &std::io::Error) -> Error {
        let full = matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded);
        Error::new(if full { Code::NoSpace } else { Code::Io }, format!("cannot {what}: {error}"))
    }

    pub(crate) fn closed() -> Error {
        Error::new(Code::Closed, "the collection is closed")
    }

    pub(crate) fn aborted() -> Error {
        Error::new(Code::Aborted, "the operation was aborted")
    }
}

/// A text as it may stand in a message: quoted, and cut where it is long.
pub(crate) fn shown(text: &str) -> String {
    match text.char_indices().nth(64) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}...", &text[..end]),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
