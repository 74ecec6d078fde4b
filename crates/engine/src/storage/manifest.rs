//! MANIFEST: what a collection is, and which segments it has. Tiny, checksummed, replaced by a rename.
//!
//! ```text
//! auspex 1 0123456789abcdef\n        format, and xxh3 of the rest in hexadecimal
//! {"dim":384,"metric":"cosine",...}  JSON
//! ```

use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Code, Error, Result, shown};
use crate::memory::ALIGN;
use crate::options::{Config, DEFAULT_QUANTIZATION, FieldType, Fields, Metric, Options, Quantization};
use crate::storage::disk::Disk;

/// The file.
pub(crate) const MANIFEST: &str = "MANIFEST";
/// What is renamed to it.
pub(crate) const MANIFEST_NEW: &str = "MANIFEST.tmp";
/// The first checkpoint of the first generation.
pub(crate) const FIRST_INDEX: &str = "index-1-1";
const FORMAT: u64 = 1;
const LONGEST: usize = 16 << 20;

/// Whether a file is named as collections name their files of this kind, `log-` or `index-`: by two numbers.
pub(crate) fn is_named(name: &str, kind: &str) -> bool {
    let numbers = name.strip_prefix(kind).and_then(|numbers| numbers.split_once('-'));
    numbers.is_some_and(|(generation, number)| generation.parse::<u32>().is_ok() && number.parse::<u64>().is_ok())
}

/// A segment, as the manifest knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Named {
    /// Bytes of the file.
    pub len: usize,
    /// Where its last frame ends, once no more are added.
    pub sealed: Option<usize>,
}

/// A checkpoint, as the manifest knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checkpointed {
    /// What its file is called by.
    pub number: u64,
    /// Bytes of the file.
    pub len: usize,
    /// What the log held: the next frame is not in it.
    pub position: Position,
}

/// A place between two frames of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Position {
    /// Frames before it.
    pub sequence: u64,
    pub segment: usize,
    pub offset: usize,
    /// [`crate::storage::frame::Header::link`] of the last frame before it.
    pub link: u32,
}

/// The manifest's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub dim: usize,
    pub metric: Metric,
    pub m: usize,
    pub ef_construction: usize,
    pub quantization: Quantization,
    pub seed: u64,
    pub model: Option<String>,
    pub fields: Fields,
    /// What searches use that give none, where it was tuned.
    pub ef_search: Option<usize>,
    /// Told apart from every other collection's frames by this.
    pub salt: u64,
    pub generation: u32,
    pub segments: Vec<Named>,
    /// Frames up to this sequence are known durable.
    pub durable: u64,
    pub checkpoint: Option<Checkpointed>,
}

impl Manifest {
    pub fn new(config: &Config, salt: u64) -> Manifest {
        Manifest {
            dim: config.dim,
            metric: config.metric,
            m: config.m,
            ef_construction: config.ef_construction,
            quantization: config.quantization,
            seed: config.seed,
            model: config.model.clone(),
            fields: config.fields.clone(),
            ef_search: None,
            salt,
            generation: 1,
            segments: Vec::new(),
            durable: 0,
            checkpoint: None,
        }
    }

    /// That of the next generation, which has no files yet.
    pub fn successor(&self, config: &Config) -> Manifest {
        Manifest { generation: self.generation + 1, ..Manifest::new(config, self.salt) }
    }

    /// The name of segment `i`.
    pub fn segment(&self, i: usize) -> String {
        format!("log-{}-{:04}", self.generation, i + 1)
    }

    /// The name of checkpoint `number`.
    pub fn index(&self, number: u64) -> String {
        format!("index-{}-{number}", self.generation)
    }

    /// Whether this is what the log of `older` may have made of it by adding frames and segments, or by tuning.
    pub fn continues(&self, older: &Manifest) -> bool {
        let grown = older.segments.iter().zip(&self.segments).all(|(older, newer)| {
            older.len == newer.len && older.sealed.is_none_or(|sealed| newer.sealed == Some(sealed))
        });
        let (segments, durable, ef_search) = (older.segments.clone(), older.durable, older.ef_search);
        grown
            && self.segments.len() >= segments.len()
            && self.durable >= durable
            && Manifest { segments, durable, ef_search, ..self.clone() } == *older
    }

