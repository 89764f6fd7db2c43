//! One object of a document and the reading of its keys, by kind: list, flag, text, number, object.
//!
//! What it does: looks at every key once, then gives the value of each, its default, or a fault. What it must never do: know
//! which keys a document has; `check` says that. Who calls it: `check`, and `edit` for the edit itself.

use std::fmt;

use serde_json::{Map, Value};

use super::faults::{At, Faults};
use super::keys::{self, keys_of};
use super::names::Rule;

/// The default of a number and its bounds, both allowed.
#[derive(Clone, Copy)]
pub(super) struct Bounds<N> {
    default: N,
    min: N,
    max: N,
}

pub(super) const fn bounds<N>(default: N, min: N, max: N) -> Bounds<N> {
    Bounds { default, min, max }
}

/// An object of the document whose keys have been looked at.
pub(super) struct Object<'a> {
    pub(super) at: &'a At<'a>,
    pub(super) map: &'a Map<String, Value>,
}

impl<'a> Object<'a> {
    /// The object at a place; keys that are not `known` are noted. `None` after the fault that it is none.
    pub(super) fn open(value: &'a Value, at: &'a At<'a>, known: &[&str], faults: &mut Faults) -> Option<Object<'a>> {
        let Value::Object(map) = value else {
            faults.wrong(at, value, "an object", "is not an object");
            return None;
        };
        for (key, value) in map {
            if !known.contains(&key.as_str()) {
                keys::unknown(at, key, value, known, faults);
            }
        }
        Some(Object { at, map })
    }

    /// Opens the object at a key, if it is there, and reads it.
    pub(super) fn child<T>(
        &self,
        key: &str,
        faults: &mut Faults,
        read: impl FnOnce(&Object<'_>, &mut Faults) -> Option<T>,
    ) -> Option<T> {
        let at = At::Key(self.at, key);
        let object = Object::open(self.map.get(key)?, &at, keys_of(key), faults)?;
        read(&object, faults)
    }

    /// A list; empty by default and after a fault.
    pub(super) fn list(&self, key: &str, faults: &mut Faults) -> &'a [Value] {
        match self.map.get(key) {
            None => &[],
            Some(Value::Array(list)) => list,
            Some(_) => {
                self.wrong(key, "a list", "is not a list", faults);
                &[]
            }
        }
    }

    /// A boolean; the default after a fault.
    pub(super) fn flag(&self, key: &str, default: bool, faults: &mut Faults) -> bool {
        match self.map.get(key) {
            None => default,
            Some(Value::Bool(flag)) => *flag,
            Some(_) => {
                self.wrong(key, "true or false", "is not a boolean", faults);
                default
            }
        }
    }

    /// A text; without a default it is required. `None` after a fault.
    pub(super) fn text(
        &self,
        key: &str,
        default: Option<&'a str>,
        rule: &Rule,
        faults: &mut Faults,
    ) -> Option<&'a str> {
        let problem = match self.map.get(key) {
            Some(Value::String(text)) => match (rule.problem)(text) {
                None => return Some(text),
                Some(problem) => problem,
            },
            Some(_) => "is not a string",
            None => {
                if default.is_none() {
                    faults.missing(&At::Key(self.at, key), rule.allowed);
                }
                return default;
            }
        };
        self.wrong(key, rule.allowed, problem, faults);
        None
    }

    /// A number, which must be written as a JSON integer. `None` after a fault.
    pub(super) fn number<N>(&self, key: &str, bounds: Bounds<N>, faults: &mut Faults) -> Option<N>
    where
        N: Copy + fmt::Display + TryFrom<u64> + Into<u64>,
    {
        let Bounds { default, min, max } = bounds;
        let Some(value) = self.map.get(key) else { return Some(default) };
        let mut wrong = |problem: fmt::Arguments<'_>| {
            self.wrong(key, format_args!("an integer from {min} to {max}"), problem, faults);
        };
        match (value.as_u64(), value.as_i64()) {
            (None, None) => wrong(format_args!("is not an integer")),
            (Some(n), _) if n > max.into() => wrong(format_args!("is above the maximum of {max}")),
            (Some(n), _) if n >= min.into() => return N::try_from(n).ok(),
            _ => wrong(format_args!("is below the minimum of {min}")),
        }
        None
    }

    /// Notes that the value of a key, which is there, is wrong.
    pub(super) fn wrong(&self, key: &str, allowed: impl fmt::Display, problem: impl fmt::Display, faults: &mut Faults) {
        faults.wrong(&At::Key(self.at, key), &self.map[key], allowed, problem);
    }
}
