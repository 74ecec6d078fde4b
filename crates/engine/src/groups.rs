//! The nearest `k` groups of rows, and of each its nearest rows. A group is the rows with one value in a field.
//!
//! ```text
//! the nearest n rows -> groups, in the order of their nearest rows
//! k of them, or all that there are?   no: eight times as many rows, at last all of them
//! groups with fewer rows than asked for   all their rows, found like those of a filter: { field: { $in: their values } }
//! ```
//! So `k` groups come back whenever there are `k`, and their hits whenever there are so many. Where the field has a column,
//! that tells when there can be no more groups, and which rows a group has; else metadata do, of all rows if need be.

use std::collections::HashMap;

use crate::columns::key_of_value;
use crate::data::{Names, Value};
use crate::error::Result;
use crate::exact::{self, Top};
use crate::filter::Filter;
use crate::graph::search::Counts;
use crate::matches::Matches;
use crate::options::Ask;
use crate::query::{Done, Neighbor, Scratch, Search};
use crate::token::Token;

/// Rows looked at first for each hit, and how many times as many each time after that.
const FIRST: usize = 4;
const MORE: usize = 8;
/// Rows that a search held, from which on their memory is given back.
const LARGE: usize = 1 << 16;

/// The rows with one value, and their distances.
struct Group {
    value: Value,
    rows: Vec<Neighbor>,
}

/// Groups, numbered as they were found.
struct Groups {
    names: Names,
    numbers: HashMap<Vec<u8>, usize>,
    groups: Vec<Group>,
    /// Rows of a group, and groups, that are wanted.
    size: usize,
    most: usize,
    /// Groups that have so many rows.
    full: usize,
}

impl Groups {
    fn new(field: &str, size: usize, most: usize) -> Groups {
        let (numbers, groups) = (HashMap::new(), Vec::new());
        Groups { names: Names::of(std::iter::once(field)), numbers, groups, size, most, full: 0 }
    }

    /// The value that names the row's group, of its metadata.
    fn value(&self, metadata: &str) -> Option<Value> {
        self.names.read(metadata).first()?.value()
    }

    /// Shows it the next nearest row.
    fn add(&mut self, hit: Neighbor, metadata: &str) {
        let Some(value) = self.value(metadata) else { return };
        let key = key_of_value(&value);
        match self.numbers.get(&key) {
            Some(&number) => {
                let rows = &mut self.groups[number].rows;
                if rows.len() < self.size {
                    rows.push(hit);
                    self.full += usize::from(rows.len() == self.size);
                }
            }
            None if self.groups.len() < self.most => {
                self.numbers.insert(key, self.groups.len());
                self.groups.push(Group { value, rows: vec![hit] });
                self.full += usize::from(self.size == 1);
            }
            None => {}
        }
    }

    fn is_full(&self) -> bool {
        self.full == self.most
    }
}

impl Search<'_> {
    /// The nearest `k` groups, and of each its nearest `size` rows.
    pub(crate) fn grouped(
        &self,
        field: &str,
        size: usize,
        query: &[f32],
        scratch: &mut Scratch,
        token: &Token,
    ) -> Result<(Done, Vec<Vec<Neighbor>>)> {
        let (view, most) = (self.view, self.ask.k);
        let mut counts = Counts::default();
        let mut rows = size.saturating_mul(most).saturating_mul(FIRST);
        let (plan, mut groups) = loop {
            // A row more than there are: so a list of all of them is known to be one.
            rows = rows.min(view.live() + 1);
            let ask = Ask { k: rows, ef: self.ask.ef.max(rows), ..self.ask };
            scratch.top.reserve(rows)?;
            let ((plan, spent), nearest) = Search { ask, ..*self }.nearest(query, scratch, token)?;
            counts.add(&spent);
            let mut groups = Groups::new(field, size, most);
            for &(distance, row) in nearest {
                groups.add((distance, row), view.rows.metadata(row));
                if groups.is_full() {
                    break;
                }
            }
            if groups.is_full() || nearest.len() < rows {
                break (plan, groups);
            }
            let found = groups.groups.len();
            if found == most || view.columns.values(field, found).is_some() {
                self.fill(field, &mut groups, query, scratch, &mut counts, token)?;
                break (plan, groups);
            }
            rows = rows.saturating_mul(MORE);
        };
        if rows >= LARGE {
            scratch.top = Top::default();
        }
        let order = |a: &Neighbor, b: &Neighbor| a.0.total_cmp(&b.0).then_with(|| self.tie(a.1, b.1));
        groups.groups.retain(|group| !group.rows.is_empty());
        groups.groups.sort_by(|a, b| order(&a.rows[0], &b.rows[0]));
        Ok(((plan, counts), groups.groups.into_iter().map(|group| group.rows).collect()))
    }

    /// Looks for the nearest rows of groups that have fewer than wanted.
    fn fill(
        &self,
        field: &str,
        groups: &mut Groups,
        query: &[f32],
        scratch: &mut Scratch,
        counts: &mut Counts,
        token: &Token,
    ) -> Result<()> {
        let lacking: Vec<usize> =
            (0..groups.groups.len()).filter(|&i| groups.groups[i].rows.len() < groups.size).collect();
        let values = lacking.iter().map(|&i| groups.groups[i].value.clone()).collect();
        let filter = Filter::and_among(self.matches.map(Matches::filter), field, values);
        let matches = Matches::all(self.view, &filter, token)?;
        let mut tops: HashMap<usize, Top> = HashMap::new();
        for &i in &lacking {
            let mut top = Top::default();
            top.reset(self.config.metric, groups.size);
            tops.insert(i, top);
        }
        exact::normalise(self.config.metric, query, &mut scratch.query);
        let Scratch { query, rows: some, .. } = scratch;
        self.for_some(&matches, some, token, |some| {
            counts.distances += some.len() as u64;
            self.for_each_key(query, some, |row, key| {
                // Among the values of an array may be one that names a group, and yet the row is in none.
                let number = groups.value(self.view.rows.metadata(row)).map(|value| key_of_value(&value));
                let top = number.and_then(|key| groups.numbers.get(&key)).and_then(|number| tops.get_mut(number));
                if let Some(top) = top {
                    top.push(key, row, |a, b| self.tie(a, b));
                }
            });
        })?;
        for (i, mut top) in tops {
            let nearest = top.finish(|a, b| self.tie(a, b)).iter().copied();
            groups.groups[i].rows = nearest.take_while(|hit| self.is_near(hit.0)).collect();
        }
        Ok(())
    }
}
