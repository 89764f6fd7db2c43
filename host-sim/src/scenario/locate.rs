//! Finds the line of a JSON pointer in a text that is known to be JSON.

/// The line, from 1, on which the value (for a member: its key) stands. A pointer to something absent gives the line of the
/// innermost thing that is there.
pub(super) fn line_of(text: &str, pointer: &str) -> usize {
    let path: Vec<String> = pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~")).collect();
    let mut scan = Scan { bytes: text.as_bytes(), at: 0 };
    scan.space();
    let at = scan.find(&path);
    1 + text.as_bytes()[..at.min(text.len())].iter().filter(|b| **b == b'\n').count()
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    fn space(&mut self) {
        while self.peek().is_ascii_whitespace() {
            self.at += 1;
        }
    }

    /// Where the value of `path` stands, seen from the value at the current place.
    fn find(&mut self, path: &[String]) -> usize {
        let here = self.at;
        let Some((first, rest)) = path.split_first() else { return here };
        let object = match self.peek() {
            b'{' => true,
            b'[' => false,
            _ => return here,
        };
        self.at += 1;
        let mut index = 0_usize;
        loop {
            self.space();
            if matches!(self.peek(), b'}' | b']' | 0) {
                return here;
            }
            let start = self.at;
            let name = if object { self.key() } else { index.to_string() };
            self.space();
            if name == *first {
                return if rest.is_empty() { start } else { self.find(rest) };
            }
            self.skip();
            self.space();
            if self.peek() == b',' {
                self.at += 1;
            }
            index += 1;
        }
    }

    /// Reads a key and the colon after it.
    fn key(&mut self) -> String {
        let start = self.at;
        self.string();
        let name = serde_json::from_slice(&self.bytes[start..self.at]).unwrap_or_default();
        self.space();
        self.at += 1;
        name
    }

    fn string(&mut self) {
        self.at += 1;
        while !matches!(self.peek(), b'"' | 0) {
            self.at += if self.peek() == b'\\' { 2 } else { 1 };
        }
        self.at += 1;
    }

    /// Passes over one value of any kind.
    fn skip(&mut self) {
        let mut depth = 0_usize;
        loop {
            match self.peek() {
                b'"' => self.string(),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth -= 1;
                    self.at += 1;
                }
                0 => return,
                _ => self.at += 1,
            }
            if depth == 0 && matches!(self.peek(), b',' | b'}' | b']' | 0) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::line_of;

    const TEXT: &str = "{\n \"a\": [1,\n  {\"x/y\": \"},]\\\"\",\n   \"b\":\n 2}\n ],\n \"c\": {\"d\": [] }\n}";

    #[test]
    fn a_member_stands_on_the_line_of_its_key() {
        for (pointer, line) in
            [("", 1), ("/a", 2), ("/a/0", 2), ("/a/1", 3), ("/a/1/x~1y", 3), ("/a/1/b", 4), ("/c", 7), ("/c/d", 7)]
        {
            assert_eq!(line_of(TEXT, pointer), line, "{pointer}");
        }
    }

    #[test]
    fn something_absent_stands_where_it_is_missed() {
        for (pointer, line) in [("/z", 1), ("/a/7", 2), ("/a/1/z", 3), ("/c/d/0", 7), ("/a/0/q", 2)] {
            assert_eq!(line_of(TEXT, pointer), line, "{pointer}");
        }
    }
}
