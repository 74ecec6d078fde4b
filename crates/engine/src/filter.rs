//! The filter language: parsed once from JSON text, then asked of rows' metadata.
//!
//! ```text
//! filter      { field: value | { operator: operand, ... }, $and: [filter], $or: [filter], $not: filter }     all of them
//! operators   $eq $ne $in $nin $exists $gt $gte $lt $lte $startsWith $contains
//! ```
//! A condition asks whether *any* of a field's values passes a test: a field has one value, or, where it holds an
//! array, each of its elements. Negation is of whole conditions only, so the rest of the engine sees four shapes
//! ([`Node`]) and six tests ([`Test`]). What each operator means is told in `docs/filters.md`.

use std::cmp::Ordering;
use std::fmt;

use serde_json::value::RawValue;

use crate::data::{Datum, Entries, Entry, Names, Value};
use crate::error::{Code, Error, Result, shown};
use crate::options::{MAX_FILTER_BYTES, MAX_FILTER_CONDITIONS, MAX_FILTER_DEPTH};

/// What is asked of one value of a field, or of the field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Test {
    /// The value is one of these, which are sorted and differ.
    Among(Vec<Value>),
    /// The value is of the same kind, and so ordered to this one; `or_equal` to it too.
    Ordered { side: Ordering, or_equal: bool, than: Value },
    /// The value is text that begins so.
    StartsWith(Box<[u8]>),
    /// The value is text that has this in it.
    Contains(Box<[u8]>),
    /// The value is null, or the field is missing.
    Null,
    /// The field is there, be it null.
    Exists,
}

impl Test {
    /// Whether any value of a field passes.
    fn holds(&self, datum: &Datum) -> bool {
        match (self, datum) {
            (Test::Exists, value) => *value != Datum::Missing,
            (Test::Null, Datum::Null | Datum::Missing) => true,
            (Test::Null, Datum::List(elements)) => elements.contains(&Datum::Null),
            (test, Datum::List(elements)) => elements.iter().any(|element| test.takes(element)),
            (test, value) => test.takes(value),
        }
    }

    /// Whether a value passes that is neither null nor missing.
    fn takes(&self, value: &Datum) -> bool {
        match self {
            Test::Among(values) => values.binary_search_by(|known| value.order(known).reverse()).is_ok(),
            Test::Ordered { side, or_equal, than } => {
                let order = value.order(than);
                value.kind() == Some(than.kind()) && (order == *side || *or_equal && order == Ordering::Equal)
            }
            Test::StartsWith(start) => matches!(value, Datum::Text(text) if text.starts_with(start)),
            Test::Contains(part) => matches!(value, Datum::Text(text) if contains(text, part)),
            Test::Null | Test::Exists => false,
        }
    }
}

/// Whether `part` is somewhere in `text`.
pub(crate) fn contains(text: &[u8], part: &[u8]) -> bool {
    match (std::str::from_utf8(text), std::str::from_utf8(part)) {
        // The standard library's search, which takes linear time.
        (Ok(text), Ok(part)) => text.contains(part),
        _ => part.is_empty() || text.windows(part.len()).any(|window| window == part),
    }
}

/// A filter, or a part of one. `All` of nothing is always true, `Any` of nothing never.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    /// The number of a field, and the test that any of its values must pass.
    Has(usize, Test),
}

impl Node {
    const ALWAYS: Node = Node::All(Vec::new());
    const NEVER: Node = Node::Any(Vec::new());

    fn all(nodes: Vec<Node>) -> Node {
        if nodes.contains(&Node::NEVER) {
            return Node::NEVER;
        }
        let mut kept: Vec<Node> = nodes.into_iter().filter(|node| *node != Node::ALWAYS).collect();
        if kept.len() == 1 { kept.remove(0) } else { Node::All(kept) }
    }

    fn any(nodes: Vec<Node>) -> Node {
        if nodes.contains(&Node::ALWAYS) {
            return Node::ALWAYS;
        }
        let mut kept: Vec<Node> = nodes.into_iter().filter(|node| *node != Node::NEVER).collect();
        if kept.len() == 1 { kept.remove(0) } else { Node::Any(kept) }
    }

    fn not(node: Node) -> Node {
        match node {
            Node::Not(inner) => *inner,
            node if node == Node::ALWAYS => Node::NEVER,
            node if node == Node::NEVER => Node::ALWAYS,
            node => Node::Not(Box::new(node)),
        }
    }

