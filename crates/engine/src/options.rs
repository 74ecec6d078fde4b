//! What a user may ask for, and the private forms that cannot hold an invalid value. Defaults and limits stand here only.
//!
//! Numbers arrive as the doubles that JavaScript has, so that 1.5, NaN and 2^53 get the same message as 0.

use std::fmt;

use crate::error::{Code, Error, Result, shown};
use crate::filter::Filter;
use crate::storage::manifest::Manifest;

/// Most floats in a vector.
pub const MAX_DIM: usize = 4096;
/// Most hits a search returns, and the longest candidate list.
pub const MAX_K: usize = 1_000_000;
/// Longest id, in bytes of UTF-8.
pub const MAX_ID_BYTES: usize = 1024;
/// Most bytes that one write may hold: vectors, ids and metadata together.
pub const MAX_WRITE_BYTES: usize = 1 << 30;
/// Most rows of a collection: the top bit of a link is a mark of its own.
pub const MAX_ROWS: usize = (1 << 31) - 1;

/// Most bytes of a filter's JSON text.
pub const MAX_FILTER_BYTES: usize = 4 << 20;
/// Most conditions in a filter: an operator on a field each.
pub const MAX_FILTER_CONDITIONS: usize = 10_000;
/// Most bytes of a text that is searched for.
pub const MAX_TEXT_BYTES: usize = 4 << 20;
/// Most filters inside of one another.
pub const MAX_FILTER_DEPTH: usize = 64;

/// Most fields that have columns, or whose words are indexed.
pub const MAX_FIELDS: usize = 256;

pub(crate) const DEFAULT_K: usize = 10;
const DEFAULT_M: usize = 16;
const DEFAULT_EF_CONSTRUCTION: usize = 64;
pub(crate) const DEFAULT_EF_SEARCH: usize = 64;
const DEFAULT_SEED: u64 = 42;
const DEFAULT_LAMBDA: f64 = 0.5;
/// Rows among which each diverse hit is chosen.
const FETCHED: usize = 4;
const DEFAULT_RRF_K: f64 = 60.0;
/// Also that of collections whose MANIFEST names none.
pub(crate) const DEFAULT_QUANTIZATION: Quantization = Quantization::Sq8;

/// How far two vectors are apart; smaller is nearer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// One minus the cosine of the angle.
    Cosine,
    /// The Euclidean distance.
    L2,
    /// The inner product, negated.
    Dot,
}

impl Metric {
    /// The name that users write.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Metric::Cosine => "cosine",
            Metric::L2 => "l2",
            Metric::Dot => "dot",
        }
    }

    pub(crate) fn parse(name: Option<&str>) -> Result<Metric> {
        match name {
            None | Some("cosine") => Ok(Metric::Cosine),
            Some("l2") => Ok(Metric::L2),
            Some("dot") => Ok(Metric::Dot),
            Some(other) => Err(Error::new(
                Code::Argument,
                format!("metric is {}; it is one of \"cosine\", \"l2\", \"dot\"", shown(other)),
            )),
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the graph walk reads of a row. Hits are scored again with the row's own floats, whatever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantization {
    /// The row's own floats, where the log has them.
    None,
    /// A float of 16 bits for each dimension.
    F16,
    /// A code of 8 bits for each dimension.
    Sq8,
    /// A code of 4 bits for each dimension.
    Sq4,
}

impl Quantization {
    /// All there are; the place of one is how a checkpoint knows it.
    pub(crate) const ALL: [Quantization; 4] =
        [Quantization::None, Quantization::F16, Quantization::Sq8, Quantization::Sq4];

    /// The name that users write.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Quantization::None => "none",
            Quantization::F16 => "f16",
            Quantization::Sq8 => "sq8",
            Quantization::Sq4 => "sq4",
        }
    }

    pub(crate) fn parse(name: &str) -> Result<Quantization> {
        Quantization::ALL.into_iter().find(|known| known.name() == name).ok_or_else(|| {
            let known = Quantization::ALL.map(|known| format!("{:?}", known.name())).join(", ");
            Error::new(Code::Argument, format!("quantization is {}; it is one of {known}", shown(name)))
        })
    }
}

