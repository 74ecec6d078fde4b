//! What one moment of a collection looks like. Searches hold a view; nothing that they see through it changes.

use std::sync::Arc;

use crate::columns::Columns;
use crate::error::Result;
use crate::graph::GraphView;
use crate::ids::{Ids, hash};
use crate::options::Config;
use crate::rows::{Rows, Tombstones};
use crate::text::Text;

/// A moment: rows below a count, less the dead ones.
pub(crate) struct View {
    pub rows: Rows,
    /// Rows from here on are newer than the view.
    pub count: u32,
    pub tombstones: Arc<Tombstones>,
    pub columns: Arc<Columns>,
    pub text: Arc<Text>,
    pub ids: Arc<Ids>,
    pub graph: Option<Arc<GraphView>>,
    /// What rebuilding may change, as it was then.
    pub config: Arc<Config>,
    /// The log's generation, and the writes in it that led here.
    pub moment: (u32, u64),
}

impl View {
    /// Rows that are alive.
    pub fn live(&self) -> usize {
        self.count as usize - self.tombstones.len()
    }

    /// What `read` makes of rows, unless it met bytes of the log that are damaged.
    pub fn checked<T>(&self, read: impl FnOnce() -> Result<T>) -> Result<T> {
        let before = self.rows.damage().map_or(0, |(times, _)| times);
        let result = read();
        match self.rows.damage() {
            // Whatever was made of such bytes, and be it another error.
            Some((times, error)) if times != before => Err(error),
            _ => result,
        }
    }

    pub fn is_live(&self, row: u32) -> bool {
        row < self.count && !self.tombstones.contains(row)
    }

    /// The live row with this id.
    pub fn find(&self, id: &str) -> Option<u32> {
        self.ids
            .candidates(hash(id))
            .find_map(|(_, newest)| {
                let row = std::iter::successors(Some(newest), |&row| self.rows.superseded(row))
                    .find(|&row| row < self.count)?;
                (self.rows.id(row) == id).then_some(row)
            })
            .filter(|&row| self.is_live(row))
    }
}
