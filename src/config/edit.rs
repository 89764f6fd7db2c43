//! An edit, put into the document that it changes.
//!
//! What it does: `{"set":{…},"add":[…],"change":[…],"remove":[ids]}` and a [`Config`] become a new document. What it must
//! never do: judge that document, which `check` does as with any other; it notes only what cannot be applied. Who calls it:
//! `Config::edited`.

use std::collections::HashMap;
use std::fmt;

use serde_json::{Map, Value};

use super::Config;
use super::faults::{At, Faults};
use super::keys::{EDIT_KEYS, KEYS, SERVER_KEYS, keys_of};
use super::names::earlier;
use super::object::Object;

/// The document after an edit. With faults noted it is not to be used.
pub(super) fn apply(config: &Config, edit: &Value, faults: &mut Faults) -> Option<Map<String, Value>> {
    let edit = Object::open(edit, &At::Root, EDIT_KEYS, faults)?;
    let Ok(Value::Object(mut document)) = serde_json::to_value(config) else {
        unreachable!("a struct of text and numbers always becomes an object")
    };
    set(&mut document, &edit, faults);
    let lists = ["remove", "change", "add"].map(|list| (list, edit.list(list, faults)));
    let mut named = Names::of(&lists, edit.at, faults);
    if let Some(Value::Array(servers)) = document.get_mut("monitored_servers") {
        servers.retain_mut(|server| named.keeps(server));
        // Not from `named`: an added server without an id is a fault of the resulting document.
        let [_, _, (_, added)] = lists;
        servers.extend_from_slice(added);
    }
    named.not_found(edit.at, faults);
    Some(document)
}

fn set(document: &mut Map<String, Value>, edit: &Object<'_>, faults: &mut Faults) {
    let at = At::Key(edit.at, "set");
    let Some(value) = edit.map.get("set") else { return };
    let Some(set) = Object::open(value, &at, KEYS, faults) else { return };
    for (key, value) in set.map {
        match (key.as_str(), value) {
            ("schema", _) => {
                faults.note(&At::Key(&at, key), Some(value), "absent", "the schema cannot be edited");
            }
            ("monitored_servers", _) => {
                let problem = "servers are edited with add, change and remove";
                faults.note(&At::Key(&at, key), Some(value), "absent", problem);
            }
            (object, Value::Object(changes)) if !keys_of(object).is_empty() => {
                let old = document.entry(object).or_insert_with(|| Map::new().into());
                if let Value::Object(old) = old {
                    merge(old, changes, keys_of(object));
                }
            }
            (_, Value::Null) => drop(document.remove(key)),
            _ => drop(document.insert(key.clone(), value.clone())),
        }
    }
}

/// Puts changes into an object. A `null` takes a known key away, which is its default; at an unknown one it stays, to be
/// faulted with the rest of the document.
fn merge(object: &mut Map<String, Value>, changes: &Map<String, Value>, known: &[&str]) {
    for (key, value) in changes {
        if value.is_null() && known.contains(&key.as_str()) {
            object.remove(key);
        } else {
            object.insert(key.clone(), value.clone());
        }
    }
}

/// A server that an edit names: `/<list>/<index>` of the edit is `item`, in which `value` is the id.
struct Named<'a> {
    list: &'static str,
    index: usize,
    value: &'a Value,
    item: &'a Value,
    found: bool,
}

impl Named<'_> {
    fn wrong(&self, edit: &At<'_>, allowed: &str, problem: impl fmt::Display, faults: &mut Faults) {
        let list = At::Key(edit, self.list);
        let item = At::Item(&list, self.index);
        let id = At::Key(&item, "id");
        faults.wrong(if self.list == "remove" { &item } else { &id }, self.value, allowed, problem);
    }
}

/// The servers that an edit names, in its order, and the place of each id among them.
#[derive(Default)]
struct Names<'a> {
    named: Vec<Named<'a>>,
    places: HashMap<&'a str, usize>,
}

impl<'a> Names<'a> {
    fn of(lists: &[(&'static str, &'a [Value])], edit: &At<'_>, faults: &mut Faults) -> Names<'a> {
        let mut names = Names::default();
        for &(list, items) in lists {
            let at = At::Key(edit, list);
            for (index, item) in items.iter().enumerate() {
                if let Some((id, value)) = id_of(list, item, &At::Item(&at, index), faults) {
                    names.add(id, Named { list, index, value, item, found: false }, edit, faults);
                }
            }
        }
        names
    }

    fn add(&mut self, id: &'a str, named: Named<'a>, edit: &At<'_>, faults: &mut Faults) {
        match earlier(&mut self.places, id, self.named.len()) {
            None => self.named.push(named),
            Some(first) => {
                let Named { list, index, .. } = self.named[first];
                let problem = format_args!("is named by /{list}/{index} of this edit already");
                named.wrong(edit, "each id once in an edit", problem, faults);
            }
        }
    }

    /// Changes a server of the configuration as the edit says; whether it stays.
    fn keeps(&mut self, server: &mut Value) -> bool {
        let Some(&place) = server["id"].as_str().and_then(|id| self.places.get(id)) else { return true };
        let named = &mut self.named[place];
        named.found = true;
        if let ("change", Value::Object(server), Value::Object(change)) = (named.list, server, named.item) {
            merge(server, change, SERVER_KEYS);
        }
        named.list != "remove"
    }

    /// Notes what is to be removed or changed and is not there.
    fn not_found(&self, edit: &At<'_>, faults: &mut Faults) {
        for named in self.named.iter().filter(|named| named.list != "add" && !named.found) {
            let problem = "is not the id of a monitored server";
            named.wrong(edit, "the id of a monitored server, case matters", problem, faults);
        }
    }
}

/// The id that an item of an edit's list names, as text and as value. What is added is checked later, with the resulting
/// document.
fn id_of<'a>(list: &str, item: &'a Value, at: &At<'_>, faults: &mut Faults) -> Option<(&'a str, &'a Value)> {
    let allowed = "the id of a monitored server";
    let id_at = At::Key(at, "id");
    let (at, value) = match (list, item) {
        ("remove", _) => (at, item),
        ("add", _) => return item.get("id").and_then(|value| Some((value.as_str()?, value))),
        (_, Value::Object(change)) => match change.get("id") {
            Some(value) => (&id_at, value),
            None => {
                faults.missing(&id_at, allowed);
                return None;
            }
        },
        _ => {
            faults.wrong(at, item, "an object", "is not an object");
            return None;
        }
    };
    let Value::String(id) = value else {
        faults.wrong(at, value, allowed, "is not a string");
        return None;
    };
    Some((id, value))
}
