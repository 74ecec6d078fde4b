//! Which rows of a view match a filter.
//!
//! ```text
//! columns   rows that may match, and those of them that surely do
//! live      less the dead
//! metadata  decide on the rest, row by row when somebody asks, or all at once
//! ```

use std::sync::Arc;

use crate::columns::Bits;
use crate::error::Result;
use crate::exact::sized;
use crate::filter::Filter;
use crate::token::Token;
use crate::view::View;

/// Words of rows tested between two looks at the token.
const PIECE: usize = 64;
/// Rows whose metadata are read to estimate how many match.
const SAMPLE: usize = 256;

/// The live rows of a view that match a filter.
#[derive(Clone)]
pub(crate) struct Matches<'a> {
    view: &'a View,
    filter: &'a Filter,
    known: Arc<Known>,
}

/// What is known of which rows match, for whoever asks again with the same view and filter.
#[derive(Clone)]
pub(crate) struct Known {
    /// Rows that surely match, a bit each.
    sure: Bits,
    /// Rows of which metadata decide; empty where there are none.
    open: Bits,
    /// How many of each.
    counts: (usize, usize),
}

impl<'a> Matches<'a> {
    /// What columns know.
    pub fn of(view: &'a View, filter: &'a Filter) -> Result<Matches<'a>> {
        let count = view.count as usize;
        let words = count.div_ceil(64);
        let (mut sure, mut open) = match view.columns.select(filter, count)? {
            Some(selected) => (selected.sure, selected.can),
            None => (sized(words, 1, 0)?, sized(words, 1, u64::MAX)?),
        };
        let mut counts = (0, 0);
        for (i, (sure, open)) in sure.iter_mut().zip(&mut open).enumerate() {
            let past = (count - i * 64).min(64);
            let live = !view.tombstones.word(i) & (u64::MAX >> (64 - past));
            *open &= live & !*sure;
            *sure &= live;
            counts = (counts.0 + sure.count_ones() as usize, counts.1 + open.count_ones() as usize);
        }
        if counts.1 == 0 {
            open = Bits::new();
        }
        Ok(Matches { view, filter, known: Arc::new(Known { sure, open, counts }) })
    }

    /// What was known before of the same view and filter.
    pub fn again(view: &'a View, filter: &'a Filter, known: Arc<Known>) -> Matches<'a> {
        Matches { view, filter, known }
    }

    pub fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known)
    }

    /// Every row that matches: reads the metadata of those that columns leave open. Only inside of [`View::checked`].
    pub fn all(view: &'a View, filter: &'a Filter, token: &Token) -> Result<Matches<'a>> {
        Matches::of(view, filter)?.resolved(token)
    }

    /// The same, and no row is left open.
    pub fn resolved(self, token: &Token) -> Result<Matches<'a>> {
        let mut known = Arc::unwrap_or_clone(self.known);
        for (i, (sure, &open)) in known.sure.iter_mut().zip(&known.open).enumerate() {
            if i % PIECE == 0 {
                token.check()?;
            }
            for bit in ones(open) {
                let matches = self.filter.matches(self.view.rows.metadata(i as u32 * 64 + bit));
                *sure |= u64::from(matches) << bit;
                known.counts.0 += usize::from(matches);
            }
        }
        (known.open, known.counts.1) = (Bits::new(), 0);
        Ok(Matches { known: Arc::new(known), ..self })
    }

    /// What they match.
    pub fn filter(&self) -> &'a Filter {
        self.filter
    }

    /// Rows that match, of those that are not open.
    pub fn len(&self) -> usize {
        self.known.counts.0
    }

    /// Whether every live row surely matches.
    pub fn is_all(&self) -> bool {
        self.len() == self.view.live()
    }

    /// Rows whose metadata decide.
    pub fn open(&self) -> usize {
        self.known.counts.1
    }

    /// How many rows match, as far as a sample of the open ones tells. Only inside of [`View::checked`].
    pub fn estimate(&self) -> usize {
        let (sure, open) = self.known.counts;
        let step = open.div_ceil(SAMPLE).max(1);
        let some = rows(&self.known.open).step_by(step);
        let tested = some.map(|row| usize::from(self.filter.matches(self.view.rows.metadata(row))));
        let (matching, sample) = tested.fold((0, 0), |(matching, sample), one| (matching + one, sample + 1));
        sure + matching * open / sample.max(1)
    }

    /// Whether a row matches. Only inside of [`View::checked`].
    #[inline]
    pub fn contains(&self, row: u32) -> bool {
        has(&self.known.sure, row) || has(&self.known.open, row) && self.filter.matches(self.view.rows.metadata(row))
    }

    /// Of each row whether it surely matches, a bit each; rows past the end do not.
    pub fn sure(&self) -> &[u64] {
        &self.known.sure
    }

    /// The rows that surely match, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        rows(&self.known.sure)
    }
}

/// Whether a row's bit is set, of those that there are.
#[inline(always)]
pub(crate) fn has(bits: &[u64], row: u32) -> bool {
    bits.get(row as usize / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
}

/// The rows whose bits are set.
fn rows(bits: &Bits) -> impl Iterator<Item = u32> + '_ {
    bits.iter().zip(0_u32..).flat_map(|(&word, i)| ones(word).map(move |bit| i * 64 + bit))
}

/// The places of the bits that are set.
fn ones(word: u64) -> impl Iterator<Item = u32> {
    let rest = std::iter::successors(Some(word), |&rest| Some(rest & rest.wrapping_sub(1)));
    rest.take_while(|&rest| rest != 0).map(u64::trailing_zeros)
}
