//! Searches by words: alone, or together with a vector.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Collection, Inner};
use crate::answer::Hits;
use crate::error::{Code, Error, Result};
use crate::matches::Matches;
use crate::options::{Ask, Fusion, FusionOptions, MAX_TEXT_BYTES, SearchOptions};
use crate::query::{self, Search};
use crate::text::Scored;
use crate::token::Token;
use crate::view::View;

/// Hits of each list that a fusion reads at least.
const FUSED: usize = 100;

impl Collection {
    /// The rows whose text fields have words of `text`, those that fit best first; of such as fit as well the one that
    /// came first. Scores are BM25. Of the options only `k`, `offset` and the filter count.
    ///
    /// # Errors
    /// The collection has no text field or is closed, the text has more than 4 MiB, an option is out of its range, or the
    /// token was cancelled.
    pub fn search_text(&self, text: &str, options: &SearchOptions, token: &Token) -> Result<Hits> {
        let (view, plain) = (self.view_with_text(text)?, plain(options));
        let ask = plain.validate(self.ef_search())?;
        let filter = options.filter()?;
        let matches = filter.as_ref().map(|filter| Matches::of(&view, filter)).transpose()?;
        let mut hits = Hits::new();
        view.checked(|| {
            for hit in find(&view, text, ask.k, matches.as_ref(), token)?.into_iter().skip(ask.offset) {
                view.rows.check(hit.row);
                hits.rows.push(hit.row);
                hits.distances.push(f32::NAN);
                hits.scores.push(hit.score);
            }
            Ok(())
        })?;
        drop(matches);
        hits.view = Some(view);
        Ok(hits)
    }

    /// The rows nearest to a query and those that fit a text best, as one list: each counts by its ranks in both, by
    /// reciprocal rank fusion. What is as good is ordered by arrival. Each list has `offset + k` rows, and 100 at least.
    ///
    /// # Errors
    /// As [`Collection::search`] and [`Collection::search_text`].
    pub fn search_hybrid(
        &self,
        query: &[f32],
        text: &str,
        options: &SearchOptions,
        fusion: &FusionOptions,
        token: &Token,
    ) -> Result<Hits> {
        let Inner { config, kernels, scratches, .. } = &*self.0;
        let (view, plain) = (self.view_with_text(text)?, plain(options));
        let asked = plain.validate(self.ef_search())?;
        let fusion = fusion.validate()?;
        query::check(config, query, || "query.vector".into())?;
        let k = asked.k.max(FUSED);
        let ask = Ask { k, offset: 0, ef: asked.ef.max(k), ..asked };
        let filter = options.filter()?;
        let matches = filter.as_ref().map(|filter| Matches::of(&view, filter)).transpose()?;
        let (mut near, mut distances, mut fit) = (Vec::new(), Vec::new(), Vec::new());
        if fusion.vector > 0.0 {
            let search = Search { view: &view, config, kernels, ask, excluded: None, matches: matches.as_ref() };
            search.run(query, &mut scratches.lend(), &mut near, &mut distances, token)?;
        }
        if fusion.text > 0.0 {
            fit = view.checked(|| find(&view, text, k, matches.as_ref(), token))?;
        }
        drop(matches);
        let fused = fuse(fusion, &near, &fit);
        let mut hits = Hits::new();
        let distance_of: HashMap<u32, f32> = near.into_iter().zip(distances).collect();
        view.checked(|| {
            for hit in fused.into_iter().take(asked.k).skip(asked.offset) {
                view.rows.check(hit.row);
                hits.rows.push(hit.row);
                hits.distances.push(distance_of.get(&hit.row).copied().unwrap_or(f32::NAN));
                hits.scores.push(hit.score);
            }
            Ok(())
        })?;
        hits.view = Some(view);
        Ok(hits)
    }

    /// The view, if `text` can be searched for in it.
    fn view_with_text(&self, text: &str) -> Result<Arc<View>> {
        let view = self.view()?;
        if text.len() > MAX_TEXT_BYTES {
            let message = format!("text has {} bytes of UTF-8; the limit is {MAX_TEXT_BYTES}", text.len());
            return Err(Error::new(Code::Argument, message));
        }
        if view.text.is_empty() {
            let reads = self.alone().as_ref().is_some_and(|writer| writer.log.is_read_only());
            let who = if reads { ", by whoever writes to the collection," } else { "" };
            let message = format!(
                "fields has no field of the type \"text\"; rebuild({{ fields: {{ body: 'text' }} }}){who} gives it one"
            );
            return Err(Error::new(Code::Argument, message));
        }
        Ok(view)
    }
}

/// The options less those that give hits another shape, which lists of words do not take.
fn plain(options: &SearchOptions) -> SearchOptions {
    SearchOptions { group_by: None, diversify: None, ..options.clone() }
}

/// The `k` live rows that fit best, of those that match. Only inside of [`View::checked`].
fn find(view: &View, text: &str, k: usize, matches: Option<&Matches>, token: &Token) -> Result<Vec<Scored>> {
    view.text.search(&view.tombstones, text, k, |row| matches.is_none_or(|matches| matches.contains(row)), token)
}

/// One list of two: a row's score is the sum over the lists of `weight / (rrf_k + rank)`, ranks counted from 1.
fn fuse(fusion: Fusion, near: &[u32], fit: &[Scored]) -> Vec<Scored> {
    let mut scores: HashMap<u32, f64> = HashMap::with_capacity(near.len() + fit.len());
    let mut rank = |weight: f64, rows: &mut dyn Iterator<Item = u32>| {
        for (row, rank) in rows.zip(1_u32..) {
            *scores.entry(row).or_default() += weight / (fusion.rrf_k + f64::from(rank));
        }
    };
    rank(fusion.vector, &mut near.iter().copied());
    rank(fusion.text, &mut fit.iter().map(|hit| hit.row));
    let mut fused: Vec<Scored> = scores.into_iter().map(|(row, score)| Scored { row, score }).collect();
    fused.sort_unstable_by(Scored::order);
    fused
}
