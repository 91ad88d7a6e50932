//! A request means the same however its JSON is spelled: with blanks or without, with characters as
//! they are or escaped. What is read and written for a provider is compared with what comes of the
//! same document as serde_json writes it.

use std::collections::HashSet;
use std::fmt;

use ccproxy::anthropic;
use ccproxy::openai::Dialect;
use ccproxy::provider::Provider;
use ccproxy::translate::{self, Learned, native_request};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::request::REQUESTS;
use crate::splits::{Random, damage_bytes};
use crate::support::target::target;

/// How often each golden request is spelled, and how often each of those is damaged.
const SPELLINGS: u64 = 12;
const DAMAGED: u64 = 12;

/// What is told in words as it stands in the request, so that its spelling is seen.
const QUOTED: &[&str] = &["input", "schema"];

/// `value` as JSON, with blanks and escapes by chance.
fn spell(value: &Value, random: &mut Random, out: &mut String) {
    blanks(random, out);
    match value {
        Value::Array(list) => {
            out.push('[');
            for (n, item) in list.iter().enumerate() {
                out.push_str(if n > 0 { "," } else { "" });
                spell(item, random, out);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push('{');
            for (n, (key, value)) in fields.iter().enumerate() {
                out.push_str(if n > 0 { "," } else { "" });
                blanks(random, out);
                spell_text(key, random, out);
                blanks(random, out);
                out.push(':');
                match QUOTED.contains(&key.as_str()) {
                    true => out.push_str(&value.to_string()),
                    false => spell(value, random, out),
                }
            }
            out.push('}');
        }
        Value::String(text) => spell_text(text, random, out),
        _ => out.push_str(&value.to_string()),
    }
    blanks(random, out);
}

fn blanks(random: &mut Random, out: &mut String) {
    while random.below(3) == 0 {
        out.push(['\n', ' ', '\t', '\r'][random.below(4)]);
    }
}

fn spell_text(text: &str, random: &mut Random, out: &mut String) {
    // Some have many escapes, some few, some only those that have to be.
    let often = [2, 40, usize::MAX][random.below(3)];
    out.push('"');
    for c in text.chars() {
        let must = c < ' ' || matches!(c, '"' | '\\');
        if !must && random.below(often) > 0 {
            out.push(c);
            continue;
        }
        let short = match c {
            '\u{8}' => Some('b'),
            '\u{c}' => Some('f'),
            '\n' => Some('n'),
            '\r' => Some('r'),
            '\t' => Some('t'),
            '"' | '\\' | '/' => Some(c),
            _ => None,
        };
        match short.filter(|_| random.below(3) > 0) {
            Some(short) => out.extend(['\\', short]),
            None => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let hex = format!("\\u{unit:04x}");
                    out.push_str(&if random.below(2) == 0 { hex } else { upper(&hex) });
                }
            }
        }
    }
    out.push('"');
}

fn upper(escape: &str) -> String {
    escape.to_uppercase().replace("\\U", "\\u")
}

/// What a provider is sent of `body`, in either API and natively.
fn sent(body: &[u8]) -> [Result<Value, String>; 3] {
    let provider = Provider::find("custom").expect("a row");
    let learned = Learned::default();
    let json = |written: Vec<u8>| {
        serde_json::from_slice(&written)
            .unwrap_or_else(|e| panic!("{e} in {}", String::from_utf8_lossy(&written)))
    };
    let translated = |api| {
        let request = anthropic::parse(body).map_err(|e| e.to_string())?;
        let target = target(provider, api, &learned);
        let translated = translate::translate(&request, &target).map_err(|e| e.to_string())?;
        let written = translated.wanted.encode(body).map_err(|e| e.to_string())?;
        Ok(json(written.to_vec()))
    };
    let native = |provider: &str| {
        let request = anthropic::parse(body).map_err(|e| e.to_string())?;
        let row = Provider::find(provider).expect("a row");
        let made = native_request(body, &request, row, "m", None, None);
        made.map(|(made, _)| json(made.to_vec())).map_err(|e| e.to_string())
    };
    [translated(Dialect::ChatCompletions), translated(Dialect::Responses), native("zai")]
}

#[test]
fn a_request_means_the_same_however_it_is_spelled() {
    for case in REQUESTS.cases() {
        let value: Value = serde_json::from_slice(&case.input).expect("it is JSON");
        let wanted = sent(value.to_string().as_bytes());
        for seed in 0..SPELLINGS {
            let mut spelled = String::new();
            spell(&value, &mut Random::new(seed), &mut spelled);
            assert_eq!(sent(spelled.as_bytes()), wanted, "{}: {spelled}", case.name);
        }
    }
}

/// What serde_json does not take is refused, and what it takes is read as it reads it.
#[test]
fn a_damaged_request_is_read_as_serde_json_reads_it() {
    let (mut good, mut bad) = (0, 0);
    for case in REQUESTS.cases() {
        let value: Value = serde_json::from_slice(&case.input).expect("it is JSON");
        for seed in 0..SPELLINGS * DAMAGED {
            let mut random = Random::new(seed);
            let mut spelled = String::new();
            if seed % DAMAGED < DAMAGED / 2 {
                spelled = value.to_string();
            } else {
                spell(&value, &mut random, &mut spelled);
            }
            let mut body = spelled.into_bytes();
            damage_bytes(&mut body, &mut random);
            let shown = String::from_utf8_lossy(&body);
            if serde_json::from_slice::<&RawValue>(&body).is_err() {
                assert!(anthropic::parse(&body).is_err(), "{shown}");
                bad += 1;
                continue;
            }
            // It reads what nobody looks at too, and keeps one of two fields of a name.
            let Ok(value) = serde_json::from_slice::<Value>(&body) else { continue };
            if serde_json::from_slice::<Once>(&body).is_err() {
                continue;
            }
            let made = sent(&body);
            for (made, wanted) in made.into_iter().zip(sent(value.to_string().as_bytes())) {
                match (made.map(unquoted), wanted.map(unquoted)) {
                    (Err(_), Err(_)) => {}
                    (made, wanted) => assert_eq!(made, wanted, "{}: {shown}", case.name),
                }
            }
            good += 1;
        }
    }
    assert!(good > 500 && bad > 500, "{good} were read, {bad} refused");
}

/// `value` without the spelling of what it quotes: the JSON in texts is read, but for that of calls
/// which are told in words.
fn unquoted(value: Value) -> Value {
    match value {
        Value::Array(list) => list.into_iter().map(unquoted).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(key, value)| (key, unquoted(value))).collect()
        }
        Value::String(text) if text.contains("[call of ") => Value::Null,
        Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        other => other,
    }
}

/// JSON without two fields of a name in one object.
struct Once;

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Once, D::Error> {
        deserializer.deserialize_any(Once)
    }
}

impl<'de> Visitor<'de> for Once {
    type Value = Once;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_str<E>(self, _: &str) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Once, A::Error> {
        while list.next_element::<Once>()?.is_some() {}
        Ok(Once)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Once, A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = object.next_key::<String>()? {
            if !keys.insert(key) {
                return Err(A::Error::custom("a field is there twice"));
            }
            object.next_value::<Once>()?;
        }
        Ok(Once)
    }
}