    fn takes(&self, data: &[Datum]) -> bool {
        match self {
            Node::All(nodes) => nodes.iter().all(|node| node.takes(data)),
            Node::Any(nodes) => nodes.iter().any(|node| node.takes(data)),
            Node::Not(node) => !node.takes(data),
            Node::Has(field, test) => test.holds(&data[*field]),
        }
    }
}

/// A filter that can be asked.
#[derive(Debug, Clone)]
pub struct Filter {
    pub(crate) root: Node,
    pub(crate) names: Names,
}

impl Filter {
    /// Reads the JSON text of a filter.
    ///
    /// # Errors
    /// [`Code::Filter`], naming the place inside the filter, when the text is no filter, is longer than 4 MiB, is
    /// nested more than 64 deep, or has more than 10,000 conditions.
    pub fn parse(text: &str) -> Result<Filter> {
        if text.len() > MAX_FILTER_BYTES {
            let message = format!("filter has {} bytes of JSON; the limit is {MAX_FILTER_BYTES}", text.len());
            return Err(Error::new(Code::Filter, message));
        }
        let raw: &RawValue = serde_json::from_str(text)
            .map_err(|error| Error::new(Code::Filter, format!("filter is not JSON: {error}")))?;
        let mut reader = Reader { names: Names::default(), conditions: 0 };
        let root = reader.filter(raw, &Path::Root, 1)?;
        Ok(Filter { root, names: reader.names })
    }

    /// Whether a row with this metadata, a JSON object, matches.
    #[must_use]
    pub fn matches(&self, metadata: &str) -> bool {
        self.root.takes(&self.names.read(metadata))
    }

    /// What takes the rows that a filter takes, if there is one, and that have one of these values in a field.
    pub(crate) fn and_among(filter: Option<&Filter>, field: &str, mut values: Vec<Value>) -> Filter {
        let (root, mut names) = filter.map_or((Node::ALWAYS, Names::default()), |filter| {
            let Filter { root, names } = filter.clone();
            (root, names)
        });
        values.sort_unstable_by(Value::order);
        let among = Node::Has(names.number(field.as_bytes()), Test::Among(values));
        Filter { root: Node::all(vec![root, among]), names }
    }

    /// Whether every row matches, whatever it holds: the filter has no condition that could fail.
    #[must_use]
    pub fn is_always_true(&self) -> bool {
        self.root == Node::ALWAYS
    }
}

/// A place inside a filter.
enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a [u8]),
    Index(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Path::Root => out.write_str("filter"),
            Path::Index(parent, index) => write!(out, "{parent}[{index}]"),
            Path::Key(parent, key) => {
                let key = String::from_utf8_lossy(key);
                let plain = key.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '$' || c == '-');
                if plain && !key.is_empty() && key.len() <= 64 {
                    write!(out, "{parent}.{key}")
                } else {
                    write!(out, "{parent}[{}]", shown(&key))
                }
            }
        }
    }
}

const OPERATORS: &str = "$eq, $ne, $in, $nin, $exists, $gt, $gte, $lt, $lte, $startsWith, $contains";

struct Reader {
    names: Names,
    conditions: usize,
}

impl Reader {
    fn filter(&mut self, raw: &RawValue, path: &Path, depth: usize) -> Result<Node> {
        if depth > MAX_FILTER_DEPTH {
            return Err(refused(&Path::Root, &format!("is nested more than {MAX_FILTER_DEPTH} deep")));
        }
        let mut nodes = Vec::new();
        for (key, value) in object(raw, path, "a filter, an object such as { year: { $gte: 2000 } }")? {
            let path = Path::Key(path, &key);
            nodes.push(match &*key {
                b"$and" => Node::all(self.filters(value, &path, depth)?),
                b"$or" => Node::any(self.filters(value, &path, depth)?),
                b"$not" => Node::not(self.filter(value, &path, depth + 1)?),
                [b'$', ..] => {
                    return Err(refused(&path, "is no operator between filters; those are $and, $or, $not"));
                }
                name => self.field(name, value, &path)?,
            });
        }
        Ok(Node::all(nodes))
    }

