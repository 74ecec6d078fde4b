//! The vector database: plain synchronous Rust behind the Node binding.
//!
//! ```text
//! collection --> query --> exact, graph --> codes, rows --> kernel
//!     |            |
//!     |            view: a moment, held by searches
//!     +--> writer --> index --> graph
//!             +-----> storage: log, frames, manifest, segments, disk
//! ```
//! | file | question it answers |
//! | --- | --- |
//! | `collection` | who may write, and what do readers see? |
//! | `writer`     | in which order does a write pass through the parts? |
//! | `answer`     | what does reading give back? |
//! | `query`      | how is this search answered? |
//! | `filtered`   | and with a filter? |
//! | `groups`     | and `k` groups of rows, instead of `k` rows? |
//! | `diversity`  | and rows that differ from one another? |
//! | `view`       | what did this moment look like? |
//! | `index`      | when is there a graph, and when are codes made anew? |
//! | `graph`      | which rows lie near which? |
//! | `codes`      | how far are two rows, in one byte a dimension? |
//! | `filter`     | which rows does the user want? |
//! | `data`       | what has a row in this field? |
//! | `columns`    | which rows have this value? |
//! | `matches`    | which rows of a view are those? |
//! | `text`       | which rows have these words, and how well do they fit? |
//! | `postings`   | and where is that written? |
//! | `words`      | what is a word? |
//! | `exact`      | what is the truth? |
//! | `rows`, `ids`| where is a row, and which row has this id? |
//! | `storage`    | what was written? |
//! | `compaction` | where do dead rows go? |
//! | `verify`     | is all of it as it should be? |
//! | `keeper`     | when is what was derived written down? |
//! | `arena`      | how does memory grow without moving? (unsafe) |
//! | `memory`     | where do bytes lie: on the heap, or in a file? (unsafe) |

mod answer;
mod arena;
mod codes;
mod collection;
mod columns;
mod compaction;
mod data;
mod diversity;
mod error;
mod exact;
mod filter;
mod filtered;
mod graph;
mod groups;
mod ids;
mod index;
mod keeper;
mod matches;
mod memory;
mod options;
mod postings;
mod query;
mod rows;
mod spares;
mod storage;
mod text;
mod token;
mod verify;
mod view;
mod words;
mod workers;
mod writer;

pub use answer::{BatchHits, Cursor, Explain, Found, Hits, Stats};
pub use collection::{Collection, RecallOptions, RecallPoint};
pub use error::{Code, Error, Result};
pub use exact::{ExactHits, exact_search};
pub use filter::Filter;
pub use options::{Diversify, FusionOptions, GroupBy, Metric, Options, Quantization, Rebuild, SearchOptions};
pub use storage::frame::Draft;
pub use token::Token;
pub use verify::Problem;
pub use writer::{Update, Write, Written};

/// The library on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Version of this library.
    pub version: &'static str,
    /// Instruction set of the kernels.
    pub isa: &'static str,
    /// Threads that the system offers this process.
    pub threads: usize,
}

/// The library on this machine.
///
/// # Errors
/// `AUSPEX_ISA` asks for an instruction set that is unknown or that this machine lacks.
pub fn info() -> Result<Info> {
    Ok(Info { version: env!("CARGO_PKG_VERSION"), isa: kernels()?.isa.name(), threads: workers::available() })
}

/// The kernels for this machine, chosen once.
fn kernels() -> Result<&'static auspex_kernel::Kernels> {
    auspex_kernel::kernels().map_err(|error| Error::new(Code::Argument, error.to_string()))
}
