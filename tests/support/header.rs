//! Generates `include/vms_failover.h` and `include/abi.txt` from the one source, `include/rust/src/lib.rs`.
//!
//! cbindgen writes the declarations; what it cannot do is done on its text: unsigned and parenthesised constants, the
//! `&str` constant, the rules as the first comment, and the layout asserts. Sizes and offsets come from `layout`, so
//! from the compiler, and names and order from the source: neither is believed without the other.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::layout::{self, Field, Struct};

/// One constant of the source.
pub struct Constant {
    pub name: String,
    pub rust_type: String,
    /// As it stands in C.
    pub value: String,
    pub doc: String,
}

/// A documented name: a field of a struct, or a type alias.
pub struct Documented {
    pub name: String,
    pub doc: String,
    /// It is a function pointer.
    pub is_function: bool,
}

/// What is in `include/rust/src/lib.rs`, in its order.
pub struct Source {
    pub module_doc: String,
    pub constants: Vec<Constant>,
    pub aliases: Vec<Documented>,
    pub structs: Vec<(String, Vec<Documented>)>,
}

/// Both generated files.
pub struct Generated {
    pub header: String,
    pub abi: String,
}

/// A path below the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Generates both files.
pub fn generate() -> Generated {
    let source = Source::read();
    let layout = layout::structs();
    check_complete(&source, &layout);
    let body = declarations(&source, &run_cbindgen());
    Generated { header: header(&source, &layout, &body), abi: abi_list(&source, &layout, &body) }
}

impl Source {
    /// Reads the source.
    pub fn read() -> Source {
        let text = std::fs::read_to_string(repository("include/rust/src/lib.rs")).expect("the ABI source");
        let file = syn::parse_file(&text).expect("the ABI source is Rust");
        let mut source = Source { module_doc: doc(&file.attrs), constants: vec![], aliases: vec![], structs: vec![] };
        file.items.iter().for_each(|item| source.take(item));
        source
    }

    fn take(&mut self, item: &syn::Item) {
        match item {
            syn::Item::Const(item) => self.constants.push(constant(item)),
            syn::Item::Type(item) => {
                self.aliases.push(documented(&item.ident, &item.attrs, &item.ty));
            }
            syn::Item::Struct(item) => self.structs.push((item.ident.to_string(), fields(item))),
            syn::Item::Use(_) => {}
            // The second door, which is no part of the C ABI.
            syn::Item::Mod(item) if item.ident == "checked" => {}
            _ => panic!("an item that the generator of the header does not know"),
        }
    }

    /// The fields of a struct.
    pub fn fields_of(&self, name: &str) -> &[Documented] {
        &self.structs.iter().find(|(struct_name, _)| struct_name == name).expect("a struct of the source").1
    }
}

impl Documented {
    /// The text after `key` in the comment, if one of its lines begins with it.
    pub fn line(&self, key: &str) -> Option<&str> {
        self.doc.lines().find_map(|line| line.strip_prefix(key)).map(str::trim)
    }

    /// The thread tags: the lines in brackets.
    pub fn tags(&self) -> Vec<&str> {
        self.doc.lines().filter(|line| line.starts_with('[')).collect()
    }
}

fn doc(attributes: &[syn::Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        syn::Meta::NameValue(pair) if pair.path.is_ident("doc") => string(&pair.value),
        _ => None,
    });
    lines.map(|line| line.strip_prefix(' ').unwrap_or(&line).to_owned()).collect::<Vec<_>>().join("\n")
}

fn string(expression: &syn::Expr) -> Option<String> {
    match expression {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
        _ => None,
    }
}

fn documented(name: &syn::Ident, attributes: &[syn::Attribute], rust_type: &syn::Type) -> Documented {
    Documented { name: name.to_string(), doc: doc(attributes), is_function: is_function(rust_type) }
}

fn fields(item: &syn::ItemStruct) -> Vec<Documented> {
    let named = item.fields.iter().map(|field| (field.ident.as_ref().expect("a named field"), field));
    named.map(|(name, field)| documented(name, &field.attrs, &field.ty)).collect()
}

fn is_function(rust_type: &syn::Type) -> bool {
    match rust_type {
        syn::Type::BareFn(_) => true,
        syn::Type::Path(path) => path.path.segments.last().is_some_and(|last| last.ident == "Option"),
        _ => false,
    }
}

fn constant(item: &syn::ItemConst) -> Constant {
    let rust_type = match &*item.ty {
        syn::Type::Path(path) => path.path.segments.last().expect("a type").ident.to_string(),
        syn::Type::Reference(_) => "&str".to_owned(),
        _ => panic!("{}: a type that C has no constant for", item.ident),
    };
    let value = constant_value(&item.expr, &rust_type).unwrap_or_else(|| panic!("{}: write a literal", item.ident));
    Constant { name: item.ident.to_string(), rust_type, value, doc: doc(&item.attrs) }
}

