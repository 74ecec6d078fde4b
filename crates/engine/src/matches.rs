//! Which rows of a view match a filter.

use crate::error::Result;
use crate::exact::sized;
use crate::filter::Filter;
use crate::token::Token;
use crate::view::View;

/// Rows tested between two looks at the token.
const PIECE: u32 = 4096;

/// The live rows of a view that match a filter, a bit a row.
pub(crate) struct Matches {
    words: Vec<u64>,
    count: usize,
}

impl Matches {
    /// Tests every live row's metadata. Only inside of [`View::checked`].
    pub fn of(view: &View, filter: &Filter, token: &Token) -> Result<Matches> {
        let mut matches = Matches { words: sized((view.count as usize).div_ceil(64), 1, 0)?, count: 0 };
        for row in 0..view.count {
            if row % PIECE == 0 {
                token.check()?;
            }
            if !view.tombstones.contains(row) && filter.matches(view.rows.metadata(row)) {
                matches.words[row as usize / 64] |= 1 << (row % 64);
                matches.count += 1;
            }
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
        self.words.iter().zip(0_u32..).flat_map(|(&word, i)| {
            let rest = std::iter::successors(Some(word), |&rest| Some(rest & (rest - 1)));
            rest.take_while(|&rest| rest != 0).map(move |rest| i * 64 + rest.trailing_zeros())
        })
    }
}