    fn filters(&mut self, raw: &RawValue, path: &Path, depth: usize) -> Result<Vec<Node>> {
        let filters = array(raw, path, "an array of filters")?;
        filters.iter().enumerate().map(|(i, raw)| self.filter(raw, &Path::Index(path, i), depth + 1)).collect()
    }

    /// What is asked of one field.
    fn field(&mut self, name: &[u8], raw: &RawValue, path: &Path) -> Result<Node> {
        let field = self.names.number(name);
        if !raw.get().starts_with('{') {
            self.count()?;
            return equal(field, &[raw], path, |_| None);
        }
        let operators = object(raw, path, "operators")?;
        if operators.is_empty() {
            return Err(refused(path, &format!("has no operator; those of a field are {OPERATORS}")));
        }
        let mut nodes = Vec::with_capacity(operators.len());
        for (key, operand) in operators {
            self.count()?;
            nodes.push(self.operator(field, &key, operand, &Path::Key(path, &key))?);
        }
        Ok(Node::all(nodes))
    }

    fn operator(&mut self, field: usize, operator: &[u8], operand: &RawValue, path: &Path) -> Result<Node> {
        let ordered = |side, or_equal| match value(operand) {
            Some(than @ (Value::Number(_) | Value::Text(_))) => {
                Ok(Node::Has(field, Test::Ordered { side, or_equal, than }))
            }
            _ => Err(wrong(path, operand, "a finite number or a string")),
        };
        let text = || match value(operand) {
            Some(Value::Text(text)) => Ok(text),
            _ => Err(wrong(path, operand, "a string")),
        };
        let among = || {
            let operands = array(operand, path, "an array of values")?;
            equal(field, &operands, path, Some)
        };
        Ok(match operator {
            b"$eq" => equal(field, &[operand], path, |_| None)?,
            b"$ne" => Node::not(equal(field, &[operand], path, |_| None)?),
            b"$in" => among()?,
            b"$nin" => Node::not(among()?),
            b"$exists" => match operand.get() {
                "true" => Node::Has(field, Test::Exists),
                "false" => Node::not(Node::Has(field, Test::Exists)),
                _ => return Err(wrong(path, operand, "true or false")),
            },
            b"$gt" => ordered(Ordering::Greater, false)?,
            b"$gte" => ordered(Ordering::Greater, true)?,
            b"$lt" => ordered(Ordering::Less, false)?,
            b"$lte" => ordered(Ordering::Less, true)?,
            b"$startsWith" => Node::Has(field, Test::StartsWith(text()?)),
            b"$contains" => Node::Has(field, Test::Contains(text()?)),
            _ => return Err(refused(path, &format!("is no operator of a field; those are {OPERATORS}"))),
        })
    }

    fn count(&mut self) -> Result<()> {
        self.conditions += 1;
        if self.conditions <= MAX_FILTER_CONDITIONS {
            return Ok(());
        }
        Err(refused(&Path::Root, &format!("has more than {MAX_FILTER_CONDITIONS} conditions; $in takes many values")))
    }
}

/// That a field is equal to one of some values; `index` tells where in the path each of them stands.
fn equal(field: usize, raws: &[&RawValue], path: &Path, index: impl Fn(usize) -> Option<usize>) -> Result<Node> {
    let (mut values, mut null) = (Vec::with_capacity(raws.len()), false);
    for (i, raw) in raws.iter().enumerate() {
        match value(raw) {
            Some(value) => values.push(value),
            None if raw.get() == "null" => null = true,
            None => {
                let expected = "a string, a finite number, a boolean or null";
                return Err(match index(i) {
                    Some(i) => wrong(&Path::Index(path, i), raw, expected),
                    None => wrong(path, raw, expected),
                });
            }
        }
    }
    values.sort_unstable_by(Value::order);
    values.dedup();
    let values = if values.is_empty() { Node::NEVER } else { Node::Has(field, Test::Among(values)) };
    Ok(if null { Node::any(vec![values, Node::Has(field, Test::Null)]) } else { values })
}

fn value(raw: &RawValue) -> Option<Value> {
    Datum::read(raw).value()
}

fn object<'a>(raw: &'a RawValue, path: &Path, expected: &str) -> Result<Vec<Entry<'a>>> {
    serde_json::from_str::<Entries>(raw.get()).map(|entries| entries.0).map_err(|_| wrong(path, raw, expected))
}

