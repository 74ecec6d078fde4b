//! Which rows of a view match a filter.
//!
//! ```text
//! columns   rows that may match, and those of them that surely do
//! live      less the dead
//! metadata  decide on the rest
//! ```

use crate::columns::Bits;
use crate::error::Result;
use crate::exact::sized;
use crate::filter::Filter;
use crate::token::Token;
use crate::view::View;

/// Words of rows tested between two looks at the token.
const PIECE: usize = 64;

/// The live rows of a view that match a filter, a bit a row.
pub(crate) struct Matches {
    words: Bits,
    count: usize,
}

impl Matches {
    /// Reads columns, and the metadata of rows that columns leave open. Only inside of [`View::checked`].
    pub fn of(view: &View, filter: &Filter, token: &Token) -> Result<Matches> {
        let count = view.count as usize;
        let (can, sure) = match view.columns.select(filter, count)? {
            Some(selected) => (Some(selected.can), selected.sure),
            None => (None, sized(count.div_ceil(64), 1, 0)?),
        };
        let mut matches = Matches { words: sure, count: 0 };
        for (i, word) in matches.words.iter_mut().enumerate() {
            if i % PIECE == 0 {
                token.check()?;
            }
            let past = (count - i * 64).min(64);
            let live = !view.tombstones.word(i) & (u64::MAX >> (64 - past));
            let open = can.as_ref().map_or(u64::MAX, |can| can[i]) & !*word & live;
            *word &= live;
            for bit in ones(open) {
                let row = i as u32 * 64 + bit;
                *word |= u64::from(filter.matches(view.rows.metadata(row))) << bit;
            }
            matches.count += word.count_ones() as usize;
        }
        Ok(matches)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn contains(&self, row: u32) -> bool {
        self.words.get(row as usize / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    /// The rows, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().zip(0_u32..).flat_map(|(&word, i)| ones(word).map(move |bit| i * 64 + bit))
    }
}

/// The places of the bits that are set.
fn ones(word: u64) -> impl Iterator<Item = u32> {
    let rest = std::iter::successors(Some(word), |&rest| Some(rest & rest.wrapping_sub(1)));
    rest.take_while(|&rest| rest != 0).map(u64::trailing_zeros)
}
