//! How an answer's fields are read: one of another type than the reference has counts as absent.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A method of a visitor: something else stands where a value belongs, which then is absent.
macro_rules! absent {
    ($method:ident($($argument:ty)?)) => {
        fn $method<E: de::Error>(self $(, _: $argument)?) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
    };
}

/// A string, or absent.
#[derive(Debug, Default)]
pub struct Text<'a>(pub Option<Cow<'a, str>>);

impl<'a> Text<'a> {
    /// The text, unless it is empty: services send `""` where they have nothing to say.
    pub fn some(&self) -> Option<&Cow<'a, str>> {
        self.0.as_ref().filter(|text| !text.is_empty())
    }

    /// The same, taken out.
    pub fn filled(self) -> Option<Cow<'a, str>> {
        self.0.filter(|text| !text.is_empty())
    }
}

/// A number that is not negative, or absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Number(pub Option<u64>);

/// A `T` where an object stands, or its default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lax<T>(pub T);

/// A `T` where an object stands, which is read when it is asked for: most chunks have none, and
/// what is large would be moved with each of them.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(transparent)]
pub struct Later<'a, T> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(skip)]
    what: PhantomData<T>,
}

impl<T> Default for Later<'_, T> {
    fn default() -> Self {
        Later { text: None, what: PhantomData }
    }
}

impl<'a, T: Deserialize<'a> + Default> Later<'a, T> {
    /// It, or its default where something else stands.
    pub fn read(&self) -> T {
        self.text.map_or_else(T::default, Self::parse)
    }

    #[inline(never)]
    fn parse(text: &'a RawValue) -> T {
        let read = serde_json::from_str::<Lax<T>>(text.get());
        read.map(|value| value.0).unwrap_or_default()
    }
}

/// A `T` where an object stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Maybe<T>(pub Option<T>);

/// The first item of an array. The others are not read.
#[derive(Debug)]
pub struct First<T>(pub Option<T>);

/// The most tool calls of one chunk, and items of one response. Whatever they hold, so many are no
/// burden, and no model means more.
const MAX_ITEMS: usize = 1000;

/// An array of objects, as far as [`MAX_ITEMS`].
#[derive(Debug)]
pub struct List<T> {
    pub items: Vec<T>,
    /// There are more.
    pub is_cut: bool,
}

impl<T> Default for Maybe<T> {
    fn default() -> Maybe<T> {
        Maybe(None)
    }
}

impl<T> Default for First<T> {
    fn default() -> First<T> {
        First(None)
    }
}

impl<T> Default for List<T> {
    fn default() -> List<T> {
        List { items: Vec::new(), is_cut: false }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Maybe<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Maybe<T>, D::Error> {
        struct Object<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
            type Value = Maybe<T>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(|value| Maybe(Some(value)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Maybe(None))
            }

            absent!(visit_str(&str));
            absent!(visit_bool(bool));
            absent!(visit_i64(i64));
            absent!(visit_u64(u64));
            absent!(visit_f64(f64));
            absent!(visit_unit());
        }
        deserializer.deserialize_any(Object(PhantomData))
    }
}

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Lax<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Lax<T>, D::Error> {
        Maybe::deserialize(deserializer).map(|value| Lax(value.0.unwrap_or_default()))
    }
}

/// What an array of objects becomes, item by item: none of it is kept but what is wanted.
pub(super) trait Collect<'de>: Default {
    type Item: Deserialize<'de>;

    /// Takes the next item, which may be no object. Returns whether it takes more.
    fn take(&mut self, item: Option<Self::Item>) -> bool;

    /// There was one more than it takes.
    fn cut(&mut self) {}

    /// What a text becomes that stands in the place of the array.
    fn text(_: Cow<'de, str>) -> Self {
        Self::default()
    }
}

/// Reads an array of objects, or nothing where something else stands.
pub(super) fn collect<'de, C: Collect<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<C, D::Error> {
    struct Array<C>(PhantomData<C>);
    impl<'de, C: Collect<'de>> Visitor<'de> for Array<C> {
        type Value = C;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<C, A::Error> {
            let mut all = C::default();
            while let Some(item) = seq.next_element::<Maybe<C::Item>>()? {
                if !all.take(item.0) {
                    break;
                }
            }
            while seq.next_element::<IgnoredAny>()?.is_some() {
                all.cut();
            }
            Ok(all)
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<C, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(C::default())
        }

        fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<C, E> {
            Ok(C::text(Cow::Borrowed(text)))
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<C, E> {
            Ok(C::text(Cow::Owned(text.to_owned())))
        }

        absent!(visit_bool(bool));
        absent!(visit_i64(i64));
        absent!(visit_u64(u64));
        absent!(visit_f64(f64));
        absent!(visit_unit());
    }
    deserializer.deserialize_any(Array(PhantomData))
}

impl<'de, T: Deserialize<'de>> Collect<'de> for First<T> {
    type Item = T;

    fn take(&mut self, item: Option<T>) -> bool {
        self.0 = item;
        false
    }
}

impl<'de, T: Deserialize<'de>> Collect<'de> for List<T> {
    type Item = T;

    fn take(&mut self, item: Option<T>) -> bool {
        self.items.extend(item);
        self.items.len() < MAX_ITEMS
    }

    fn cut(&mut self) {
        self.is_cut = true;
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for First<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<First<T>, D::Error> {
        collect(deserializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<List<T>, D::Error> {
        collect(deserializer)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text<'a>, D::Error> {
        deserializer.deserialize_any(Lenient).map(|value| match value {
            Scalar::Text(text) => Text(Some(text)),
            Scalar::Number(_) | Scalar::Other => Text(None),
        })
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Number, D::Error> {
        deserializer.deserialize_any(Lenient).map(|value| match value {
            Scalar::Number(number) => Number(Some(number)),
            Scalar::Text(_) | Scalar::Other => Number(None),
        })
    }
}

/// What [`Text`] and [`Number`] choose from.
enum Scalar<'a> {
    Text(Cow<'a, str>),
    Number(u64),
    Other,
}

struct Lenient;

impl<'de> Visitor<'de> for Lenient {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Number(number))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Scalar<'de>, E> {
        Ok(u64::try_from(number).map_or(Scalar::Other, Scalar::Number))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Scalar<'de>, E> {
        // The cast saturates, so no float is out of range.
        Ok(if number >= 0.0 { Scalar::Number(number as u64) } else { Scalar::Other })
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Other)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }
}
