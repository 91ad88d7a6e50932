//! The configuration file: several providers, and the routes to them, as JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

/// The file, as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub providers: Vec<FileProvider>,
    pub models: Models,
    pub rules: Rules,
    pub aliases: BTreeMap<String, AliasEntry>,
}

/// A provider; what is left out is the row's, or the environment's.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FileProvider {
    /// What routes call it.
    pub name: String,
    /// The service it is, where that is not its name.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub base_url: Option<String>,
    pub api_key: Option<OneOrMany>,
    pub model: Option<String>,
    pub max_tokens: Option<u64>,
    pub images: Option<bool>,
    pub api: Option<String>,
    pub native: Option<String>,
    pub native_url: Option<String>,
    pub first_byte_timeout: Option<f64>,
    pub headers: BTreeMap<String, String>,
}

/// Where Claude's names go.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Models {
    pub default: OneOrMany,
    pub opus: OneOrMany,
    pub sonnet: OneOrMany,
    pub haiku: OneOrMany,
    pub fable: OneOrMany,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Rules {
    pub long_context: Option<LongContext>,
    pub background: OneOrMany,
    pub thinking: OneOrMany,
    pub images: OneOrMany,
    pub web_search: OneOrMany,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LongContext {
    pub above_tokens: u64,
    #[serde(rename = "use")]
    pub hops: OneOrMany,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a place, a list of places, or an object with use")]
pub(super) enum AliasEntry {
    Hops(OneOrMany),
    Named(NamedAlias),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NamedAlias {
    #[serde(rename = "use")]
    pub hops: OneOrMany,
    pub display_name: Option<String>,
}

/// A text, or a list of texts.
#[derive(Debug, Clone, Default)]
pub(super) struct OneOrMany(Vec<String>);

impl OneOrMany {
    pub fn all(&self) -> &[String] {
        &self.0
    }
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<OneOrMany, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany(vec![text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<OneOrMany, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = seq.next_element()? {
                    texts.push(text);
                }
                Ok(OneOrMany(texts))
            }
        }
        deserializer.deserialize_any(Texts)
    }
}

impl FileProvider {
    /// The value for the setting whose flag is `flag`, as a variable would hold it.
    pub fn field(&self, flag: &str) -> Option<String> {
        match flag {
            "base-url" => self.base_url.clone(),
            "model" => self.model.clone(),
            "max-tokens" => self.max_tokens.map(|tokens| tokens.to_string()),
            "images" => self.images.map(|images| if images { "on" } else { "off" }.to_owned()),
            "api" => self.api.clone(),
            "native" => self.native.clone(),
            "native-url" => self.native_url.clone(),
            "first-byte-timeout" => self.first_byte_timeout.map(|seconds| seconds.to_string()),
            _ => None,
        }
    }
}

impl File {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// What is wrong, with line and column. Texts of the file are not repeated: one may be a key.
    pub fn parse(text: &str) -> Result<File, String> {
        serde_json::from_str(text).map_err(|e| {
            let told = e.to_string();
            let (reason, place) = told.rsplit_once(" at line ").unwrap_or((&told, ""));
            let place = place.replace(" column", ", column");
            format!("line {place}: {}", without_values(reason))
        })
    }
}

/// serde's sentence without the value it quotes.
fn without_values(reason: &str) -> String {
    let Some((before, rest)) = reason.split_once("string \"") else { return reason.to_owned() };
    let after = rest.rfind("\", expected").map_or("", |at| &rest[at + 1..]);
    format!("{before}a string{after}")
}

#[cfg(test)]
mod tests {
    use super::File;

    #[test]
    fn a_fault_is_told_with_its_place_and_without_the_value() {
        let fault = |text: &str| File::parse(text).expect_err("it is no configuration");
        assert_eq!(
            fault("{\n \"providers\": [{\"max_tokens\": \"sk-secret\"}]}"),
            "line 2, column 41: invalid type: a string, expected u64"
        );
        assert!(fault(r#"{"modles": {}}"#).contains("unknown field `modles`, expected one of"));
        assert!(fault("{").starts_with("line 1, column 1: EOF"));
    }
}