impl fmt::Display for Quantization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a field of the metadata mostly has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldType {
    Keyword,
    Keywords,
    Number,
    Boolean,
    Text,
}

impl FieldType {
    pub(crate) const ALL: [FieldType; 5] =
        [FieldType::Keyword, FieldType::Keywords, FieldType::Number, FieldType::Boolean, FieldType::Text];

    pub const fn name(self) -> &'static str {
        match self {
            FieldType::Keyword => "keyword",
            FieldType::Keywords => "keyword[]",
            FieldType::Number => "number",
            FieldType::Boolean => "boolean",
            FieldType::Text => "text",
        }
    }
}

/// The fields that have columns, or whose words are indexed, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields(Vec<(String, FieldType)>);

impl Fields {
    /// Reads names and types.
    pub fn parse(given: &[(String, String)]) -> Result<Fields> {
        let refused = |message| Err(Error::new(Code::Argument, message));
        if given.len() > MAX_FIELDS {
            return refused(format!("fields has {} fields; the limit is {MAX_FIELDS}", given.len()));
        }
        let mut fields = Vec::with_capacity(given.len());
        for (name, kind) in given {
            let place = format!("fields[{}]", shown(name));
            if name.len() > MAX_ID_BYTES {
                return refused(format!("{place} has a name of {} bytes; the limit is {MAX_ID_BYTES}", name.len()));
            }
            if name.starts_with('$') {
                return refused(format!("{place} has a name that begins with $; filters cannot ask for it"));
            }
            let Some(kind) = FieldType::ALL.into_iter().find(|known| known.name() == kind) else {
                let known = FieldType::ALL.map(|known| format!("{:?}", known.name())).join(", ");
                return refused(format!("{place} is {}; it is one of {known}", shown(kind)));
            };
            fields.push((name.clone(), kind));
        }
        fields.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        match fields.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => refused(format!("fields has {} twice", shown(&pair[0].0))),
            None => Ok(Fields(fields)),
        }
    }

    /// Those that have columns.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, kind)| *kind != FieldType::Text).map(|(name, _)| name.as_str())
    }

    /// Those whose words are indexed.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, kind)| *kind == FieldType::Text).map(|(name, _)| name.as_str())
    }

    /// Names, and the names of types.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.0.iter().map(|(name, kind)| (name.as_str(), kind.name()))
    }
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields: Vec<String> = self.iter().map(|(name, kind)| format!("{}: {kind:?}", shown(name))).collect();
        if fields.is_empty() { f.write_str("{}") } else { write!(f, "{{ {} }}", fields.join(", ")) }
    }
}

/// When a write is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// When it is on the disk: it survives a power loss.
    Commit,
    /// When the system has it: it survives the end of the process.
    Relaxed,
}

impl Durability {
    fn parse(name: Option<&str>) -> Result<Durability> {
        match name {
            None | Some("commit") => Ok(Durability::Commit),
            Some("relaxed") => Ok(Durability::Relaxed),
            Some(other) => Err(Error::new(
                Code::Argument,
                format!("durability is {}; it is \"commit\" or \"relaxed\"", shown(other)),
            )),
        }
    }
}

