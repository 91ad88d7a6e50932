//! How fields of the small parts of a request are read. For `#[serde(deserialize_with)]`.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::Deserializer;

/// A text that is borrowed where it has no escapes, which `Option<Cow<str>>` alone never is.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

pub(super) fn text<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Cow<'de, str>>, D::Error> {
    Ok(Option::<Text>::deserialize(deserializer)?.map(|text| text.0))
}
