//! Keeps a checkpoint up with the log, so that opening reads what is derived instead of deriving it again.
//!
//! ```text
//! take    under the writer's lock: a view, the links frozen, the log's position
//! write   beside searches and writes: sync the log so far, then arrays into a file of their own, synced
//! adopt   under the writer's lock: MANIFEST names it; the one before is removed
//! ```
//! A checkpoint holds what the log's frames up to its position made, to the bit: replaying the frames behind it goes on
//! as if there had been no opening in between.

use std::sync::Arc;

use serde_json::Value;

use crate::error::{Code, Error, Result};
use crate::graph::layer::{Frozen, links_name, places_name};
use crate::graph::{CHAINED, LAYERS};
use crate::storage::checkpoint::{self, Checkpoint, Section};
use crate::storage::disk::Disk;
use crate::storage::frame;
use crate::storage::manifest::{Checkpointed, Manifest, Position};
use crate::storage::segment::Segment;
use crate::text;
use crate::view::View;

/// Rows written or deleted since the last checkpoint: a new one is due when they are so many, and a tenth of all.
const DUE: u64 = 20_000;
/// Fewer than these are not worth a checkpoint when the collection is closed: replaying them takes no time.
const WORTH: u64 = 100;

/// Whether a checkpoint should be taken beside the writes.
pub(crate) fn due(changes: u64, rows: usize) -> bool {
    changes >= DUE.max(rows as u64 / 10)
}

/// Whether one should be taken when the collection is closed.
pub(crate) fn worth(changes: u64) -> bool {
    changes >= WORTH
}

/// One moment of the writer's, to be written down.
pub(crate) struct Snapshot {
    pub view: View,
    pub frozen: Vec<Arc<Frozen>>,
    pub facts: Value,
    pub disk: Arc<dyn Disk>,
    pub salt: u64,
    pub name: String,
    pub number: u64,
    pub position: Position,
    /// Rows that it holds and the checkpoint before it does not.
    pub changes: u64,
    /// The segment whose frames may not be durable yet.
    pub unsynced: Option<Arc<Segment>>,
}

/// Why a checkpoint was not written.
pub(crate) enum Failed {
    /// The log could not be synced: what was written is in doubt.
    Log(Error),
    /// The file could not be written, or the collection was closed meanwhile.
    File(Error),
}

impl Failed {
    pub fn into_error(self) -> Error {
        match self {
            Failed::Log(error) | Failed::File(error) => error,
        }
    }
}

impl Snapshot {
    /// Makes the log durable up to the position, and writes the file.
    pub fn write(&self, go_on: &dyn Fn() -> bool) -> std::result::Result<Checkpointed, Failed> {
        if let Some(segment) = &self.unsynced {
            segment.syncing(|| self.disk.sync(segment)).map_err(Failed::Log)?;
        }
        let view = &self.view;
        let mut sections: Vec<Section> = view.rows.sections(view.count);
        sections.extend(view.ids.sections(&view.rows, view.count));
        sections.extend(view.tombstones.sections());
        sections.extend(view.columns.section());
        sections.extend(view.text.section());
        if let Some(graph) = &view.graph {
            sections.extend(graph.sections(view.count, &self.frozen));
        }
        let len = checkpoint::write(&*self.disk, &self.name, self.salt, &self.facts, &sections, go_on);
        Ok(Checkpointed { number: self.number, len: len.map_err(Failed::File)?, position: self.position })
    }

    /// Removes a file that was written and is not wanted.
    pub fn discard(&self) {
        // What cannot be removed the next writer sweeps.
        let _ = self.disk.remove(&self.name);
    }
}

/// The checkpoint that the manifest names, its parts checked that decide what is found; the parts that decide only
/// how well a walk goes are left to [`verify_walk`]. `Err` says why there is none to use.
pub(crate) fn open(disk: &dyn Disk, manifest: &Manifest) -> Result<Option<(Checkpoint, Position)>> {
    let Some(named) = manifest.checkpoint else { return Ok(None) };
    let found = Checkpoint::open(disk, &manifest.index(named.number), named.len, manifest.salt)?;
    // The text's words look after themselves.
    found.verify(|section| !is_walk(section) && section != text::SECTION, &|| true)?;
    Ok(Some((found, named.position)))
}

/// Whether what the graph of a checkpoint of `rows` rows names is there, whoever wrote it. Each node's newest row is a row
/// and each row's next an older one, so chains end; each slot of an upper layer has a node, and a slot below. Links are
/// held against the layer's end when they are followed.
pub(crate) fn graph_holds(checkpoint: &Checkpoint, rows: usize) -> bool {
    let (nodes, chained) = (checkpoint.slots("heads"), checkpoint.slots("next_same"));
    let numbers = |name| checkpoint.bytes(name).chunks_exact(4).map(|word| frame::word32(word, 0) as usize);
    let chains = chained <= rows
        && numbers("heads").all(|head| head & !(CHAINED as usize) < chained)
        && numbers("next_same").enumerate().all(|(row, older)| older <= row);
    chains
        && numbers("sources").all(|row| row < rows)
        && (1..LAYERS).all(|layer| {
            let below = checkpoint.slots(&links_name(layer - 1));
            checkpoint
                .bytes(&places_name(layer))
                .chunks_exact(8)
                .all(|place| (frame::word32(place, 0) as usize) < nodes && (frame::word32(place, 4) as usize) < below)
        })
}

/// Whether a checkpoint that cannot be used for this reason can be done without.
pub(crate) fn can_do_without(error: &Error) -> bool {
    matches!(error.code, Code::Corrupt | Code::Io)
}

/// Checks what [`open`] left out: codes and links of layer 0, most of the file.
pub(crate) fn verify_walk(checkpoint: &Checkpoint, go_on: &dyn Fn() -> bool) -> Result<()> {
    checkpoint.verify(is_walk, go_on)
}

fn is_walk(section: &str) -> bool {
    matches!(section, "codes" | "extras") || section == links_name(0)
}