/// What a collection is opened with, as the user wrote it; `None` takes the stored value, and of a new collection the
/// default.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The collection's folder; in memory without one.
    pub path: Option<String>,
    /// `create` (default) or `error`: what to do when there is no collection at the path.
    pub if_missing: Option<String>,
    /// `commit` (default) or `relaxed`.
    pub durability: Option<String>,
    /// `readwrite` (the default) or `readonly`.
    pub mode: Option<String>,
    /// Name of the model that the vectors come from, at most 1,024 bytes.
    pub model: Option<String>,
    /// Fields of the metadata that get columns, and what they mostly have: `keyword`, `keyword[]`, `number` or `boolean`;
    /// or whose words are indexed: `text`.
    pub fields: Option<Vec<(String, String)>>,
    /// Floats in a vector, 1 to 4,096. A new collection must have it.
    pub dim: Option<f64>,
    /// `cosine` (default), `l2` or `dot`.
    pub metric: Option<String>,
    /// Links of a node on upper layers, twice that on layer 0: 2 to 128, default 16.
    pub m: Option<f64>,
    /// Length of the candidate list while linking: 1 to 10,000, default 100.
    pub ef_construction: Option<f64>,
    /// Length of the candidate list while searching: 1 to 1,000,000, default the tuned one, or 64.
    pub ef_search: Option<f64>,
    /// What the graph walk reads: `none`, `f16`, `sq8` (default) or `sq4`.
    pub quantization: Option<String>,
    /// Seed of the nodes' levels and of every sample: 0 to 2^53 - 1, default 42.
    pub seed: Option<f64>,
    /// Threads for building and for batches: 0 (all, the default) to 1,024.
    pub threads: Option<f64>,
}

/// Options that hold.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub durability: Durability,
    pub model: Option<String>,
    pub fields: Fields,
    pub dim: usize,
    pub metric: Metric,
    pub m: usize,
    pub ef_construction: usize,
    /// What the user gave; else the tuned one holds, or [`DEFAULT_EF_SEARCH`].
    pub ef_search: Option<usize>,
    pub quantization: Quantization,
    pub seed: u64,
    pub threads: usize,
}

impl Options {
    /// Whether the collection is only to be read.
    pub(crate) fn reads_only(&self) -> Result<bool> {
        match self.mode.as_deref() {
            None | Some("readwrite") => Ok(false),
            Some("readonly") if self.path.is_some() => Ok(true),
            Some("readonly") => Err(Error::new(Code::Argument, "mode is \"readonly\"; that needs a path")),
            Some(other) => Err(Error::new(
                Code::Argument,
                format!("mode is {}; it is \"readwrite\" or \"readonly\"", shown(other)),
            )),
        }
    }

    /// Whether a missing collection is to be made.
    pub(crate) fn creates(&self) -> Result<bool> {
        match self.if_missing.as_deref() {
            None | Some("create") => Ok(true),
            Some("error") => Ok(false),
            Some(other) => {
                Err(Error::new(Code::Argument, format!("ifMissing is {}; it is \"create\" or \"error\"", shown(other))))
            }
        }
    }