    /// Reads the manifest; `None` where there is none.
    pub fn load(disk: &dyn Disk) -> Result<Option<Manifest>> {
        let Some(bytes) = disk.get(MANIFEST, LONGEST)? else { return Ok(None) };
        let bad = |what: &str| Error::corrupt(MANIFEST, 0, what);
        let text = std::str::from_utf8(&bytes).map_err(|_| bad("it is not text"))?;
        let (head, body) = text.split_once('\n').ok_or_else(|| bad("it has no first line"))?;
        let mut words = head.split(' ');
        let (name, format, sum) = (words.next(), words.next(), words.next());
        let format: u64 = match (name, format.and_then(|word| word.parse().ok())) {
            (Some("auspex"), Some(format)) if format > 0 => format,
            _ => return Err(bad("its first line is not auspex's")),
        };
        if format > FORMAT {
            let message = format!("the collection has format {format}, and this version knows formats to {FORMAT}");
            return Err(Error::new(Code::Version, message));
        }
        if sum != Some(format!("{:016x}", xxh3_64(body.as_bytes())).as_str()) {
            return Err(bad("its checksum does not match"));
        }
        let value: Value = serde_json::from_str(body).map_err(|error| bad(&error.to_string()))?;
        if let Some(unknown) = Manifest::unknown(&value) {
            let message = format!("the collection has {unknown}, which this version does not know; a newer one does");
            return Err(Error::new(Code::Version, message));
        }
        Manifest::parse(&value).ok_or_else(|| bad("a value is missing or out of its range")).map(Some)
    }

    /// What a newer version may have named that this one lacks.
    fn unknown(value: &Value) -> Option<String> {
        let name = |key: &str| value.get(key)?.as_str();
        let metric = name("metric").filter(|name| Metric::parse(Some(name)).is_err());
        let codes = name("quantization").filter(|name| Quantization::parse(name).is_err());
        let fields = value.get("fields").and_then(Value::as_object).into_iter().flatten();
        let field = fields
            .filter_map(|(name, kind)| Some((name, kind.as_str()?)))
            .find(|(_, kind)| FieldType::ALL.iter().all(|known| known.name() != *kind));
        metric
            .map(|name| format!("the metric {}", shown(name)))
            .or_else(|| codes.map(|name| format!("the quantization {}", shown(name))))
            .or_else(|| field.map(|(name, kind)| format!("the field {} of the type {}", shown(name), shown(kind))))
    }

    fn parse(value: &Value) -> Option<Manifest> {
        let number = |name: &str| value.get(name)?.as_u64();
        let size = |name: &str| usize::try_from(number(name)?).ok();
        let segments = value.get("segments")?.as_array()?.iter().map(|segment| {
            let pair = segment.as_array()?;
            let len = usize::try_from(pair.first()?.as_u64()?).ok()?;
            let sealed = match pair.get(1)? {
                Value::Null => None,
                other => Some(usize::try_from(other.as_u64()?).ok().filter(|&sealed| sealed <= len)?),
            };
            Some(Named { len, sealed })
        });
        let checkpoint = match value.get("checkpoint")? {
            Value::Null => None,
            words => {
                let [number, len, sequence, segment, offset, link] = numbers(words)?;
                let (len, segment, offset) = (usize::try_from(len), usize::try_from(segment), usize::try_from(offset));
                let link = u32::try_from(link).ok()?;
                // Frames begin and end on lines.
                let offset = offset.ok().filter(|offset| offset.is_multiple_of(ALIGN))?;
                let position = Position { sequence, segment: segment.ok()?, offset, link };
                Some(Checkpointed { number, len: len.ok()?, position })
            }
        };
        let field = |(name, kind): (&String, &Value)| Some((name.clone(), kind.as_str()?.to_owned()));
        let fields: Option<Vec<(String, String)>> = match value.get("fields") {
            Some(fields) => fields.as_object()?.iter().map(field).collect(),
            None => Some(Vec::new()),
        };
        let fields = Fields::parse(&fields?).ok()?;
        let ef_search = match value.get("efSearch") {
            None | Some(Value::Null) => None,
            Some(_) => Some(size("efSearch")?),
        };
        let manifest = Manifest {
            dim: size("dim")?,
            metric: Metric::parse(Some(value.get("metric")?.as_str()?)).ok()?,
            m: size("m")?,
            ef_construction: size("efConstruction")?,
            quantization: match value.get("quantization") {
                Some(name) => Quantization::parse(name.as_str()?).ok()?,
                None => DEFAULT_QUANTIZATION,
            },
            seed: number("seed")?,
            model: value.get("model").and_then(Value::as_str).map(str::to_owned),
            fields,
            ef_search,
            salt: number("salt")?,
            generation: u32::try_from(number("generation")?).ok()?,
            segments: segments.collect::<Option<Vec<Named>>>()?,
            durable: number("durable")?,
            checkpoint,
        };
        manifest.holds().then_some(manifest)
    }

