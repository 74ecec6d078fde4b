//! Answers on their way out.

use auspex_engine::{BatchHits, Code, Error, Found, Hits};
use napi_derive::napi;

use crate::collection::Include;
use crate::floats::{Copied, Units};

/// Rows found by nearness or by words, best first. Ids and numbers cross as one string: a value for each costs more than
/// the search.
///
/// ```text
/// 1 when there are scores, else 0 | distances, f32 | scores, f64 | lengths of ids, u16 | ids
/// ```
/// A unit of the string is a byte of a number, little-endian, or a UTF-16 unit of an id.
#[napi(object, object_from_js = false)]
pub struct Nearest {
    /// How many.
    pub count: u32,
    /// Their ids, distances (NaN where only a text found the row) and, where a text was asked for, scores.
    #[napi(ts_type = "string")]
    pub packed: Units,
    /// The JSON text of an array, one entry a row.
    pub metadata: Option<String>,
    /// `dim` floats a row.
    #[napi(ts_type = "Float32Array")]
    pub vectors: Option<Copied<f32>>,
}

impl Nearest {
    /// What is asked for of `hits`.
    pub fn of(hits: &Hits, include: Include) -> auspex_engine::Result<Nearest> {
        let rows = 0..hits.len();
        hits.prefetch();
        let ids = || rows.clone().map(|i| hits.id(i));
        let narrow = ids().all(str::is_ascii);
        let length = |id: &str| if narrow { id.len() } else { id.encode_utf16().count() };
        let units = 1 + 14 * hits.len() + ids().map(length).sum::<usize>();
        if units > LONGEST {
            let message = format!("{} hits with their ids are {units} characters: ask for fewer", hits.len());
            return Err(Error { code: Code::Memory, message });
        }
        let mut bytes = vec![u8::from(!hits.scores.is_empty())];
        bytes.extend(hits.distances.iter().flat_map(|distance| distance.to_le_bytes()));
        bytes.extend(hits.scores.iter().flat_map(|score| score.to_le_bytes()));
        // An id has at most 1,024 bytes.
        bytes.extend(ids().flat_map(|id| (length(id) as u16).to_le_bytes()));
        let packed = if narrow {
            ids().for_each(|id| bytes.extend_from_slice(id.as_bytes()));
            Units::Narrow(bytes)
        } else {
            Units::Wide(bytes.into_iter().map(u16::from).chain(ids().flat_map(str::encode_utf16)).collect())
        };
        Ok(Nearest {
            count: hits.len() as u32,
            packed,
            metadata: include.metadata.then(|| json_array(rows.clone().map(|i| hits.metadata(i)))).transpose()?,
            vectors: include.vector.then(|| Copied(rows.flat_map(|i| hits.vector(i)).copied().collect())),
        })
    }
}

/// Rows found by id or in order.
#[napi(object, object_from_js = false)]
pub struct Rows {
    /// `null` where no row has the id asked for.
    #[napi(ts_type = "(string | null)[]")]
    pub ids: Vec<Option<String>>,
    /// The JSON text of an array, one entry a row.
    pub metadata: Option<String>,
    /// `dim` floats a row.
    #[napi(ts_type = "Float32Array")]
    pub vectors: Option<Copied<f32>>,
}

impl Rows {
    /// One entry for each id asked for, or each row in order; a missing row has zeros and `null`.
    pub fn of_found(found: &Found, dim: usize, metadata: bool, vector: bool) -> auspex_engine::Result<Rows> {
        let n = found.len();
        let some = |i: usize| found.is_some(i).then_some(i);
        let zeros = vec![0.0; dim];
        let floats = |i| some(i).map_or(&zeros[..], |i| found.vector(i));
        let texts = (0..n).map(|i| some(i).map_or("null", |i| found.metadata(i)));
        Ok(Rows {
            ids: (0..n).map(|i| some(i).map(|i| found.id(i).to_owned())).collect(),
            metadata: metadata.then(|| json_array(texts)).transpose()?,
            vectors: vector.then(|| Copied((0..n).flat_map(floats).copied().collect())),
        })
    }
}

/// Longest string of V8, in UTF-16 units.
const LONGEST: usize = (1 << 29) - 24;

/// Texts of JSON as the text of one array, where a string of JavaScript's can hold it.
fn json_array<'a>(entries: impl Iterator<Item = &'a str> + Clone) -> auspex_engine::Result<String> {
    let bytes = entries.clone().map(|entry| entry.len() + 1).sum::<usize>() + 2;
    let too_much = |units: usize| Error {
        code: Code::Memory,
        message: format!(
            "the metadata of {} rows are {units} characters, and one answer holds {LONGEST}: ask for fewer rows, or for \
             none of their metadata with include: {{ metadata: false }}",
            entries.clone().count()
        ),
    };
    let mut text = String::new();
    text.try_reserve_exact(bytes).map_err(|_| too_much(bytes))?;
    text.push('[');
    for (i, entry) in entries.clone().enumerate() {
        if i > 0 {
            text.push(',');
        }
        text.push_str(entry);
    }
    text.push(']');
    match text.len() > LONGEST {
        true => Some(text.encode_utf16().count())
            .filter(|&units| units > LONGEST)
            .map_or(Ok(text), |units| Err(too_much(units))),
        false => Ok(text),
    }
}

/// Hits of many queries, as typed arrays. Hit `h < counts[q]` of query `q` is at `q * k + h`.
#[napi(object, object_from_js = false)]
pub struct BatchColumns {
    /// Columns: the distance between the first hits of neighbouring queries.
    #[napi(readonly)]
    pub k: u32,
    /// Hits of each query.
    #[napi(readonly, ts_type = "Uint32Array")]
    pub counts: Copied<u32>,
    /// NaN beyond the hits of a query.
    #[napi(readonly, ts_type = "Float32Array")]
    pub distances: Copied<f32>,
}

/// Hits of many queries: numbers at once, ids when they are asked for.
#[napi(object, object_from_js = false)]
pub struct ManyHits {
    /// The numbers.
    pub columns: BatchColumns,
    /// The ids.
    pub names: Names,
}

impl From<BatchHits> for ManyHits {
    fn from(mut hits: BatchHits) -> ManyHits {
        // Ids are found by the counts; nobody asks for the distances again.
        let (counts, distances) = (Copied(hits.counts.clone()), Copied(std::mem::take(&mut hits.distances)));
        ManyHits { columns: BatchColumns { k: hits.k as u32, counts, distances }, names: Names(hits) }
    }
}

/// The ids of the hits of many queries.
#[napi]
pub struct Names(BatchHits);

#[napi]
impl Names {
    /// Empty where there is no such hit.
    #[napi(catch_unwind)]
    pub fn id(&self, query: f64, hit: f64) -> String {
        let whole = |x: f64| (x >= 0.0 && x.fract() == 0.0).then_some(x as usize);
        let id = whole(query).zip(whole(hit)).and_then(|(query, hit)| self.0.id(query, hit));
        id.unwrap_or_default().to_owned()
    }

    /// `k` a query, empty beyond its hits.
    #[napi(catch_unwind)]
    pub fn ids(&self) -> Vec<String> {
        let all = (0..self.0.counts.len()).flat_map(|query| (0..self.0.k).map(move |hit| (query, hit)));
        all.map(|(query, hit)| self.0.id(query, hit).unwrap_or_default().to_owned()).collect()
    }
}