    /// What holds for the collection that `stored` tells of, or for a new one.
    pub(crate) fn validate(&self, stored: Option<&Manifest>) -> Result<Config> {
        let durability = Durability::parse(self.durability.as_deref())?;
        let metric = self.metric.as_deref().map(|name| Metric::parse(Some(name))).transpose()?;
        let dim = self.dim.map(|dim| whole("dim", dim, 1, MAX_DIM)).transpose()?;
        let m = self.m.map(|m| whole("m", m, 2, 128)).transpose()?;
        let seed = self.seed.map(|seed| whole("seed", seed, 0, (1 << 53) - 1)).transpose()?.map(|seed| seed as u64);
        let ef_construction = self.ef_construction.map(|ef| whole("efConstruction", ef, 1, 10_000)).transpose()?;
        let quantization = self.quantization.as_deref().map(Quantization::parse).transpose()?;
        let ef_search = self.ef_search.map(|ef| whole("efSearch", ef, 1, MAX_K)).transpose()?;
        let threads = whole_or("threads", self.threads, 0, 1024, 0)?;
        if let Some(model) = self.model.as_ref().filter(|model| model.is_empty() || model.len() > MAX_ID_BYTES) {
            let message = format!("model has {} bytes; it must have 1 to {MAX_ID_BYTES}", model.len());
            return Err(Error::new(Code::Argument, message));
        }
        let fields = self.fields.as_deref().map(Fields::parse).transpose()?;
        let Some(stored) = stored else {
            let missing = || Error::new(Code::Argument, "dim is missing; a new collection needs it: { dim: 384 }");
            return Ok(Config {
                durability,
                model: self.model.clone(),
                fields: fields.unwrap_or_default(),
                dim: dim.ok_or_else(missing)?,
                metric: metric.unwrap_or(Metric::Cosine),
                m: m.unwrap_or(DEFAULT_M),
                ef_construction: ef_construction.unwrap_or(DEFAULT_EF_CONSTRUCTION),
                ef_search,
                quantization: quantization.unwrap_or(DEFAULT_QUANTIZATION),
                seed: seed.unwrap_or(DEFAULT_SEED),
                threads,
            });
        };
        same("dim", dim, stored.dim)?;
        same("metric", metric, stored.metric)?;
        same("m", m, stored.m)?;
        same("seed", seed, stored.seed)?;
        same("efConstruction", ef_construction, stored.ef_construction)?;
        same("quantization", quantization, stored.quantization)?;
        same("fields", fields.as_ref(), &stored.fields)?;
        if let Some(model) = &self.model
            && stored.model.as_ref() != Some(model)
        {
            let known = stored.model.as_deref().map_or("none".into(), |known| format!("{known:?}"));
            let message = format!("model is {model:?}, and the collection's is {known}: their vectors do not compare");
            return Err(Error::new(Code::ModelMismatch, message));
        }
        Ok(Config {
            durability,
            model: stored.model.clone(),
            fields: stored.fields.clone(),
            dim: stored.dim,
            metric: stored.metric,
            m: stored.m,
            ef_construction: stored.ef_construction,
            ef_search,
            quantization: stored.quantization,
            seed: stored.seed,
            threads,
        })
    }
}

/// What is different of a collection once its index is built anew; what is left out stays.
#[derive(Debug, Clone, Default)]
pub struct Rebuild {
    /// As [`Options::m`].
    pub m: Option<f64>,
    /// As [`Options::ef_construction`].
    pub ef_construction: Option<f64>,
    /// As [`Options::quantization`].
    pub quantization: Option<String>,
    /// As [`Options::fields`]: all fields that are to have columns.
    pub fields: Option<Vec<(String, String)>>,
}

impl Rebuild {
    /// What holds then.
    pub(crate) fn validate(&self, now: &Config) -> Result<Config> {
        let Rebuild { m, ef_construction, quantization, fields } = self.clone();
        let dim = Some(now.dim as f64);
        let given = Options { dim, m, ef_construction, quantization, fields, ..Options::default() }.validate(None)?;
        let mut config = now.clone();
        if self.m.is_some() {
            config.m = given.m;
        }
        if self.ef_construction.is_some() {
            config.ef_construction = given.ef_construction;
        }
        if self.quantization.is_some() {
            config.quantization = given.quantization;
        }
        if self.fields.is_some() {
            config.fields = given.fields;
        }
        Ok(config)
    }
}

/// Refuses an option that the collection was made without.
fn same<T: PartialEq + fmt::Display>(name: &str, given: Option<T>, stored: T) -> Result<()> {
    match given {
        Some(given) if given != stored => {
            let changes = ["m", "efConstruction", "quantization", "fields"].contains(&name);
            let way = if changes { ", or change it by rebuild()" } else { "" };
            let message = format!("{name} is {given}, and the collection was made with {stored}; leave it out{way}");
            Err(Error::new(Code::Argument, message))
        }
        _ => Ok(()),
    }
}

