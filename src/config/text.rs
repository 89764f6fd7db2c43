//! The JSON text of a document as a [`Value`].
//!
//! What it does: builds the tree that serde_json would build, notes every key that is there twice, and gives up on more
//! values, or more objects and lists, than any acceptable document has. What it must never do: know a key, or read past the bound. Who calls it:
//! `Config::parse` and `config::document`.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::faults::{At, Faults, ParseError};

/// How many JSON values a text may hold. The largest document that can be accepted has about 7 per server.
pub(super) const MAX_VALUES: usize = 10_000_000;
/// How many of them may be objects and lists, one per server and a few more. In the tree each costs twenty times a number:
/// without this bound 40 MB of `{"a":0}` would take 3.5 GB before the first check.
pub(super) const MAX_CONTAINERS: usize = 1_100_000;

/// The value of a text, doubled keys noted.
pub(super) fn read(text: &[u8], faults: &mut Faults) -> Result<Value, ParseError> {
    let mut room = Room { values: MAX_VALUES, containers: MAX_CONTAINERS };
    let mut json = serde_json::Deserializer::from_slice(text);
    let tree = Tree { at: &At::Root, room: &mut room, faults };
    tree.deserialize(&mut json)
        .and_then(|value| json.end().map(|()| value))
        .map_err(|error| ParseError::Json(error.to_string()))
}

/// What may still be read.
struct Room {
    values: usize,
    containers: usize,
}

/// Takes one of what is left.
fn take<E: de::Error>(left: &mut usize, max: usize, what: &str) -> Result<(), E> {
    *left = left.checked_sub(1).ok_or_else(|| E::custom(format_args!("more than {max} {what}")))?;
    Ok(())
}

/// Builds a [`Value`] as serde_json does, but notes keys that are there twice (of which it would drop one unseen) and
/// stops at [`MAX_VALUES`] and [`MAX_CONTAINERS`].
struct Tree<'a> {
    at: &'a At<'a>,
    room: &'a mut Room,
    faults: &'a mut Faults,
}

impl Tree<'_> {
    fn inside<'b>(&'b mut self, at: &'b At<'b>) -> Tree<'b> {
        Tree { at, room: &mut *self.room, faults: &mut *self.faults }
    }

    fn take_container<E: de::Error>(&mut self) -> Result<(), E> {
        take(&mut self.room.containers, MAX_CONTAINERS, "objects and lists")
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        take(&mut self.room.values, MAX_VALUES, "values")?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Value, A::Error> {
        self.take_container()?;
        let mut list = Vec::new();
        loop {
            let at = At::Item(self.at, list.len());
            match items.next_element_seed(self.inside(&at))? {
                Some(item) => list.push(item),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<Value, A::Error> {
        self.take_container()?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let at = At::Key(self.at, &key);
            let value = entries.next_value_seed(self.inside(&at))?;
            if map.contains_key(&key) {
                self.faults.note(&at, Some(&value), "each key once", "this key is there more than once");
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}
