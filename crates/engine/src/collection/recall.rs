//! How much of the truth searches find in the user's own rows, and how long the candidate list must be for it.
//!
//! ```text
//! sample     rows that live, chosen by the seed: each is a query, and itself left out
//! truth      the distance of the k-th nearest, by the exact scan
//! recall     of all that are as near, how many a search finds
//! ```

use std::collections::BinaryHeap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::{Collection, Inner};
use crate::answer::Hits;
use crate::codes::mix;
use crate::error::{Code, Error, Result};
use crate::options::{DEFAULT_EF_SEARCH, DEFAULT_K, MAX_K, SearchOptions, whole, whole_or};
use crate::token::Token;
use crate::view::View;
use crate::workers::Workers;
use crate::writer::Writer;

const DEFAULT_SAMPLE: usize = 200;
const MAX_SAMPLE: usize = 10_000;
/// Most lengths of the candidate list that one call measures.
const MAX_POINTS: usize = 64;
/// The longest candidate list that tuning tries, unless `k` is longer.
const LONGEST: usize = 4096;

/// What to measure, as the user wrote it; `None` takes the default.
#[derive(Debug, Clone, Default)]
pub struct RecallOptions {
    /// Hits of a search: 1 to 1,000,000, default 10.
    pub k: Option<f64>,
    /// Rows that are queries: 1 to 10,000, default 200; all where there are fewer.
    pub sample: Option<f64>,
    /// Lengths of the candidate list, 1 to 64 of them; default the collection's.
    pub ef_search: Option<Vec<f64>>,
    /// The JSON text of a filter that the searches have; queries are rows whether they match or not.
    pub filter: Option<String>,
}

/// What searches with one `efSearch` found, and how long they took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RecallPoint {
    /// Length of the candidate list.
    pub ef_search: usize,
    /// Share of the true neighbors that were found; 1 where there are none.
    pub recall: f64,
    /// Microseconds that half of the searches took at most.
    pub p50_us: f64,
    /// Microseconds that 99 of 100 searches took at most.
    pub p99_us: f64,
}

/// Some rows, and what a search for each should find.
struct Sample {
    view: Arc<View>,
    options: SearchOptions,
    /// Row; how many hits there are, and how far the last of them is.
    truths: Vec<(u32, usize, f32)>,
}

impl Collection {
    /// What a search uses that gives no `efSearch`: what the collection was opened with, else what tuning found.
    pub(crate) fn ef_search(&self) -> usize {
        let tuned = Some(self.0.tuned.load(Relaxed)).filter(|&tuned| tuned > 0);
        self.0.config.ef_search.or(tuned).unwrap_or(DEFAULT_EF_SEARCH)
    }

    /// Uses what the log's MANIFEST says.
    pub(super) fn retune(&self, writer: &Writer) {
        self.0.tuned.store(writer.log.manifest().ef_search.unwrap_or(0), Relaxed);
    }

    /// How many of the true neighbors searches find, for each of the lengths of the candidate list. But for the times,
    /// the same rows, seed and options give the same points.
    ///
    /// # Errors
    /// An option is out of its range, the collection is closed or damaged, or the token was cancelled.
    pub fn estimate_recall(&self, options: &RecallOptions, token: &Token) -> Result<Vec<RecallPoint>> {
        let efs = match &options.ef_search {
            None => vec![self.ef_search()],
            Some(given) if given.is_empty() || given.len() > MAX_POINTS => {
                let message = format!("efSearch has {} numbers; it must have 1 to {MAX_POINTS}", given.len());
                return Err(Error::new(Code::Argument, message));
            }
            Some(given) => {
                let each = given.iter().enumerate();
                each.map(|(i, &ef)| whole(&format!("efSearch[{i}]"), ef, 1, MAX_K)).collect::<Result<_>>()?
            }
        };
        let sample = self.sample(options, efs.len(), token)?;
        efs.into_iter().map(|ef| self.measure(&sample, ef, token)).collect()
    }

