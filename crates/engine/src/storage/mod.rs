//! The log is the database: frames of rows, one a write, appended to segments that never move.
//!
//! ```text
//! Draft (filled on the caller's thread) -> Log::append -> Disk::append -> Segment (searches read here)
//! ```
//! | file | what it holds |
//! | --- | --- |
//! | `frame`    | the bytes of a frame: built from a draft, checked and read back |
//! | `log`      | segments in order; append a frame, read every frame |
//! | `manifest` | what a collection is, and which files it has |
//! | `checkpoint` | arrays derived from the log, kept in a file that is mapped |
//! | `disk`     | where files come from, a trait; the heap is one |
//! | `folder`   | a folder on a local disk is another |
//! | `segment`  | a segment's bytes: written once from the front, read below what was published (unsafe lives here) |

pub(crate) mod checkpoint;
pub(crate) mod disk;
pub(crate) mod folder;
pub(crate) mod frame;
pub(crate) mod log;
pub(crate) mod manifest;
pub(crate) mod segment;

#[cfg(test)]
mod faults;
