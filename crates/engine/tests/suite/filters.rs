//! Filtered searches: what they find, and what they cost, at every selectivity.
//!
//! A filter is *independent* of the query when it takes rows at random, *correlated* when it takes the groups of rows
//! (photographs, kinds of words) that are nearest to the query, and *opposed* when it takes the farthest.

use crate::common;

use std::time::Instant;

use auspex_engine::{Collection, Filter, Hits, Options, SearchOptions, Token, Write};
use common::{Npy, Random, Set, commit, data_folder, npy, options, sift, wordnet};

const K: usize = 10;
/// How often each search is measured for the document's table.
const TIMES: usize = 4;
const SELECTIVITIES: [f64; 10] = [1.0, 0.7, 0.5, 0.2, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0001];

/// A collection whose rows have a `group` and a number `u`, which is random and below `rows`.
struct Grouped {
    collection: Collection,
    base: Npy,
    group: Vec<u32>,
}

impl Grouped {
    fn new(base: Npy, group: Vec<u32>, metric: &str, columns: bool) -> Grouped {
        let fields = [("group", "number"), ("u", "number")].map(|(name, kind)| (name.into(), kind.into()));
        let fields = columns.then(|| fields.to_vec());
        let collection = Collection::open(&Options { fields, ..options(base.width, metric) }).unwrap();
        let mut u: Vec<u32> = (0..base.rows as u32).collect();
        let mut random = Random(1);
        (1..u.len()).for_each(|i| u.swap(i, random.below(i + 1)));
        for first in (0..base.rows).step_by(25_000) {
            let rows = first..base.rows.min(first + 25_000);
            let ids = rows.clone().map(|row| row.to_string()).collect();
            let metadata: Vec<String> =
                rows.clone().map(|row| format!(r#"{{"group":{},"u":{}}}"#, group[row], u[row])).collect();
            let mut draft = collection.draft(ids, Some(&format!("[{}]", metadata.join(",")))).unwrap();
            let floats = &base.values[rows.start * base.width..rows.end * base.width];
            // SAFETY: a slice of that many floats.
            unsafe { draft.fill(floats.as_ptr(), floats.len()).unwrap() };
            commit(&collection, Write::Insert(draft)).unwrap();
        }
        Grouped { collection, base, group }
    }

    /// Groups and their sizes, nearest to the query first.
    fn nearest_groups(&self, query: &[f32]) -> Vec<(u32, usize)> {
        let groups = self.group.iter().max().map_or(0, |&last| last as usize + 1);
        let mut nearest = vec![(f32::INFINITY, 0); groups];
        for (row, &group) in self.base.values.chunks(self.base.width).zip(&self.group) {
            let distance = row.iter().zip(query).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
            let near = &mut nearest[group as usize];
            *near = (near.0.min(distance), near.1 + 1);
        }
        let mut groups: Vec<u32> = (0..groups as u32).filter(|&group| nearest[group as usize].1 > 0).collect();
        groups.sort_by(|&a, &b| nearest[a as usize].0.total_cmp(&nearest[b as usize].0));
        groups.into_iter().map(|group| (group, nearest[group as usize].1)).collect()
    }

    /// A filter that takes this share of the rows; `groups` are those of [`Grouped::nearest_groups`].
    fn filter(&self, kind: &str, share: f64, groups: &[(u32, usize)]) -> String {
        let rows = (self.base.rows as f64 * share).round();
        if kind == "independent" {
            return format!(r#"{{"u":{{"$lt":{rows}}}}}"#);
        }
        let mut groups = groups.to_vec();
        if kind == "opposed" {
            groups.reverse();
        }
        let (mut some, mut count) = (Vec::new(), 0);
        for (group, size) in groups {
            if count as f64 >= rows {
                break;
            }
            some.push(group.to_string());
            count += size;
        }
        // Of groups that are too large a random part.
        let below = (self.base.rows as f64 * rows / count as f64).round();
        format!(r#"{{"group":{{"$in":[{}]}},"u":{{"$lt":{below}}}}}"#, some.join(","))
    }
}

/// One line of the table.
#[derive(Default)]
struct Line {
    found: usize,
    asked: usize,
    micros: Vec<f64>,
    scan: Vec<f64>,
    plans: Vec<(&'static str, usize)>,
    matching: u64,
}

impl Line {
    fn recall(&self) -> f64 {
        self.found as f64 / self.asked.max(1) as f64
    }

    /// Of each query with its filter. Every search runs before any scan, which would leave nothing else in the caches; and
    /// several times, of which the fastest counts: what else the machine does is not what is measured.
    fn of(collection: &Collection, asked: &[(&[f32], Option<String>)]) -> Line {
        let options = |filter: &Option<String>, exact| SearchOptions {
            k: Some(K as f64),
            exact,
            filter: filter.clone(),
            ..SearchOptions::default()
        };
        let times = std::env::var_os("AUSPEX_QUERIES").map_or(1, |_| TIMES);
        let timed = |exact| {
            let mut found: Vec<(Hits, f64)> = asked.iter().map(|_| (Hits::new(), f64::INFINITY)).collect();
            for _ in 0..times {
                for ((query, filter), (hits, best)) in asked.iter().zip(&mut found) {
                    let options = options(filter, exact);
                    let start = Instant::now();
                    collection.search_into(query, &options, &Token::default(), hits).unwrap();
                    *best = best.min(start.elapsed().as_nanos() as f64 / 1e3);
                }
            }
            found
        };
        let mut line = Line::default();
        let found = timed(false);
        for (((query, filter), (hits, micros)), (truth, scan)) in asked.iter().zip(found).zip(timed(true)) {
            assert_eq!(hits.len(), truth.len(), "{filter:?}: fewer hits than rows that match");
            let last = truth.distances.last();
            line.found += hits.distances.iter().filter(|d| last.is_some_and(|last| *d <= last)).count();
            line.asked += truth.len();
            line.micros.push(micros);
            line.scan.push(scan);
            let explained = collection.explain(query, &options(filter, false)).unwrap();
            line.matching += explained.matching.unwrap_or(0);
            match line.plans.iter_mut().find(|plan| plan.0 == explained.plan) {
                Some(plan) => plan.1 += 1,
                None => line.plans.push((explained.plan, 1)),
            }
        }
        line
    }

    fn print(&mut self, name: &str, share: &str) {
        let quantile = |times: &mut Vec<f64>, q: f64| {
            times.sort_by(f64::total_cmp);
            times[((times.len() - 1) as f64 * q).round() as usize]
        };
        self.plans.sort_by_key(|plan| usize::MAX - plan.1);
        let plans: Vec<String> = self.plans.iter().map(|(plan, count)| format!("{plan} {count}")).collect();
        println!(
            "| {name} | {share} | {:.0} | {:.3} | {:.0} | {:.0} | {:.0} | {:.0} | {} |",
            self.matching as f64 / self.micros.len() as f64,
            self.recall(),
            quantile(&mut self.micros, 0.5),
            quantile(&mut self.micros, 0.99),
            quantile(&mut self.scan, 0.5),
            quantile(&mut self.scan, 0.99),
            plans.join(", ")
        );
    }
}

fn table(name: &str, set: Set, group: Vec<u32>, metric: &str, columns: bool, queries: usize) {
    let Set { base, query, .. } = set;
    let rows = Grouped::new(base, group, metric, columns);
    println!("\n{name}, {}\n", if columns { "columns" } else { "no columns" });
    println!("| filter | share | matches | recall@10 | p50 us | p99 us | scan p50 | scan p99 | plan |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let queries: Vec<&[f32]> = query.values.chunks(query.width).take(queries).collect();
    let near: Vec<_> = queries.iter().map(|query| rows.nearest_groups(query)).collect();
    let asked = |filter: &dyn Fn(usize) -> Option<String>| {
        let asked: Vec<_> = queries.iter().enumerate().map(|(i, &query)| (query, filter(i))).collect();
        Line::of(&rows.collection, &asked)
    };
    asked(&|_| None).print("none", "");
    for kind in ["independent", "correlated", "opposed"] {
        for share in SELECTIVITIES {
            if std::env::var("LEAST").is_ok_and(|least| least.parse::<f64>().unwrap() > share) {
                continue;
            }
            let mut line = asked(&|i| Some(rows.filter(kind, share, &near[i])));
            line.print(kind, &format!("{} %", share * 100.0));
            assert!(line.recall() >= 0.95, "{name}, {kind}, {share}: recall is {}", line.recall());
        }
    }
}

#[test]
fn filters_find_nearly_all_that_a_scan_finds_and_nothing_else() {
    let mut random = Random(3);
    let (rows, dim) = (12_000, 24);
    let values = random.clustered(rows, dim, 40);
    let groups: Vec<u32> = (0..rows).map(|row| (values[row * dim] / 3.0 + 20.0).clamp(0.0, 40.0) as u32).collect();
    for metric in ["l2", "cosine", "dot"] {
        let set = || Npy { rows, width: dim, values: values.clone() };
        let both = [true, false].map(|columns| Grouped::new(set(), groups.clone(), metric, columns));
        // Some rows go, and some come back with vectors that others have.
        for Grouped { collection, .. } in &both {
            commit(collection, Write::Delete((0..500).map(|row| (row * 7).to_string()).collect())).unwrap();
            let metadata = vec![r#"{"group":3,"u":5}"#; 300].join(",");
            let ids = (0..300).map(|row| row.to_string()).collect();
            let mut draft = collection.draft(ids, Some(&format!("[{metadata}]"))).unwrap();
            // SAFETY: a slice of that many floats.
            unsafe { draft.fill(values.as_ptr(), 300 * dim).unwrap() };
            commit(collection, Write::Upsert(draft)).unwrap();
        }
        let mut walked = [0, 0];
        for kind in ["independent", "correlated", "opposed"] {
            for share in [1.0, 0.6, 0.3, 0.1, 0.01, 0.0005] {
                let (mut found, mut asked) = (0, 0);
                let k = if share == 0.6 { 60 } else { K };
                for query in 0..20 {
                    let query = &values[query * 599 * dim..][..dim];
                    let near = both[0].nearest_groups(query);
                    let filter = both[0].filter(kind, share, &near);
                    let options = SearchOptions { k: Some(k as f64), filter: Some(filter), ..SearchOptions::default() };
                    let exact = SearchOptions { exact: true, ..options.clone() };
                    let truth = both[0].collection.search(query, &exact, &Token::default()).unwrap();
                    for (Grouped { collection, .. }, walked) in both.iter().zip(&mut walked) {
                        let hits = collection.search(query, &options, &Token::default()).unwrap();
                        assert_eq!(hits.len(), truth.len(), "{options:?}");
                        let parsed = Filter::parse(options.filter.as_ref().unwrap()).unwrap();
                        assert!((0..hits.len()).all(|i| parsed.matches(hits.metadata(i))), "{options:?}");
                        assert!((0..hits.len()).all(|i| collection.has(hits.id(i)).unwrap()), "{options:?}");
                        assert!(hits.distances.is_sorted());
                        let last = truth.distances.last();
                        found += hits.distances.iter().filter(|d| last.is_some_and(|last| *d <= last)).count();
                        asked += truth.len();
                        let explained = collection.explain(query, &options).unwrap();
                        *walked += usize::from(explained.plan == "filtered-graph");
                        assert_eq!(
                            explained.matching,
                            Some(collection.count(options.filter.as_ref().unwrap(), &Token::default()).unwrap())
                        );
                    }
                }
                assert!(found as f64 >= 0.95 * asked as f64, "{metric}, {kind}, {share}: {found} of {asked}");
            }
        }
        assert!(walked.iter().all(|&walked| walked > 50), "{metric}: {walked:?} walks");
        // What columns say that every row matches is no filter.
        let plain = SearchOptions { k: Some(K as f64), ..SearchOptions::default() };
        let all = SearchOptions { filter: Some(r#"{"u":{"$gte":0}}"#.into()), ..plain.clone() };
        let (query, collection) = (&values[..dim], &both[0].collection);
        let found = |asked| {
            let hits = collection.search(query, asked, &Token::default()).unwrap();
            (0..hits.len()).map(|i| hits.id(i).to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(found(&all), found(&plain));
        assert_eq!(collection.explain(query, &all).unwrap().plan, "graph");
    }
}

/// `cargo test --release -p auspex-engine --test suite -- --ignored filters::deep_ --nocapture` prints the table of
/// `docs/filters.md`.
#[test]
#[ignore = "minutes, and full data sets"]
fn deep_full_every_selectivity_is_found() {
    let (sift, wordnet, folder) = (sift(), wordnet(), data_folder());
    let photo = npy(&folder.join("sift128-100k.photo.npy")).values.iter().map(|&photo| photo as u32).collect();
    let meta = std::fs::read_to_string(folder.join("wordnet384-20k.meta.jsonl")).unwrap();
    let lexname = |line: &str| {
        let rest = line.split(r#""lexname":"#).nth(1).unwrap().trim_start();
        rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
    };
    let lexname: Vec<u32> = meta.lines().map(lexname).collect();
    let pos = |line: &str| u32::from(line.split(r#""pos": ""#).nth(1).unwrap().as_bytes()[0]);
    let pos: Vec<u32> = meta.lines().map(pos).collect();
    let queries = std::env::var("AUSPEX_QUERIES").map_or(40, |queries| queries.parse().unwrap());
    table("sift128-100k, groups are photographs", sift, photo, "l2", true, queries);
    table("wordnet384-20k, groups are lexnames", wordnet, lexname.clone(), "cosine", true, queries);
    table("wordnet384-20k, groups are parts of speech", common::wordnet(), pos, "cosine", true, queries);
    table("wordnet384-20k, groups are lexnames", common::wordnet(), lexname, "cosine", false, queries.min(30));
}
