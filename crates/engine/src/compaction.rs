//! Gives back what dead rows take, and builds the index otherwise: by a log of the next generation, filled beside searches
//! and writes.
//!
//! ```text
//! fix     under the writer's lock: a view and its position in the log
//! refill  the rows alive in the view, in their order, and an index made from them at once
//! follow  the frames that were written meanwhile, again and again, the last few while writes wait
//! succeed MANIFEST names the new log; the old files go once the last view of them does
//! ```
//! Rows are numbered anew, so the frames that follow are translated: a put is a put, and what a delete meant is found
//! again by its ids.

use std::sync::Arc;

use auspex_kernel::Kernels;

use crate::error::Result;
use crate::options::Config;
use crate::rows::Rows;
use crate::storage::frame::{self, Draft, Header, Kind, Unnumbered};
use crate::storage::log::Place;
use crate::storage::manifest::Position;
use crate::storage::segment::Segment;
use crate::token::Token;
use crate::view::View;
use crate::writer::Writer;

/// Bytes of vectors, ids and metadata in a frame of several rows, and its rows, at most.
const FRAME_BYTES: usize = 8 << 20;
const FRAME_ROWS: usize = 10_000;
/// Fewer dead rows than these are left where they are.
const LEAST: usize = 1024;
/// Frames that have so few rows are followed while writes wait.
const LAST: u64 = 1000;

/// Whether dead rows are so many that they should go: a quarter of all.
pub(crate) fn due(dead: usize, rows: usize) -> bool {
    dead >= LEAST && dead >= rows / 4
}

/// Whether frames are few enough to be followed while writes wait.
pub(crate) fn few(frames: &[(Header, Place)]) -> bool {
    frames.iter().map(|(header, _)| u64::from(header.rows)).sum::<u64>() <= LAST
}

/// The moment that a compaction starts from.
pub(crate) struct Fixed {
    pub view: View,
    /// Where the frames begin that follow.
    pub position: Position,
    pub generation: u32,
}

/// What the log before holds, to be followed.
pub(crate) struct Before {
    pub rows: Rows,
    pub segments: Arc<Vec<Arc<Segment>>>,
    pub frames: Vec<(Header, Place)>,
}

impl Writer {
    /// Writes the live rows of another log's view, all of which the index then takes at once, as replaying them does.
    pub fn refill(
        &mut self,
        config: &Config,
        view: &View,
        token: &Token,
        go_on: &dyn Fn() -> Result<()>,
    ) -> Result<()> {
        let mut live = (0..view.count).filter(|&row| view.is_live(row)).peekable();
        while live.peek().is_some() {
            go_on()?;
            let mut rows = Vec::new();
            let mut draft = view.checked(|| {
                let mut bytes = 0;
                while let Some(&row) = live.peek() {
                    view.rows.check(row);
                    bytes += config.dim * 4 + view.rows.id(row).len() + view.rows.metadata(row).len();
                    if !rows.is_empty() && (bytes > FRAME_BYTES || rows.len() == FRAME_ROWS) {
                        break;
                    }
                    rows.extend(live.next());
                }
                let ids = rows.iter().map(|&row| view.rows.id(row).to_owned()).collect();
                let texts: Vec<&str> = rows.iter().map(|&row| view.rows.metadata(row)).collect();
                let plain = texts.iter().all(|text| *text == frame::EMPTY);
                let mut draft = Draft::with(config.dim, ids, if plain { &[] } else { &texts })?;
                rows.iter().enumerate().for_each(|(i, &row)| draft.set(i, view.rows.vector(row)));
                Ok(draft)
            })?;
            self.reserve(config, rows.len())?;
            draft.frame.more = live.peek().is_some();
            self.take(draft.frame)?;
            token.advance(rows.len() as u64);
        }
        Ok(())
    }

    /// Does what frames of the log before did.
    pub fn follow(&mut self, config: &Config, kernels: &'static Kernels, before: &Before) -> Result<()> {
        for (header, place) in &before.frames {
            let bytes = before.segments[place.segment as usize].bytes(place.offset as usize, header.frame_len());
            let frame = match header.kind {
                Kind::Clear => Unnumbered::clear()?,
                Kind::Put => Unnumbered::again(header, bytes)?,
                Kind::Delete => {
                    let now = self.view();
                    let rows = frame::deleted_rows(header, bytes);
                    let found =
                        now.checked(|| Ok(rows.iter().filter_map(|&row| now.find(before.rows.id(row))).collect()));
                    let rows: Vec<u32> = found?;
                    Unnumbered::delete(&rows)?
                }
            };
            if header.kind == Kind::Put {
                self.reserve(config, header.rows as usize)?;
            }
            let taken = self.take(frame)?;
            self.relink(config, kernels, &taken, &Token::default())?;
        }
        Ok(())
    }
}