fn array<'a>(raw: &'a RawValue, path: &Path, expected: &str) -> Result<Vec<&'a RawValue>> {
    serde_json::from_str(raw.get()).map_err(|_| wrong(path, raw, expected))
}

fn wrong(path: &Path, raw: &RawValue, expected: &str) -> Error {
    let text = raw.get();
    let value = match text.char_indices().nth(64) {
        None => text.into(),
        Some((end, _)) => format!("{}...", &text[..end]),
    };
    refused(path, &format!("is {value}; it must be {expected}"))
}

fn refused(path: &Path, why: &str) -> Error {
    Error::new(Code::Filter, format!("{path} {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(filter: &str, metadata: &str) -> bool {
        Filter::parse(filter).unwrap().matches(metadata)
    }

    fn refusal(filter: &str) -> String {
        let error = Filter::parse(filter).unwrap_err();
        assert_eq!(error.code, Code::Filter);
        error.message
    }

    #[test]
    fn any_value_of_a_field_may_pass_and_a_missing_one_has_none() {
        let row = r#"{"year":2001,"tags":["a","b",null],"draft":false,"empty":[],"none":null,"deep":{"year":3}}"#;
        let (yes, no) = (
            [
                r#"{"year":2001}"#,
                r#"{"year":{"$gte":2001,"$lt":2002}}"#,
                r#"{"tags":"b"}"#,
                r#"{"tags":{"$in":["x","a"]}}"#,
                r#"{"tags":null}"#,
                r#"{"none":null,"missing":null}"#,
                r#"{"none":{"$exists":true},"missing":{"$exists":false},"deep":{"$exists":true}}"#,
                r#"{"draft":false,"year":{"$ne":"2001"}}"#,
                r#"{"tags":{"$startsWith":"","$contains":"a"}}"#,
                r#"{"$or":[{"year":1},{"$not":{"tags":"c"}}]}"#,
                r#"{"missing":{"$ne":1},"empty":{"$nin":["a"]}}"#,
                "{}",
                r#"{"$and":[]}"#,
                r#"{"year":{"$nin":[]}}"#,
            ],
            [
                r#"{"year":"2001"}"#,
                r#"{"year":{"$gt":"2000"}}"#,
                r#"{"year":2001,"draft":true}"#,
                r#"{"empty":null}"#,
                r#"{"deep":null}"#,
                r#"{"deep":3}"#,
                r#"{"missing":{"$lt":1}}"#,
                r#"{"none":{"$lte":0}}"#,
                r#"{"tags":{"$ne":"a"}}"#,
                r#"{"tags":{"$nin":["x",null]}}"#,
                r#"{"none":{"$startsWith":""}}"#,
                r#"{"$or":[]}"#,
                r#"{"year":{"$in":[]}}"#,
                r#"{"$not":{}}"#,
            ],
        );
        assert!(yes.iter().all(|filter| takes(filter, row) || panic!("{filter}")));
        assert!(no.iter().all(|filter| !takes(filter, row) || panic!("{filter}")));
    }

    #[test]
    fn numbers_are_those_that_javascript_reads() {
        assert!(takes(r#"{"x":0}"#, r#"{"x":-0.0}"#) && takes(r#"{"x":-0}"#, r#"{"x":0}"#));
        assert!(takes(r#"{"x":12345678901234567000}"#, r#"{"x":12345678901234567890}"#));
        assert!(takes(r#"{"x":1e2}"#, r#"{"x":100.0}"#) && takes(r#"{"x":{"$gt":1e308}}"#, r#"{"x":1e400}"#));
        // One of those that a reader without exact rounding reads as their neighbor.
        assert!(takes(r#"{"x":{"$gt":9007199254740992.0}}"#, r#"{"x":9007199254740994.0}"#));
        assert!(takes(r#"{"x":31.245270191439438}"#, r#"{"x":3.1245270191439438e1}"#));
        assert!(!takes(r#"{"x":31.245270191439438}"#, r#"{"x":31.24527019143944}"#));
    }

    #[test]
    fn text_is_compared_by_code_points_and_may_hold_lone_surrogates() {
        assert!(takes(r#"{"é\u0041":"\u00e9"}"#, r#"{"\u00e9A":"é"}"#));
        assert!(takes(r#"{"x":{"$gt":"\uffff"}}"#, r#"{"x":"😀"}"#));
        assert!(takes(r#"{"x":"\ud800"}"#, r#"{"a":"\udfff","x":"\ud800"}"#));
        assert!(takes(r#"{"x":{"$contains":"\ud800"}}"#, r#"{"x":"a\ud800b"}"#));
        assert!(!takes(r#"{"x":{"$contains":"\ud83d"}}"#, r#"{"x":"😀"}"#));
        assert!(takes(r#"{"x":{"$contains":""}}"#, r#"{"x":"\ud800"}"#));
        assert!(takes(r#"{"__proto__":1}"#, r#"{"__proto__":1}"#));
        assert!(takes(r#"{"x":2}"#, r#"{"x":1,"x":2}"#) && !takes(r#"{"x":1}"#, r#"{"x":1,"x":2}"#));
    }

    #[test]
    fn what_is_no_filter_is_named_by_its_place() {
        for (filter, says) in [
            (
                r#"{"$and":[{"x":1},{"year":{"$gt":true}}]}"#,
                "filter.$and[1].year.$gt is true; it must be a finite number",
            ),
            (r#"{"year":{"$gtt":1}}"#, "filter.year.$gtt is no operator of a field; those are $eq,"),
            (r#"{"$nor":[]}"#, "filter.$nor is no operator between filters"),
            (r#"{"a b":{"$in":[1,{}]}}"#, r#"filter["a b"].$in[1] is {}; it must be a string,"#),
            (r#"{"x":[1]}"#, "filter.x is [1]; it must be a string"),
            (r#"{"x":{"$in":"a"}}"#, r#"filter.x.$in is "a"; it must be an array"#),
            (r#"{"x":{}}"#, "filter.x has no operator"),
            (r#"{"x":{"$exists":1}}"#, "filter.x.$exists is 1; it must be true or false"),
            (r#"{"x":{"$startsWith":null}}"#, "filter.x.$startsWith is null; it must be a string"),
            (r#"{"x":1e999}"#, "filter.x is 1e999; it must be a string, a finite number"),
            (r#"{"$not":[]}"#, "filter.$not is []; it must be a filter"),
            (r#"{"$or":{}}"#, "filter.$or is {}; it must be an array of filters"),
            (r#"{"x":{"$not":{"$gt":1}}}"#, "filter.x.$not is no operator of a field"),
            ("[]", "filter is []; it must be a filter"),
            ("null", "filter is null"),
            ("{", "filter is not JSON"),
        ] {
            assert!(refusal(filter).starts_with(says), "{filter}: {}", refusal(filter));
        }
    }

    #[test]
    fn a_filter_of_hostile_size_is_refused() {
        let nested = |n: usize| format!("{}{{}}{}", r#"{"$not":"#.repeat(n - 1), "}".repeat(n - 1));
        assert!(Filter::parse(&nested(MAX_FILTER_DEPTH)).is_ok());
        for n in [MAX_FILTER_DEPTH + 1, 400_000] {
            assert_eq!(refusal(&nested(n)), "filter is nested more than 64 deep");
        }
        let wide = |n: usize| format!("{{\"$or\":[{}]}}", vec![r#"{"x":1}"#; n].join(","));
        assert!(Filter::parse(&wide(MAX_FILTER_CONDITIONS)).is_ok());
        assert!(refusal(&wide(MAX_FILTER_CONDITIONS + 1)).contains("more than 10000 conditions"));
        assert!(refusal(&format!("{{\"x\":\"{}\"}}", "a".repeat(MAX_FILTER_BYTES))).contains("the limit is 4194304"));
        assert!(refusal(&format!("{{\"x\":[{}]}}", "1,".repeat(1_000_000))).len() < 200);
    }

    #[test]
    fn a_filter_that_nothing_can_fail_is_known() {
        let always = |filter| Filter::parse(filter).unwrap().is_always_true();
        for filter in
            ["{}", r#"{"$and":[]}"#, r#"{"$not":{"$or":[]}}"#, r#"{"x":{"$nin":[]}}"#, r#"{"$or":[{"x":1},{}]}"#]
        {
            assert!(always(filter), "{filter}");
        }
        assert!(!always(r#"{"x":{"$ne":1}}"#) && !always(r#"{"$or":[]}"#) && !always(r#"{"x":{"$exists":true}}"#));
    }
}
