//! The configuration file: several providers, and the routes to them, as JSON.
//!
//! It is read value by value, so that every mistake is told at once, each with its line and column.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::settings::SETTINGS;
use crate::typo;

/// The file, as it is written.
#[derive(Debug, Default)]
pub(super) struct File {
    pub providers: Vec<FileProvider>,
    pub models: Models,
    pub rules: Rules,
    pub aliases: Vec<(String, FileAlias)>,
    /// What is wrong so far, with its place. What is wrong is left out above.
    pub problems: Vec<String>,
    /// Lines and columns of the values, by their paths: `providers.0.model`.
    places: BTreeMap<String, String>,
}

/// A provider; what is left out is the row's, or the environment's.
#[derive(Debug, Default)]
pub(super) struct FileProvider {
    /// What routes call it.
    pub name: String,
    /// The service it is, where that is not its name.
    pub kind: Option<String>,
    pub base_url: Option<String>,
    pub api_key: Option<OneOrMany>,
    pub token_file: Option<String>,
    pub token_command: Option<String>,
    pub auth: Option<String>,
    pub model: Option<String>,
    pub max_tokens: Option<u64>,
    pub images: Option<bool>,
    pub text_tools: Option<bool>,
    pub client_cert: Option<String>,
    pub client_key: Option<String>,
    pub api: Option<String>,
    pub native: Option<String>,
    pub native_url: Option<String>,
    pub first_byte_timeout: Option<Time>,
    pub headers: Vec<(String, String)>,
}

/// Where Claude's names go.
#[derive(Debug, Default)]
pub(super) struct Models {
    pub default: OneOrMany,
    pub opus: OneOrMany,
    pub sonnet: OneOrMany,
    pub haiku: OneOrMany,
    pub fable: OneOrMany,
}

#[derive(Debug, Default)]
pub(super) struct Rules {
    pub long_context: Option<LongContext>,
    pub background: OneOrMany,
    pub thinking: OneOrMany,
    pub images: OneOrMany,
    /// Who describes pictures.
    pub describe: OneOrMany,
    pub web_search: OneOrMany,
}

#[derive(Debug, Default)]
pub(super) struct LongContext {
    pub above_tokens: u64,
    pub hops: OneOrMany,
}

#[derive(Debug, Default)]
pub(super) struct FileAlias {
    pub hops: OneOrMany,
    pub display_name: Option<String>,
}

/// A text, or a list of texts.
#[derive(Debug, Clone, Default)]
pub(super) struct OneOrMany(Vec<String>);

impl OneOrMany {
    pub(super) fn all(&self) -> &[String] {
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

/// Seconds, or a text with a unit, as a variable would hold it.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a number of seconds, or a text such as \"30s\"")]
pub(super) enum Time {
    Seconds(f64),
    Text(String),
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Time::Seconds(seconds) => seconds.fmt(f),
            Time::Text(text) => f.write_str(text),
        }
    }
}

impl FileProvider {
    /// The value for the setting whose flag is `flag`, as a variable would hold it.
    pub(super) fn field(&self, flag: &str) -> Option<String> {
        match flag {
            "base-url" => self.base_url.clone(),
            "token-file" => self.token_file.clone(),
            "token-command" => self.token_command.clone(),
            "auth" => self.auth.clone(),
            "model" => self.model.clone(),
            "max-tokens" => self.max_tokens.map(|tokens| tokens.to_string()),
            "images" => self.images.map(|images| if images { "on" } else { "off" }.to_owned()),
            "client-cert" => self.client_cert.clone(),
            "client-key" => self.client_key.clone(),
            "text-tools" => self.text_tools.map(|on| if on { "on" } else { "off" }.to_owned()),
            "api" => self.api.clone(),
            "native" => self.native.clone(),
            "native-url" => self.native_url.clone(),
            "first-byte-timeout" => self.first_byte_timeout.as_ref().map(Time::to_string),
            _ => None,
        }
    }
}

impl File {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// Why it is no JSON at all, with line and column. Texts of the file are not repeated, here and
    /// in [`File::problems`]: one may be a key.
    pub(super) fn parse(text: &str) -> Result<File, String> {
        let root: &RawValue = serde_json::from_str(text.trim_start_matches('\u{feff}'))
            .map_err(|e| not_json(text, &e))?;
        let mut reader = Reader { text, file: File::default() };
        reader.root(root);
        Ok(reader.file)
    }

    /// `line 2, column 5: providers.0.model`
    pub(super) fn place(&self, path: &str) -> String {
        match self.places.get(path) {
            Some(place) => format!("{place}: {path}"),
            None => path.to_owned(),
        }
    }
}