    /// Finds the least `efSearch` by which searches find at least this share of the true neighbors of 200 rows, and keeps
    /// it for searches that give none. While there are so few rows that no search walks, nothing is kept.
    ///
    /// # Errors
    /// No list of up to 4,096 candidates, or of `k`, finds so many; the collection is read only, closed or damaged; an
    /// option is out of its range; or the token was cancelled.
    pub fn tune(&self, target: f64, k: Option<f64>, token: &Token) -> Result<RecallPoint> {
        self.tune_within(LONGEST, target, k, token)
    }

    /// The same, with lists of at most so many candidates, or `k`.
    fn tune_within(&self, longest: usize, target: f64, k: Option<f64>, token: &Token) -> Result<RecallPoint> {
        if !(target > 0.0 && target <= 1.0) {
            let message = format!("targetRecall is {target}; it must be a number greater than 0, and at most 1");
            return Err(Error::new(Code::Argument, message));
        }
        self.writer()?.as_ref().ok_or_else(Error::closed)?.log.writable()?;
        let k_hits = whole_or("k", k, 1, MAX_K, DEFAULT_K)?;
        // Lengths that are tried: twice as many each time, then halves of what is between.
        let longest = longest.max(k_hits);
        let tries = 2 * (longest / k_hits).ilog2() as usize + 2;
        let sample = self.sample(&RecallOptions { k, ..RecallOptions::default() }, tries, token)?;
        if sample.view.graph.is_none() {
            return self.measure(&sample, self.ef_search(), token);
        }
        let mut fails = k_hits - 1;
        let mut best = self.measure(&sample, k_hits, token)?;
        while best.recall < target {
            if best.ef_search == longest {
                let RecallPoint { recall, .. } = best;
                let asked = sample.truths.len();
                let message = format!(
                    "targetRecall is {target}; efSearch {longest}, the most that is tried, finds {recall} in a sample of \
                     {asked} rows"
                );
                return Err(Error::new(Code::Argument, message));
            }
            fails = best.ef_search;
            best = self.measure(&sample, longest.min(2 * fails), token)?;
        }
        while best.ef_search - fails > 1 {
            let point = self.measure(&sample, fails.midpoint(best.ef_search), token)?;
            if point.recall < target { fails = point.ef_search } else { best = point }
        }
        self.keep_ef_search(best.ef_search)?;
        token.finish();
        Ok(best)
    }

    /// Keeps an `efSearch` with the collection, for searches that give none.
    pub(crate) fn keep_ef_search(&self, ef: usize) -> Result<()> {
        let mut guard = self.writer()?;
        let writer = guard.as_mut().ok_or_else(Error::closed)?;
        writer.log.tune(ef)?;
        self.retune(writer);
        Ok(())
    }

