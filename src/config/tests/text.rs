//! JSON texts: what is none, doubled keys, too many values.

use super::*;
use crate::config::text::{MAX_CONTAINERS, MAX_VALUES};
use crate::config::{ParseError, document};

#[test]
fn a_text_that_is_not_json_gives_line_and_column() {
    for text in ["", "{", "{\"a\":1,}", "{} {}", "{\"a\":1e999}", "\u{feff}{}", &"[".repeat(1_000)] {
        let Err(ParseError::Json(error)) = Config::parse(text.as_bytes()) else { panic!("read {text}") };
        assert!(error.contains(" at line ") && error.contains(" column "), "{error}");
    }
    assert!(matches!(Config::parse(b"{\"\xff\":1}"), Err(ParseError::Json(_))));
}

#[test]
fn a_doubled_key_is_a_fault() {
    let text = format!(
        r#"{{"schema":1,"backup_directory":{},"store_path":{},"monitored_servers":[{{"id":"a","host":"h","id":"b"}}]}}"#,
        json!(BACKUPS),
        json!(STORE)
    );
    let Err(ParseError::Faults(faults)) = Config::parse(text.as_bytes()) else { panic!("accepted") };
    let fault = one(faults);
    assert_eq!((fault.pointer.as_str(), fault.value.as_str()), ("/monitored_servers/0/id", "\"b\""));
    assert!(fault.text.ends_with("this key is there more than once"), "{}", fault.text);
}

#[test]
fn an_edit_text_may_not_double_a_key_either() {
    assert_eq!(document(b"{\"set\":{}}"), Ok(json!({"set": {}})));
    let Err(ParseError::Faults(faults)) = document(b"{\"set\":{},\"set\":{}}") else { panic!("accepted") };
    assert_eq!(one(faults).pointer, "/set");
}

#[test]
fn a_text_with_too_many_values_is_refused_while_reading() {
    let mut text = "[0".to_owned();
    text.push_str(&",0".repeat(MAX_VALUES));
    text.push(']');
    let Err(ParseError::Json(error)) = Config::parse(text.as_bytes()) else { panic!("read") };
    assert!(error.starts_with("more than 10000000 values"), "{error}");
}

#[test]
fn objects_and_lists_of_which_each_takes_much_memory_are_bounded_more_closely() {
    let text = |items| format!("[{}0]", "{},[],".repeat(items / 2));
    let Err(ParseError::Json(error)) = Config::parse(text(MAX_CONTAINERS).as_bytes()) else { panic!("read") };
    assert!(error.starts_with("more than 1100000 objects and lists"), "{error}");
    assert!(document(text(MAX_CONTAINERS - 2).as_bytes()).is_ok());
}