    /// Whether every value is in its range, whoever wrote the file.
    fn holds(&self) -> bool {
        let number = |number: usize| Some(number as f64);
        let options = Options {
            dim: number(self.dim),
            m: number(self.m),
            ef_construction: number(self.ef_construction),
            ef_search: self.ef_search.map(|ef| ef as f64),
            seed: Some(self.seed as f64),
            model: self.model.clone(),
            ..Options::default()
        };
        let place = self.checkpoint.map_or(Position::default(), |checkpoint| checkpoint.position);
        options.validate(None).is_ok()
            && self.generation < u32::MAX
            // A place in a segment is 32 bits wide.
            && self.segments.iter().all(|named| u32::try_from(named.len).is_ok())
            && match self.segments.get(place.segment) {
                Some(named) => place.offset <= named.len,
                None => place == Position::default(),
            }
            && self.checkpoint.is_none_or(|checkpoint| checkpoint.number < u64::MAX && place.sequence <= self.durable)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut body = Map::new();
        let segments: Vec<Value> = self.segments.iter().map(|named| json!([named.len, named.sealed])).collect();
        let checkpoint = self.checkpoint.map(|Checkpointed { number, len, position }| {
            let Position { sequence, segment, offset, link } = position;
            json!([number, len, sequence, segment, offset, link])
        });
        for (name, value) in [
            ("dim", json!(self.dim)),
            ("metric", json!(self.metric.name())),
            ("m", json!(self.m)),
            ("efConstruction", json!(self.ef_construction)),
            ("quantization", json!(self.quantization.name())),
            ("seed", json!(self.seed)),
            ("model", json!(self.model)),
            ("fields", self.fields.iter().collect()),
            ("efSearch", json!(self.ef_search)),
            ("salt", json!(self.salt)),
            ("generation", json!(self.generation)),
            ("segments", json!(segments)),
            ("durable", json!(self.durable)),
            ("checkpoint", json!(checkpoint)),
        ] {
            body.insert(name.into(), value);
        }
        let body = format!("{}\n", Value::Object(body));
        format!("auspex {FORMAT} {:016x}\n{body}", xxh3_64(body.as_bytes())).into_bytes()
    }

    /// Replaces the manifest, durably. Told apart: the old one is still in force ([`Stored::Kept`]), or nobody knows.
    pub fn store(&self, disk: &dyn Disk) -> std::result::Result<(), Stored> {
        disk.put(MANIFEST_NEW, &self.bytes()).map_err(Stored::Kept)?;
        disk.rename(MANIFEST_NEW, MANIFEST).and_then(|()| disk.sync_names()).map_err(Stored::Unknown)
    }
}

/// The numbers of a list that has just so many.
fn numbers<const N: usize>(value: &Value) -> Option<[u64; N]> {
    let list: Option<Vec<u64>> = value.as_array()?.iter().map(Value::as_u64).collect();
    list?.try_into().ok()
}

/// Which manifest is in force after one could not be stored.
#[derive(Debug)]
pub(crate) enum Stored {
    Kept(Error),
    Unknown(Error),
}