    /// The rows to search for, and what is to be found; `tries` is how often they are searched for, at most.
    fn sample(&self, asked: &RecallOptions, tries: usize, token: &Token) -> Result<Sample> {
        let Inner { config, .. } = &*self.0;
        let view = self.view()?;
        let most = whole_or("sample", asked.sample, 1, MAX_SAMPLE, DEFAULT_SAMPLE)?;
        let options = SearchOptions { k: asked.k, filter: asked.filter.clone(), ..SearchOptions::default() };
        // Before the work, so that nobody waits for an error.
        options.validate(self.ef_search())?;
        options.filter()?;
        let mut least: BinaryHeap<(u64, u32)> = BinaryHeap::with_capacity(most + 1);
        for row in (0..view.count).filter(|&row| view.is_live(row)) {
            least.push((mix(config.seed ^ mix(u64::from(row))), row));
            if least.len() > most {
                least.pop();
            }
        }
        let mut truths: Vec<(u32, usize, f32)> = least.into_iter().map(|(_, row)| (row, 0, 0.0)).collect();
        truths.sort_unstable_by_key(|truth| truth.0);
        token.begin((truths.len() * (1 + tries)) as u64);
        let exact = SearchOptions { exact: true, ..options.clone() };
        let failure = Mutex::new(None);
        Workers::search(config.threads)?.for_each_chunk(&mut truths, 1, Hits::new, |hits, _, piece| {
            for truth in piece {
                match self.near(&view, truth.0, &exact, token, hits) {
                    Ok(_) => {
                        (truth.1, truth.2) = (hits.len(), hits.distances.last().copied().unwrap_or(0.0));
                        token.advance(1);
                    }
                    Err(error) => *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error),
                }
            }
        });
        match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(Sample { view, options, truths }),
        }
    }

    /// Searches for each row of the sample, one after the other.
    fn measure(&self, sample: &Sample, ef: usize, token: &Token) -> Result<RecallPoint> {
        let options = SearchOptions { ef_search: Some(ef as f64), ..sample.options.clone() };
        let (mut found, mut all, mut micros, mut hits) = (0, 0, Vec::new(), Hits::new());
        for &(row, there, farthest) in &sample.truths {
            micros.push(self.near(&sample.view, row, &options, token, &mut hits)?);
            found += hits.distances.iter().filter(|&&distance| distance <= farthest).count();
            all += there;
            token.advance(1);
        }
        micros.sort_unstable_by(f64::total_cmp);
        let quantile = |q: f64| micros.get((micros.len().saturating_sub(1) as f64 * q).ceil() as usize);
        let [p50_us, p99_us] = [0.5, 0.99].map(|q| quantile(q).copied().unwrap_or(0.0));
        Ok(RecallPoint {
            ef_search: ef,
            recall: if all == 0 { 1.0 } else { found as f64 / all as f64 },
            p50_us,
            p99_us,
        })
    }

    /// Searches for the rows nearest to a row; returns the microseconds that it took.
    fn near(&self, view: &Arc<View>, row: u32, options: &SearchOptions, token: &Token, hits: &mut Hits) -> Result<f64> {
        if self.is_closed() {
            return Err(Error::closed());
        }
        let query = view.checked(|| Ok(view.rows.vector(row).to_vec()))?;
        let start = Instant::now();
        self.run(Arc::clone(view), &query, options, Some(row), token, hits)?;
        Ok(start.elapsed().as_nanos() as f64 / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collection::tests::draft;
    use crate::options::Options;
    use crate::writer::Write;

    #[test]
    fn a_recall_that_no_list_reaches_is_an_error_that_keeps_nothing() {
        let (m, ef_construction) = (Some(2.0), Some(1.0));
        let options = Options { dim: Some(16.0), m, ef_construction, ..Options::default() };
        let collection = Collection::open(&options).unwrap();
        // By batches: a graph that is built at once is looked at, and made better.
        for first in (0..4000).step_by(500) {
            let write = Write::Insert(draft(&collection, first..first + 500));
            collection.commit(vec![(write, Arc::default())]).remove(0).unwrap();
        }
        let token = Token::default();
        let error = collection.tune_within(20, 0.999, None, &token).unwrap_err();
        assert_eq!(error.code, Code::Argument);
        let options = RecallOptions { ef_search: Some(vec![20.0]), ..RecallOptions::default() };
        let best = collection.estimate_recall(&options, &token).unwrap()[0].recall;
        let says =
            format!("targetRecall is 0.999; efSearch 20, the most that is tried, finds {best} in a sample of 200 rows");
        assert_eq!(error.message, says);
        assert_eq!(collection.ef_search(), DEFAULT_EF_SEARCH);
        let point = collection.tune_within(20, best, None, &token).unwrap();
        assert!(point.ef_search <= 20 && point.recall >= best);
        assert_eq!(collection.ef_search(), point.ef_search);
        assert_eq!(token.done(), token.total());
    }
}
