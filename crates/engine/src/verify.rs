//! Checks a collection against itself: what the log says, what the files say, what the rows say.

use std::collections::BTreeMap;

use crate::answer::Hits;
use crate::codes::mix;
use crate::error::{Code, Error, Result, shown};
use crate::storage::log::Log;
use crate::storage::manifest::Position;
use crate::token::Token;
use crate::view::View;

/// Rows that are looked for by their own vectors.
const SAMPLE: usize = 100;
/// Share of the ten nearest that the sample's searches must find.
const RECALL: f64 = 0.8;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: `log`, `files`, `rows`, `ids`, `text`, `codes`, `graph` or `recall`.
    pub code: &'static str,
    /// What, for a person.
    pub detail: String,
}

/// Problems of one kind that are told one by one.
const MOST: usize = 1000;

/// What was found so far.
#[derive(Default)]
struct Report {
    problems: Vec<Problem>,
    /// Of each kind how many there are.
    counts: BTreeMap<&'static str, usize>,
}

impl Report {
    /// Takes note of an error, unless it says that the check is to end.
    fn note(&mut self, code: &'static str, result: Result<()>) -> Result<()> {
        match result {
            Ok(()) => {}
            Err(error) if matches!(error.code, Code::Aborted | Code::Closed) => return Err(error),
            Err(error) => {
                let count = self.counts.entry(code).or_default();
                *count += 1;
                if *count <= MOST {
                    self.problems.push(Problem { code, detail: error.message });
                }
            }
        }
        Ok(())
    }

    fn end(mut self) -> Vec<Problem> {
        for (&code, &count) in self.counts.iter().filter(|&(_, &count)| count > MOST) {
            self.problems.push(Problem { code, detail: format!("and {} more of this kind", count - MOST) });
        }
        self.problems
    }
}

/// Checks the log up to a position, the files, and ids, words and codes against the rows. A log that is `followed` is written
/// by somebody else.
pub(crate) fn verify(
    view: &View,
    log: &Log,
    position: Position,
    followed: bool,
    token: &Token,
    go_on: &dyn Fn() -> Result<()>,
) -> Result<Vec<Problem>> {
    let mut report = Report::default();
    let mut note = |code, result| report.note(code, result);
    token.begin(u64::from(view.count));
    note("log", log.audit(position, go_on))?;
    if log.disk().lasts() {
        note("files", log.audit_files(followed))?;
    }
    let mut found = 0;
    for row in 0..view.count {
        go_on()?;
        token.advance(1);
        if !view.is_live(row) {
            continue;
        }
        let id = view.checked(|| Ok(view.rows.id(row)));
        match id {
            Ok(id) if view.find(id) == Some(row) => found += 1,
            Ok(id) => {
                note("ids", Err(Error::new(Code::Corrupt, format!("row {row} is not found by its id {}", shown(id)))))?
            }
            Err(error) => note("rows", Err(error))?,
        }
    }
    if found != view.live() {
        note("ids", Err(Error::new(Code::Corrupt, format!("{found} rows are found by their ids of {}", view.live()))))?;
    }
    let strange = view.checked(|| view.text.strange(view, go_on));
    let other = |row: Option<u32>| match row {
        Some(row) => {
            Err(Error::new(Code::Corrupt, format!("words of rows from {row} are not those of their metadata")))
        }
        None => Ok(()),
    };
    note("text", strange.and_then(other))?;
    if let Some(graph) = &view.graph {
        let strange = |&node: &u32| {
            let row = graph.rows_of(node, view.count).next();
            row.is_none_or(|row| !graph.codes.agrees(&view.rows, row, node))
        };
        let count = (0..graph.nodes()).filter(strange).count();
        if count > 0 {
            note("codes", Err(Error::new(Code::Corrupt, format!("{count} codes are not those of their rows"))))?;
        }
    }
    Ok(report.end())
}

/// Searches for some of the rows, by `find`, which is told whether to scan.
pub(crate) fn sampled(
    view: &View,
    live: usize,
    find: impl Fn(&[f32], bool) -> Result<Hits>,
) -> Result<Option<Problem>> {
    let rows: Vec<u32> = (0..SAMPLE as u64)
        .map(|i| (mix(i) % u64::from(view.count.max(1))) as u32)
        .filter(|&row| view.is_live(row))
        .collect();
    let (mut asked, mut found) = (0_usize, 0_usize);
    for row in rows.into_iter().take(live) {
        let query = view.rows.vector(row);
        let (exact, near) = match (find(query, true), find(query, false)) {
            (Ok(exact), Ok(near)) => (exact, near),
            // What stands in the log as a vector may be none, if somebody made its checksum right.
            (Err(error), _) | (_, Err(error))
                if matches!(error.code, Code::Corrupt | Code::NotFinite | Code::ZeroVector) =>
            {
                return Ok(Some(Problem { code: "rows", detail: error.message }));
            }
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        let farthest = exact.distances.last().copied().unwrap_or(f32::INFINITY);
        asked += exact.len();
        found += near.distances.iter().filter(|&&distance| distance <= farthest).count();
    }
    let low = (found as f64) < RECALL * asked as f64;
    let detail = format!("searches at the default efSearch found {found} of the {asked} nearest rows of a sample");
    Ok(low.then_some(Problem { code: "recall", detail }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_problems_the_first_are_told_and_the_others_counted() {
        let mut report = Report::default();
        for row in 0..MOST + 7 {
            report.note("ids", Err(Error::new(Code::Corrupt, format!("row {row}")))).unwrap();
        }
        report.note("log", Err(Error::new(Code::Corrupt, "a frame"))).unwrap();
        assert_eq!(report.note("log", Err(Error::aborted())).unwrap_err().code, Code::Aborted);
        let problems = report.end();
        assert_eq!(problems.len(), MOST + 2);
        assert_eq!(problems[MOST], Problem { code: "log", detail: "a frame".into() });
        assert_eq!(problems[MOST + 1], Problem { code: "ids", detail: "and 7 more of this kind".into() });
    }
}