/// The sentence about a text that is no JSON.
fn not_json(text: &str, e: &serde_json::Error) -> String {
    let told = e.to_string();
    let reason = told.rsplit_once(" at line ").map_or(&*told, |(reason, _)| reason);
    let line = text.lines().nth(e.line().saturating_sub(1)).unwrap_or_default();
    let here = line.get(e.column().saturating_sub(1)..).unwrap_or_default();
    let hint = if ["//", "/*", "#"].iter().any(|mark| here.starts_with(mark)) {
        "; JSON has no comments"
    } else if !text.trim_start().starts_with(['{', '[']) {
        "; the file is JSON, and begins with { (no YAML, no TOML)"
    } else {
        ""
    };
    format!("line {}, column {}: {reason}{hint}", e.line(), e.column())
}

/// The fields of an object, in their order, whatever their names are.
struct Fields<'t>(Vec<(String, &'t RawValue)>);

impl<'t> Deserialize<'t> for Fields<'t> {
    fn deserialize<D: Deserializer<'t>>(deserializer: D) -> Result<Fields<'t>, D::Error> {
        struct Entries;
        impl<'t> Visitor<'t> for Entries {
            type Value = Fields<'t>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Fields<'t>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// Where the values of a file are found, and what is wrong with them noted.
struct Reader<'t> {
    text: &'t str,
    file: File,
}

impl<'t> Reader<'t> {
    fn root(&mut self, raw: &'t RawValue) {
        for (name, raw) in self.fields(raw, "", &["providers", "models", "rules", "aliases"]) {
            match &*name {
                "providers" => {
                    let listed: Vec<&RawValue> = self.value(raw, "providers").unwrap_or_default();
                    for (i, raw) in listed.into_iter().enumerate() {
                        let provider = self.provider(raw, &format!("providers.{i}"));
                        self.file.providers.push(provider);
                    }
                }
                "models" => self.models(raw),
                "rules" => self.rules(raw),
                _ => {
                    for (id, raw) in self.every_field(raw, "aliases") {
                        let alias = self.alias(raw, &format!("aliases.{id}"));
                        self.file.aliases.push((id, alias));
                    }
                }
            }
        }
    }

    fn provider(&mut self, raw: &'t RawValue, path: &str) -> FileProvider {
        const KNOWN: &[&str] = &[
            "name",
            "type",
            "base_url",
            "api_key",
            "token_file",
            "token_command",
            "auth",
            "model",
            "max_tokens",
            "images",
            "text_tools",
            "client_cert",
            "client_key",
            "api",
            "native",
            "native_url",
            "first_byte_timeout",
            "headers",
        ];
        let mut provider = FileProvider::default();
        for (name, raw) in self.fields(raw, path, KNOWN) {
            let path = &*format!("{path}.{name}");
            match &*name {
                "name" => provider.name = self.value(raw, path).unwrap_or_default(),
                "type" => provider.kind = self.optional(raw, path),
                "base_url" => provider.base_url = self.optional(raw, path),
                "api_key" => provider.api_key = self.optional(raw, path),
                "token_file" => provider.token_file = self.optional(raw, path),
                "token_command" => provider.token_command = self.optional(raw, path),
                "auth" => provider.auth = self.optional(raw, path),
                "model" => provider.model = self.optional(raw, path),
                "max_tokens" => provider.max_tokens = self.optional(raw, path),
                "images" => provider.images = self.optional(raw, path),
                "text_tools" => provider.text_tools = self.optional(raw, path),
                "client_cert" => provider.client_cert = self.optional(raw, path),
                "client_key" => provider.client_key = self.optional(raw, path),
                "api" => provider.api = self.optional(raw, path),
                "native" => provider.native = self.optional(raw, path),
                "native_url" => provider.native_url = self.optional(raw, path),
                "first_byte_timeout" => provider.first_byte_timeout = self.optional(raw, path),
                _ => {
                    for (header, raw) in self.every_field(raw, path) {
                        if let Some(value) = self.value(raw, &format!("{path}.{header}")) {
                            provider.headers.push((header, value));
                        }
                    }
                }
            }
        }
        provider
    }

    fn models(&mut self, raw: &'t RawValue) {
        for (name, raw) in
            self.fields(raw, "models", &["default", "opus", "sonnet", "haiku", "fable"])
        {
            let places = self.value(raw, &format!("models.{name}")).unwrap_or_default();
            let models = &mut self.file.models;
            match &*name {
                "default" => models.default = places,
                "opus" => models.opus = places,
                "sonnet" => models.sonnet = places,
                "haiku" => models.haiku = places,
                _ => models.fable = places,
            }
        }
    }

    fn rules(&mut self, raw: &'t RawValue) {
        const KNOWN: &[&str] = &["long_context", "background", "thinking", "images", "web_search"];
        for (name, raw) in self.fields(raw, "rules", KNOWN) {
            let path = format!("rules.{name}");
            if name == "long_context" {
                self.file.rules.long_context = self.long_context(raw, &path);
                continue;
            }
            if name == "images" && raw.get().starts_with('{') {
                self.file.rules.describe = self.describe(raw, &path);
                continue;
            }
            let places = self.value(raw, &path).unwrap_or_default();
            let rules = &mut self.file.rules;
            match &*name {
                "background" => rules.background = places,
                "thinking" => rules.thinking = places,
                "images" => rules.images = places,
                _ => rules.web_search = places,
            }
        }
    }

    /// Who describes pictures.
    fn describe(&mut self, raw: &'t RawValue, path: &str) -> OneOrMany {
        let fields = self.fields(raw, path, &["describe"]);
        let Some((_, places)) = fields.first() else {
            self.problem(raw.get(), path, "missing field `describe`, a place or a list of places");
            return OneOrMany::default();
        };
        let places: OneOrMany = self.value(places, &format!("{path}.describe")).unwrap_or_default();
        if places.all().is_empty() {
            self.problem(raw.get(), path, "`describe` names no place, such as PROVIDER/MODEL");
        }
        places
    }

    fn long_context(&mut self, raw: &'t RawValue, path: &str) -> Option<LongContext> {
        let (mut above, mut hops) = (None, None);
        let fields = self.fields(raw, path, &["above_tokens", "use"]);
        let names: Vec<String> = fields.iter().map(|(name, _)| name.clone()).collect();
        for (name, raw) in fields {
            let path = format!("{path}.{name}");
            match &*name {
                "above_tokens" => above = self.value(raw, &path),
                _ => hops = self.value(raw, &path),
            }
        }
        for needed in ["above_tokens", "use"] {
            if raw.get().starts_with('{') && !names.iter().any(|name| name == needed) {
                self.problem(raw.get(), path, &format!("missing field `{needed}`"));
            }
        }
        Some(LongContext { above_tokens: above?, hops: hops? })
    }

    fn alias(&mut self, raw: &'t RawValue, path: &str) -> FileAlias {
        let mut alias = FileAlias::default();
        if !raw.get().starts_with('{') {
            let hops: Result<OneOrMany, _> = serde_json::from_str(raw.get());
            match hops {
                Ok(hops) => alias.hops = hops,
                Err(_) => {
                    let wanted = "a place, a list of places, or an object with `use`";
                    self.problem(raw.get(), path, &format!("expected {wanted}"));
                    // What is wrong has been told.
                    alias.hops = OneOrMany(vec![String::new()]);
                }
            }
            return alias;
        }
        for (name, raw) in self.fields(raw, path, &["use", "display_name"]) {
            let path = format!("{path}.{name}");
            match &*name {
                "use" => alias.hops = self.value(raw, &path).unwrap_or_default(),
                _ => alias.display_name = self.optional(raw, &path),
            }
        }
        alias
    }

    /// The fields of an object that may have these.
    fn fields(
        &mut self,
        raw: &'t RawValue,
        path: &str,
        known: &[&str],
    ) -> Vec<(String, &'t RawValue)> {
        let mut fields = self.every_field(raw, path);
        fields.retain(|(name, raw)| {
            let is_known = known.contains(&&**name);
            if !is_known {
                let as_flag = name.replace('_', "-");
                let setting = SETTINGS.iter().find(|setting| setting.flag == as_flag);
                let hint = match setting.filter(|_| path.is_empty()) {
                    Some(setting) => format!(
                        "; settings are variables: {}, or --{}",
                        setting.variables.join(" or "),
                        setting.flag
                    ),
                    None => typo::hint(name, known.iter().copied(), ""),
                };
                let known = known.join("`, `");
                // The name stands before the value.
                let value_at = self.offset(raw.get());
                let at = self.text[..value_at].rfind(&format!("{name:?}")).unwrap_or(value_at);
                let place = self.line_and_column(at);
                let within = if path.is_empty() { String::new() } else { format!("{path}: ") };
                self.file.problems.push(format!(
                    "{place}: {within}unknown field `{name}`, expected one of `{known}`{hint}"
                ));
            }
            is_known
        });
        fields
    }

    /// The fields of an object, whatever their names, each once.
    fn every_field(&mut self, raw: &'t RawValue, path: &str) -> Vec<(String, &'t RawValue)> {
        let Some(Fields(fields)) = self.value(raw, path) else { return Vec::new() };
        let mut once: Vec<(String, &RawValue)> = Vec::new();
        for (name, raw) in fields {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            if self.file.places.contains_key(&path) {
                self.problem(raw.get(), &path, "it is there twice");
                continue;
            }
            let place = self.line_and_column(self.offset(raw.get()));
            self.file.places.insert(path, place);
            once.push((name, raw));
        }
        once
    }

    /// A value that may be left out, or `null`.
    fn optional<T: Deserialize<'t>>(&mut self, raw: &'t RawValue, path: &str) -> Option<T> {
        if raw.get() == "null" { None } else { self.value(raw, path) }
    }

    fn value<T: Deserialize<'t>>(&mut self, raw: &'t RawValue, path: &str) -> Option<T> {
        serde_json::from_str(raw.get())
            .map_err(|e| {
                let told = e.to_string();
                let reason = told.rsplit_once(" at line ").map_or(&*told, |(reason, _)| reason);
                self.problem(raw.get(), path, &without_values(reason));
            })
            .ok()
    }

    fn problem(&mut self, value: &str, path: &str, reason: &str) {
        let place = self.line_and_column(self.offset(value));
        let within = if path.is_empty() { String::new() } else { format!("{path}: ") };
        self.file.problems.push(format!("{place}: {within}{reason}"));
    }

    /// Where `value`, a part of the text, begins in it.
    fn offset(&self, value: &str) -> usize {
        (value.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize)
    }

    fn line_and_column(&self, offset: usize) -> String {
        let before = &self.text[..offset];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
        format!("line {line}, column {column}")
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

    /// Every fault of a text.
    fn faults(text: &str) -> Vec<String> {
        File::parse(text).map_or_else(|fault| vec![fault], |file| file.problems)
    }

    #[test]
    fn a_fault_is_told_with_its_place_and_without_the_value() {
        assert_eq!(
            faults("{\n \"providers\": [{\"max_tokens\": \"sk-secret\"}]}"),
            ["line 2, column 31: providers.0.max_tokens: invalid type: a string, expected u64"]
        );
        assert!(faults("{")[0].starts_with("line 1, column 1: EOF"));
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let text = "{\n  \"port\": 80,\n  \"modles\": {},\n  \"providers\": [\n    {\"name\": 5, \"modle\": \"m\"},\n    3\n  ],\n  \"models\": {\"opsu\": \"a\", \"haiku\": 7}\n}";
        let told = faults(text);
        for (i, wanted) in [
            "line 2, column 3: unknown field `port`",
            "line 3, column 3: unknown field `modles`",
            "line 5, column 17: providers.0: unknown field `modle`",
            "line 5, column 14: providers.0.name: invalid type: integer `5`, expected a string",
            "line 6, column 5: providers.1: invalid type: integer `3`, expected an object",
            "line 8, column 14: models: unknown field `opsu`",
            "line 8, column 36: models.haiku: invalid type: integer `7`",
        ]
        .into_iter()
        .enumerate()
        {
            assert!(told[i].starts_with(wanted), "{wanted}\n{told:#?}");
        }
        assert_eq!(told.len(), 7, "{told:#?}");
        assert!(told[0].ends_with("settings are variables: SERVER_PORT or PORT, or --port"));
        assert!(told[1].ends_with("did you mean models?"), "{}", told[1]);
        assert!(told[5].ends_with("did you mean opus?"), "{}", told[5]);
    }

    #[test]
    fn what_is_no_json_is_told_what_json_is() {
        for (text, wanted) in [
            ("providers:\n  - name: groq\n", "; the file is JSON, and begins with {"),
            ("{\n  // all of them\n}", "; JSON has no comments"),
            ("{ # all\n}", "; JSON has no comments"),
            ("", "; the file is JSON, and begins with {"),
        ] {
            let told = faults(text);
            assert!(told[0].contains(wanted), "{text}: {told:?}");
        }
    }

    #[test]
    fn a_file_as_deep_as_the_stack_is_refused_or_left_alone() {
        for deep in ["[".repeat(100_000), "{\"a\":".repeat(100_000)] {
            faults(&deep);
            for place in ["\"providers\"", "\"aliases\"", "\"models\""] {
                faults(&format!("{{{place}: {deep}"));
            }
        }
        let closed = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        let told = faults(&format!("{{\"providers\": [{{\"model\": {closed}}}]}}"));
        assert_eq!(told.len(), 1, "{told:?}");
    }
}