/// The value as C spells it: `1u`, `(-1)`, `UINT64_MAX`, `"text"`.
fn constant_value(expression: &syn::Expr, rust_type: &str) -> Option<String> {
    match (expression, rust_type) {
        (syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Int(number), .. }), "u32") => {
            Some(format!("{}u", number.base10_digits()))
        }
        (syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Int(number), .. }), "vmsf_result") => {
            Some(number.base10_digits().to_owned())
        }
        (syn::Expr::Unary(negative), "vmsf_result") => match &*negative.expr {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Int(number), .. }) => Some(format!("(-{number})")),
            _ => None,
        },
        (syn::Expr::Path(path), "u64") if path.path.segments.last()?.ident == "MAX" => Some("UINT64_MAX".to_owned()),
        (text, "&str") => Some(format!("\"{}\"", string(text)?)),
        _ => None,
    }
}

/// The names that the compiler measured are those of the source, in its order, and nothing lies between them.
fn check_complete(source: &Source, layout: &[Struct]) {
    let in_source: Vec<_> = source.structs.iter().map(|(name, _)| name.as_str()).collect();
    let measured: Vec<_> = layout.iter().map(|item| item.name).collect();
    assert_eq!(in_source, measured, "tests/support/layout.rs must list every struct of the source, in its order");
    for ((name, fields), item) in source.structs.iter().zip(layout) {
        let measured: Vec<_> = item.fields.iter().map(|field| field.name).collect();
        assert_eq!(names(fields), measured, "{name}: tests/support/layout.rs must list every field, in order");
    }
    layout.iter().for_each(check_no_padding);
}

fn names(fields: &[Documented]) -> Vec<&str> {
    fields.iter().map(|field| field.name.as_str()).collect()
}

fn check_no_padding(item: &Struct) {
    let end = item.fields.iter().fold(0, |end, field| {
        assert_eq!(field.offset, end, "{}.{}: implicit padding before it", item.name, field.name);
        end + field.size
    });
    assert_eq!(end, item.size, "{}: implicit padding at its end", item.name);
}

/// The C declarations as cbindgen writes them.
fn run_cbindgen() -> String {
    let config = cbindgen::Config {
        language: cbindgen::Language::C,
        style: cbindgen::Style::Both,
        documentation_style: cbindgen::DocumentationStyle::C,
        no_includes: true,
        usize_is_size_t: true,
        line_length: 110,
        tab_width: 4,
        export: cbindgen::ExportConfig {
            include: ["vmsf_api", "vmsf_entry_fn", "vmsf_secrets"].map(String::from).to_vec(),
            ..Default::default()
        },
        ..Default::default()
    };
    let builder = cbindgen::Builder::new().with_config(config).with_src(repository("include/rust/src/lib.rs"));
    let mut text = Vec::new();
    builder.generate().expect("cbindgen").write(&mut text);
    String::from_utf8(text).expect("cbindgen writes UTF-8").replace('\r', "")
}

/// Constants first, in the source's order, then cbindgen's types, in theirs.
fn declarations(source: &Source, cbindgen: &str) -> String {
    let types = cbindgen.split("\n\n").filter(|block| !block.contains("\n#define ") && !block.trim().is_empty());
    let types = types.collect::<Vec<_>>().join("\n\n");
    let lines = types.lines().map(|line| match line.starts_with("typedef struct ") {
        true => line.to_owned(),
        false => line.replace("struct vmsf_", "vmsf_"),
    });
    let types = lines.collect::<Vec<_>>().join("\n");
    format!("{}\n{}\n", constants(source), one_line_comments(&types))
}

fn constants(source: &Source) -> String {
    let mut text = String::new();
    let mut family = "";
    for constant in &source.constants {
        let next = constant.name.split('_').nth(1).unwrap_or_default();
        if next != family && !(family == "OK" && next == "ERR") {
            text.push('\n');
        }
        family = next;
        let _ = writeln!(text, "{}#define {} {}", comment(&constant.doc), constant.name, constant.value);
    }
    text
}

fn comment(text: &str) -> String {
    match text.contains('\n') {
        true => format!("/*\n{}\n */\n", text.lines().map(|line| format!(" {line}")).collect::<Vec<_>>().join("\n")),
        false => format!("/* {text} */\n"),
    }
}

/// cbindgen gives every comment three lines at least.
fn one_line_comments(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut out = String::new();
    let mut at = 0;
    while at < lines.len() {
        let short = lines[at].trim() == "/*" && lines.get(at + 2).is_some_and(|line| line.trim() == "*/");
        if short {
            out.push_str(&format!("{} {} */\n", lines[at], lines[at + 1].trim()));
        } else {
            out.push_str(&format!("{}\n", lines[at]));
        }
        at += if short { 3 } else { 1 };
    }
    out
}

fn header(source: &Source, layout: &[Struct], body: &str) -> String {
    assert!(!source.module_doc.contains("*/"), "the module comment would end the C comment");
    let rules: Vec<_> = source.module_doc.lines().map(|line| format!(" * {line}").trim_end().to_owned()).collect();
    format!("{TOP}{}\n */\n{GUARD}{body}{ASSERT}{}{BOTTOM}", rules.join("\n"), asserts(layout))
}

