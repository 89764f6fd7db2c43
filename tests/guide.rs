//! What the pages show is what works: every C snippet of the guide compiles, the one of the README too, every JSON is what its schema describes.

// Of these, a part is used here.
#[allow(dead_code)]
#[path = "support/header.rs"]
mod header;
#[allow(dead_code)]
#[path = "support/layout.rs"]
mod layout;
#[path = "support/native.rs"]
mod native;
#[path = "support/schema.rs"]
mod schema;

use std::path::Path;
use std::process::Command;

use header::{Source, repository};
use serde_json::Value;

const GUIDE: &str = "include/README.md";

/// The blocks of a page in this language, each with the number of its first line.
fn blocks(page: &str, language: &str) -> Vec<(usize, String)> {
    let text = std::fs::read_to_string(repository(page)).expect("the page");
    let mut blocks: Vec<(usize, String)> = Vec::new();
    let mut open = None;
    for (index, line) in text.lines().enumerate() {
        match (open, line.strip_prefix("```")) {
            (None, Some(of)) => {
                open = Some(of == language);
                if of == language {
                    blocks.push((index + 2, String::new()));
                }
            }
            (Some(_), Some(_)) => open = None,
            (Some(true), None) => blocks.last_mut().expect("a block").1 += &format!("{line}\n"),
            _ => {}
        }
    }
    assert!(open.is_none(), "{page}: a block is not closed");
    blocks
}

/// Compiles a text as C by every standard; what is wrong is told with the line of the page.
fn compile(compiler: &str, source: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("snippets.c");
    std::fs::write(&file, source).expect("the file");
    for standard in ["c99", "c11", "c17"] {
        let mut command = Command::new(compiler);
        command.arg(format!("-std={standard}")).args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"]);
        // Snippets that the page does not call are no fault.
        command.arg("-Wno-unused-function").arg("-I").arg(repository("include"));
        native::succeed(command.arg(&file));
    }
}

#[test]
fn every_c_snippet_of_the_guide_compiles() {
    let blocks = blocks(GUIDE, "c");
    assert!(blocks.len() >= 7, "{} blocks", blocks.len());
    let Some(compiler) = native::compiler("CC", "cc") else { return };
    let source: String = blocks.iter().map(|(line, text)| format!("#line {line} \"{GUIDE}\"\n{text}")).collect();
    compile(&compiler, &source);
}

/// What the bones in the README leave out.
const AROUND: &str = r#"
#include <string.h>
#include "vms_failover.h"
void on_log(void *ctx, uint32_t level, const char *target, const char *text, size_t len);
void on_event(void *ctx, const vmsf_event *event);
void on_begin(void *ctx, const vmsf_operation *op);
int bones(vmsf_entry_fn entry, void *me, const char *options, vmsf_plugin plugin, vmsf_server server,
          const uint8_t *login, size_t login_len, uint64_t operation_id);
int bones(vmsf_entry_fn entry, void *me, const char *options, vmsf_plugin plugin, vmsf_server server,
          const uint8_t *login, size_t login_len, uint64_t operation_id) {
    char err[4097];
"#;

#[test]
fn the_bones_in_the_readme_compile() {
    let blocks = blocks("README.md", "c");
    let [(line, text)] = &blocks[..] else { panic!("{} blocks", blocks.len()) };
    let (include, bones) = text.split_once('\n').expect("lines");
    assert!(include.starts_with("#include \"vms_failover.h\""), "{include}");
    let Some(compiler) = native::compiler("CC", "cc") else { return };
    compile(&compiler, &format!("{AROUND}#line {} \"README.md\"\n{bones}    return 0;\n}}\n", line + 1));
}

#[test]
fn every_json_of_the_guide_is_what_its_schema_describes() {
    let mut operations = 0;
    for (line, text) in blocks(GUIDE, "json") {
        let json: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{GUIDE}:{line}: {error}"));
        if let Some(operation) = json["operation"].as_str() {
            schema::validate(&schema::schema(&format!("operation-{operation}.json")), &json);
            operations += 1;
        }
    }
    assert_eq!(operations, 6, "one request for each operation");
    let lines = blocks(GUIDE, "jsonl");
    let lines: Vec<&str> = lines.iter().flat_map(|(_, text)| text.lines()).collect();
    assert!(lines.len() > 5, "a trace is shown");
    for line in lines {
        let json = serde_json::from_str(line).unwrap_or_else(|error| panic!("{GUIDE}: {error}: {line}"));
        schema::validate(&schema::schema("trace.json"), &json);
    }
}

#[test]
fn the_guide_names_every_member_callback_result_operation_and_outcome() {
    let guide = std::fs::read_to_string(repository(GUIDE)).expect("the guide");
    let source = Source::read();
    let functions = ["vmsf_api", "vmsf_host"].into_iter().flat_map(|of| source.fields_of(of));
    for function in functions.filter(|item| item.is_function) {
        let name = &function.name;
        assert!(guide.contains(&format!("`{name}`")) || guide.contains(&format!("`{name}(")), "{GUIDE} lacks {name}");
    }
    let codes = source.constants.iter().map(|constant| constant.name.as_str());
    for name in codes.filter(|name| name.starts_with("VMSF_ERR_") || name.starts_with("VMSF_OUTCOME_")) {
        assert!(guide.contains(&format!("| `{name}` |")), "{GUIDE} has no row for {name}");
    }
}

#[test]
fn every_link_inside_the_guide_leads_to_a_heading() {
    let guide = std::fs::read_to_string(Path::new(&repository(GUIDE))).expect("the guide");
    let anchor = |heading: &str| -> String {
        let kept = heading
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .collect::<String>();
        kept.replace(' ', "-")
    };
    let headings: Vec<String> = guide
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| anchor(line.trim_start_matches('#').trim()))
        .collect();
    for target in guide.split("](#").skip(1).filter_map(|rest| rest.split(')').next()) {
        assert!(headings.iter().any(|heading| heading == target), "{GUIDE} leads to #{target}, which is not there");
    }
}
