//! The links of a page that moves: what they lead to lies elsewhere in the package, or not in it at all.

use std::collections::BTreeMap;

/// Where the files of the repository lie in the package; both with `/`.
pub type Moved = BTreeMap<String, String>;

/// The page `from` of the repository as it is to stand in the package: links to files and folders of the package lead there; of others the
/// words stay, without the link.
#[must_use]
pub fn relink(page: &str, from: &str, moved: &Moved) -> String {
    let to = moved.get(from).map_or(from, String::as_str);
    let (mut text, mut rest) = (String::new(), page);
    while let Some((link, before, after)) = next_link(rest) {
        text.push_str(before);
        let (path, fragment) = link.target.split_at(link.target.find('#').unwrap_or(link.target.len()));
        if path.is_empty() || path.contains("://") {
            text.push_str(&format!("[{}]({path}{fragment})", link.label));
        } else if let Some(place) = place_of(&join(from, path), moved) {
            text.push_str(&format!("[{}]({}{fragment})", link.label, relative(to, &place)));
        } else {
            text.push_str(link.label);
        }
        rest = after;
    }
    text + rest
}

struct Link<'a> {
    label: &'a str,
    target: &'a str,
}

/// The next link, what stands before it, and what after it.
fn next_link(text: &str) -> Option<(Link<'_>, &str, &str)> {
    let middle = text.find("](")?;
    let end = middle + text[middle..].find(')')?;
    let begin = text[..middle].rfind('[')?;
    let link = Link { label: &text[begin + 1..middle], target: &text[middle + 2..end] };
    Some((link, &text[..begin], &text[end + 1..]))
}

/// What a relative path on the page `from` names.
fn join(from: &str, path: &str) -> String {
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// Where a file lies in the package, or a folder of which a file does.
fn place_of(path: &str, moved: &Moved) -> Option<String> {
    if let Some(place) = moved.get(path) {
        return Some(place.clone());
    }
    let inside = format!("{path}/");
    let (file, place) = moved.range(inside.clone()..).next().filter(|(file, _)| file.starts_with(&inside))?;
    place.strip_suffix(&file[path.len()..]).map(str::to_owned)
}

/// The way from the folder of one file to another.
fn relative(from: &str, to: &str) -> String {
    let (from, to): (Vec<_>, Vec<_>) = (from.split('/').collect(), to.split('/').collect());
    let common = from[..from.len() - 1].iter().zip(&to).take_while(|(a, b)| a == b).count();
    [vec![".."; from.len() - 1 - common], to[common..].to_vec()].concat().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_where_the_files_of_the_package_lie() {
        let moved = [
            ("include/README.md", "share/doc/p/README.md"),
            ("include/a.h", "include/a.h"),
            ("include/schema/one.json", "share/p/schema/one.json"),
            ("examples/c/host.c", "share/doc/p/examples/c/host.c"),
        ];
        let moved = moved.map(|(from, to)| (from.to_owned(), to.to_owned())).into();
        for (before, after) in [
            ("see [a.h](a.h), the reference", "see [a.h](../../../include/a.h), the reference"),
            ("[schema](schema) [schema](schema/)", "[schema](../../p/schema) [schema](../../p/schema)"),
            ("[host.c](../examples/c/host.c#L3)", "[host.c](examples/c/host.c#L3)"),
            ("[C hosts](../examples/c)", "[C hosts](examples/c)"),
            ("[here](#here) [there](https://example.org/a)", "[here](#here) [there](https://example.org/a)"),
            ("[tests](../tests/README.md), not shipped", "tests, not shipped"),
            ("{\"supersedes\":[9]} stays", "{\"supersedes\":[9]} stays"),
        ] {
            assert_eq!(relink(before, "include/README.md", &moved), after);
        }
    }
}