/// What a search is asked, as the user wrote it; `None` takes the default.
#[derive(Debug, Clone, Default)]
pub struct SearchOptions {
    /// Hits wanted: 1 to 1,000,000, default 10. Fewer come back when there are fewer rows.
    pub k: Option<f64>,
    /// Length of the candidate list: 1 to 1,000,000, default the collection's; raised to `k`.
    pub ef_search: Option<f64>,
    /// Read every row instead of walking the graph.
    pub exact: bool,
    /// The JSON text of a [`Filter`]: only rows that match it are hits.
    pub filter: Option<String>,
    /// Nearer rows to leave out first: default 0. With `k` at most 1,000,000.
    pub offset: Option<f64>,
    /// The largest distance of a hit, as users see distances; any but NaN.
    pub max_distance: Option<f64>,
    /// `k` groups instead of `k` hits.
    pub group_by: Option<GroupBy>,
    /// Hits that differ from one another.
    pub diversify: Option<Diversify>,
}

/// Hits by what rows have in a field of their metadata.
#[derive(Debug, Clone, Default)]
pub struct GroupBy {
    /// The field. Its value, a string, a finite number or a boolean, names the row's group.
    pub field: String,
    /// Hits of a group: at least 1, default 1; with `k` and `offset` at most 1,000,000 hits.
    pub size: Option<f64>,
}

/// Hits by maximal marginal relevance (Carbonell and Goldstein 1998).
#[derive(Debug, Clone, Default)]
pub struct Diversify {
    /// What nearness counts against difference: 0 to 1, default 0.5; 1 is the nearest only.
    pub lambda: Option<f64>,
    /// The nearest rows among which hits are chosen: `k` to 1,000,000, default 4 times `k`.
    pub fetch: Option<f64>,
}

/// A search that can be run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask<'a> {
    /// Rows to find: the hits, and those that `offset` leaves out. Groups, where hits are grouped.
    pub k: usize,
    pub offset: usize,
    pub max_distance: f64,
    pub ef: usize,
    pub exact: bool,
    pub shape: Shape<'a>,
}

/// Which of the rows found are hits.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape<'a> {
    /// All.
    Nearest,
    /// The nearest `size` of each group.
    Groups { field: &'a str, size: usize },
    /// So many, each chosen for being near the query and far from those before it.
    Diverse { hits: usize, lambda: f64 },
}

impl SearchOptions {
    /// What is asked; a call that gives no `efSearch` has the one given here.
    pub(crate) fn validate(&self, ef_search: usize) -> Result<Ask<'_>> {
        let k = whole_or("k", self.k, 1, MAX_K, DEFAULT_K)?;
        let ef = whole_or("efSearch", self.ef_search, 1, MAX_K, ef_search)?;
        let offset = whole_or("offset", self.offset, 0, MAX_K - k, 0)?;
        let max_distance = self.max_distance.unwrap_or(f64::INFINITY);
        if max_distance.is_nan() {
            return Err(Error::new(Code::Argument, "maxDistance is NaN; it must be a number"));
        }
        let mut k = k + offset;
        let refused = |message: String| Err(Error::new(Code::Argument, message));
        let shape = match (&self.group_by, &self.diversify) {
            (None, None) => Shape::Nearest,
            (Some(_), Some(_)) => {
                return refused("groupBy and diversify are both given; a search takes one of them".into());
            }
            (Some(groups), None) => {
                let size = whole_or("groupBy.size", groups.size, 1, MAX_K / k, 1)?;
                Shape::Groups { field: &groups.field, size }
            }
            (None, Some(_)) if offset > 0 => {
                return refused(format!("offset is {offset} with diversify, which has no pages; ask for a larger k"));
            }
            (None, Some(diverse)) => {
                let lambda = diverse.lambda.unwrap_or(DEFAULT_LAMBDA);
                if !(0.0..=1.0).contains(&lambda) {
                    return refused(format!("diversify.lambda is {lambda}; it must be a number from 0 to 1"));
                }
                let hits = k;
                k = whole_or("diversify.fetch", diverse.fetch, hits, MAX_K, (FETCHED * hits).min(MAX_K))?;
                Shape::Diverse { hits, lambda }
            }
        };
        Ok(Ask { k, offset, max_distance, ef: ef.max(k), exact: self.exact, shape })
    }

    /// The filter, read.
    pub(crate) fn filter(&self) -> Result<Option<Filter>> {
        self.filter.as_deref().map(Filter::parse).transpose()
    }
}