fn asserts(layout: &[Struct]) -> String {
    let mut text = String::new();
    for item in layout {
        let name = item.name;
        let _ = write!(text, "\nVMSF_STATIC_ASSERT(sizeof({name}) == {}, {name}_size);\n", item.size);
        for Field { name: field, offset, .. } in &item.fields {
            let _ = writeln!(text, "VMSF_STATIC_ASSERT(offsetof({name}, {field}) == {offset}, {name}_{field});");
        }
    }
    text
}

fn abi_list(source: &Source, layout: &[Struct], body: &str) -> String {
    let mut text = String::from(ABI_TOP);
    let symbol = source.constants.iter().find(|constant| constant.name == "VMSF_ENTRY_SYMBOL").expect("the symbol");
    let (symbol, loader) = (symbol.value.trim_matches('"'), vms_failover_abi::checked::LOADER_SYMBOL);
    let _ =
        write!(text, "\nexported symbols\n  {symbol}\n  {loader}  (feature checked: the second door for Rust hosts)\n");
    text.push_str("\nconstants\n");
    for constant in &source.constants {
        let _ = writeln!(text, "  {:<30} {:<11} {}", constant.name, constant.rust_type, constant.value);
    }
    text.push_str("\ntypes\n");
    for alias in &source.aliases {
        let _ = writeln!(text, "  {}{}", alias_declaration(body, &alias.name), tag_suffix(alias));
    }
    layout.iter().for_each(|item| text.push_str(&abi_struct(source, item, body)));
    text
}

fn abi_struct(source: &Source, item: &Struct, body: &str) -> String {
    let mut text =
        format!("\nstruct {}: size {}, alignment {}\n  offset size  member\n", item.name, item.size, item.align);
    let declared = struct_declarations(body, item.name);
    let fields = source.fields_of(item.name);
    assert_eq!(declared.len(), fields.len(), "{}: cbindgen has written every field", item.name);
    for ((field, documented), declaration) in item.fields.iter().zip(fields).zip(&declared) {
        assert!(declares(declaration, field.name), "{}.{}: declared as {declaration}", item.name, field.name);
        let tag = tag_suffix(documented);
        let _ = writeln!(text, "  {:>6} {:>4}  {declaration}{tag}", field.offset, field.size);
    }
    text
}

fn tag_suffix(documented: &Documented) -> String {
    documented.tags().iter().map(|tag| format!("  {tag}")).collect()
}

fn declares(declaration: &str, name: &str) -> bool {
    let plain = declaration.split('[').next().unwrap_or_default();
    declaration.contains(&format!("(*{name})(")) || plain.split([' ', '*']).next_back() == Some(name)
}

fn alias_declaration(body: &str, name: &str) -> String {
    let code = without_comments(body);
    let found = code.split(';').map(flat).find(|item| item.starts_with("typedef ") && declares(item, name));
    found.unwrap_or_else(|| panic!("{name}: no typedef"))
}

/// The members of one struct, one text each, as C declares them.
fn struct_declarations(body: &str, name: &str) -> Vec<String> {
    let code = without_comments(body);
    let start = code.find(&format!("typedef struct {name} {{")).unwrap_or_else(|| panic!("{name}: no struct"));
    let members = &code[start..start + code[start..].find(&format!("}} {name};")).expect("its end")];
    let members = members.split_once('{').expect("its members").1;
    members.split(';').map(flat).filter(|member| !member.is_empty()).collect()
}

fn without_comments(text: &str) -> String {
    let mut parts = text.split("/*");
    let mut out = parts.next().unwrap_or_default().to_owned();
    parts.for_each(|part| out.push_str(part.split_once("*/").expect("the comment ends").1));
    out.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n")
}

fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

const TOP: &str = "\
/*
 * Generated from include/rust/src/lib.rs, do not edit: change that file, then UPDATE=1 cargo test --test header
 * SPDX-License-Identifier: MIT OR Apache-2.0
 *
";

const GUARD: &str = r#"#ifndef VMS_FAILOVER_H
#define VMS_FAILOVER_H

#include <stddef.h>
#include <stdint.h>

#if !defined(UINTPTR_MAX) || UINTPTR_MAX != UINT64_MAX
#error "vms_failover.h: 64-bit targets only"
#endif

#ifdef __cplusplus
extern "C" {
#endif
"#;

const ASSERT: &str = r#"
/* The layout, proven when this header is compiled. */
#if defined(__cplusplus)
#define VMSF_STATIC_ASSERT(condition, name) static_assert(condition, #name)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define VMSF_STATIC_ASSERT(condition, name) _Static_assert(condition, #name)
#else
#define VMSF_STATIC_ASSERT(condition, name) typedef char vmsf_assert_##name[(condition) ? 1 : -1]
#endif
"#;

const BOTTOM: &str = r#"
#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* VMS_FAILOVER_H */
"#;

const ABI_TOP: &str = "\
Generated from include/rust/src/lib.rs, do not edit: UPDATE=1 cargo test --test header
The binary interface, 64-bit targets. A difference here needs a reason: a major's structs and table are frozen.
";