impl From<Stored> for Error {
    fn from(stored: Stored) -> Error {
        match stored {
            Stored::Kept(error) | Stored::Unknown(error) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::disk::Heap;

    fn manifest() -> Manifest {
        let options = Options { dim: Some(3.0), ..Options::default() };
        let segments = vec![Named { len: 1 << 16, sealed: Some(640) }, Named { len: 1 << 17, sealed: None }];
        Manifest { segments, durable: 9, ..Manifest::new(&options.validate(None).unwrap(), 5) }
    }

    #[test]
    fn values_out_of_their_range_are_refused_whatever_the_checksum() {
        let loaded = |change: &dyn Fn(&mut Manifest)| {
            let (disk, mut manifest) = (Heap::default(), manifest());
            change(&mut manifest);
            manifest.store(&disk).unwrap();
            Manifest::load(&disk).map(|loaded| loaded.unwrap() == manifest)
        };
        let position = Position { sequence: 9, segment: 1, offset: 128, link: 3 };
        let kept = Checkpointed { number: 1, len: 4096, position };
        assert!(loaded(&|_| ()).unwrap() && loaded(&|manifest| manifest.checkpoint = Some(kept)).unwrap());
        assert!(loaded(&|manifest| manifest.ef_search = Some(100)).unwrap());
        let changes: [&dyn Fn(&mut Manifest); 9] = [
            &|manifest| manifest.ef_search = Some(0),
            &|manifest| manifest.dim = 0,
            &|manifest| manifest.dim = 1 << 40,
            &|manifest| manifest.m = 1,
            &|manifest| manifest.ef_construction = 0,
            &|manifest| manifest.seed = u64::MAX,
            &|manifest| manifest.segments[1].len = 1 << 32,
            &|manifest| {
                manifest.checkpoint = Some(Checkpointed { position: Position { segment: 2, ..position }, ..kept })
            },
            &|manifest| {
                manifest.checkpoint = Some(Checkpointed { position: Position { sequence: 10, ..position }, ..kept });
            },
        ];
        for (i, change) in changes.into_iter().enumerate() {
            assert_eq!(loaded(change).unwrap_err().code, crate::error::Code::Corrupt, "{i}");
        }
    }

    #[test]
    fn names_of_a_newer_version_are_told_as_such() {
        let written = String::from_utf8(manifest().bytes()).unwrap();
        let body = written.split_once('\n').unwrap().1;
        let loaded = |from: &str, to: &str| {
            let body = body.replace(from, to);
            assert!(body.contains(to), "{body}");
            let disk = Heap::default();
            let text = format!("auspex 1 {:016x}\n{body}", xxh3_64(body.as_bytes()));
            disk.put(MANIFEST_NEW, text.as_bytes()).unwrap();
            disk.rename(MANIFEST_NEW, MANIFEST).unwrap();
            Manifest::load(&disk).map(Option::unwrap)
        };
        let none = Fields::parse(&[]).unwrap();
        assert_eq!(loaded("\"fields\":{}", "\"fields\":{},\"later\":[1]").unwrap().fields, none);
        for (from, to, name) in [
            ("\"sq8\"", "\"pq\"", "the quantization \"pq\""),
            ("\"cosine\"", "\"hamming\"", "the metric \"hamming\""),
            ("\"fields\":{}", "\"fields\":{\"at\":\"date\"}", "the field \"at\" of the type \"date\""),
        ] {
            let error = loaded(from, to).unwrap_err();
            assert_eq!(error.code, Code::Version, "{to}");
            assert!(error.message.contains(name), "{}", error.message);
        }
        for (from, to) in
            [("\"sq8\"", "8"), ("\"fields\":{}", "\"fields\":{\"at\":7}"), ("\"fields\":{}", "\"fields\":[]")]
        {
            assert_eq!(loaded(from, to).unwrap_err().code, Code::Corrupt, "{to}");
        }
    }

    #[test]
    fn a_manifest_continues_those_that_it_grew_from() {
        let older = manifest();
        let mut newer = older.clone();
        newer.segments[1].sealed = Some(64);
        newer.segments.push(Named { len: 1 << 18, sealed: None });
        (newer.durable, newer.ef_search) = (10, Some(100));
        assert!(older.continues(&older) && newer.continues(&older) && !older.continues(&newer));
        assert!(!Manifest { salt: 6, ..newer }.continues(&older));
    }

    #[test]
    fn files_of_the_user_are_not_taken_for_a_collections() {
        assert!(is_named("log-1-0001", "log-") && is_named("index-12-3", "index-"));
        assert!(["log-book.txt", "log-1", "log-1-2-3", "log-2024-05.txt"].iter().all(|name| !is_named(name, "log-")));
    }
}