/// How the hits of a vector and those of a text become one list; `None` takes the default.
#[derive(Debug, Clone, Default)]
pub struct FusionOptions {
    /// How little the first ranks differ: 0 to 1,000,000, default 60.
    pub rrf_k: Option<f64>,
    /// What the vector's ranks count: 0 to 1,000,000, default 1. 0 leaves its list out.
    pub vector: Option<f64>,
    /// What the text's ranks count.
    pub text: Option<f64>,
}

/// A fusion that can be computed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fusion {
    pub rrf_k: f64,
    pub vector: f64,
    pub text: f64,
}

impl FusionOptions {
    pub(crate) fn validate(&self) -> Result<Fusion> {
        let number = |name: &str, value: Option<f64>, default: f64| match value.unwrap_or(default) {
            value if (0.0..=MAX_K as f64).contains(&value) => Ok(value),
            other => {
                Err(Error::new(Code::Argument, format!("{name} is {other}; it must be a number from 0 to {MAX_K}")))
            }
        };
        let rrf_k = number("rrfK", self.rrf_k, DEFAULT_RRF_K)?;
        let (vector, text) = (number("weights.vector", self.vector, 1.0)?, number("weights.text", self.text, 1.0)?);
        if vector == 0.0 && text == 0.0 {
            return Err(Error::new(
                Code::Argument,
                "weights.vector and weights.text are 0; one of them must be greater",
            ));
        }
        Ok(Fusion { rrf_k, vector, text })
    }
}

/// `value` as a whole number of `low..=high`, or the error that says so.
pub(crate) fn whole(name: &str, value: f64, low: usize, high: usize) -> Result<usize> {
    if value.fract() == 0.0 && value >= low as f64 && value <= high as f64 {
        return Ok(value as usize);
    }
    Err(Error::new(Code::Argument, format!("{name} is {value}; it must be a whole number from {low} to {high}")))
}

pub(crate) fn whole_or(name: &str, value: Option<f64>, low: usize, high: usize, default: usize) -> Result<usize> {
    value.map_or(Ok(default), |value| whole(name, value, low, high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_out_of_range_names_itself_its_value_and_its_limits() {
        for bad in [0.0, -1.0, 1.5, f64::NAN, f64::INFINITY, 4097.0, 2147483648.0, 9007199254740992.0] {
            let error = Options { dim: Some(bad), ..Options::default() }.validate(None).unwrap_err();
            assert_eq!(error.code, Code::Argument);
            assert_eq!(error.message, format!("dim is {bad}; it must be a whole number from 1 to 4096"));
        }
    }

    #[test]
    fn defaults_are_the_documented_ones() {
        let config = Options { dim: Some(3.0), ..Options::default() }.validate(None).unwrap();
        assert_eq!((config.metric, config.m, config.ef_construction), (Metric::Cosine, 16, 64));
        assert_eq!((config.ef_search, config.seed, config.threads), (None, 42, 0));
        let asked = SearchOptions::default();
        let ask = asked.validate(64).unwrap();
        assert_eq!((ask.k, ask.ef, ask.exact), (10, 64, false));
        let asked = SearchOptions { k: Some(100.0), ..SearchOptions::default() };
        assert_eq!(asked.validate(64).unwrap().ef, 100);
    }

    #[test]
    fn an_unknown_metric_lists_the_known_ones() {
        let error = Metric::parse(Some("euclid")).unwrap_err();
        assert_eq!(error.message, "metric is \"euclid\"; it is one of \"cosine\", \"l2\", \"dot\"");
    }
}
