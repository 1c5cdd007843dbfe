//! A source file as the rules see it: comments and literals blanked, tests apart.

use std::ops::Range;

/// One file of the repository.
pub struct Source {
    /// Relative to the repository, with forward slashes.
    pub path: String,
    /// All of it.
    pub text: String,
    /// The text with comments and the insides of literals blanked; same length, same lines.
    pub code: String,
    /// The code without `#[cfg(test)]` items and test functions; empty for a file of tests.
    pub shipped: String,
}

impl Source {
    /// Prepares a file for the rules.
    pub fn new(path: &str, text: &str) -> Self {
        let code = if path.ends_with(".rs") { without_prose(text) } else { text.to_owned() };
        let shipped = if is_test_file(path) { String::new() } else { without_tests(&code) };
        Self { path: path.to_owned(), text: text.to_owned(), code, shipped }
    }

    /// Whether the file is a part of the crate.
    pub fn is_src(&self) -> bool {
        self.is_rust() && self.path.starts_with("src/")
    }

    /// Whether the file is Rust.
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The module path of the file below the crate's root: `src/log/view.rs` is `[log, view]`.
    pub fn module(&self) -> Vec<&str> {
        let path = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let path = path.strip_suffix(".rs").unwrap_or(path);
        let path = path.strip_suffix("/mod").unwrap_or(path);
        path.split('/').collect()
    }
}

fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.starts_with("tests/") || path.contains("/tests/")
}

/// The number, from 1, of the line that holds byte `at`.
pub fn line_at(text: &str, at: usize) -> usize {
    1 + text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

/// Every place where `word` stands by itself.
pub fn words(text: &str, word: &str) -> Vec<usize> {
    let bytes = text.as_bytes();
    let alone = |at: &usize| {
        let before = at.checked_sub(1).and_then(|before| bytes.get(before));
        let after = bytes.get(at + word.len());
        !before.is_some_and(|byte| is_word(*byte)) && !after.is_some_and(|byte| is_word(*byte))
    };
    text.match_indices(word).map(|(at, _)| at).filter(alone).collect()
}

/// Overwrites a range with spaces; line ends stay.
fn blank(bytes: &mut [u8], range: Range<usize>) {
    for byte in bytes.get_mut(range).into_iter().flatten() {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
}

fn text_of(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Blanks comments, and the insides of strings and of character literals.
pub fn without_prose(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let starts_word = at == 0 || !is_word(bytes[at - 1]);
        let (prose, end) = if rest.starts_with(b"//") {
            let len = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            (at..at + len, at + len)
        } else if rest.starts_with(b"/*") {
            let end = at + comment_len(rest);
            (at..end, end)
        } else if let Some((open, close, end)) = raw_string(rest).filter(|_| starts_word) {
            (at + open..at + close, at + end)
        } else if rest[0] == b'"' {
            let end = at + 1 + string_len(&rest[1..]);
            (at + 1..end, end + 1)
        } else if let Some(len) = char_len(rest) {
            (at + 1..at + len - 1, at + len)
        } else {
            (at..at, at + 1)
        };
        blank(&mut out, prose);
        at = end;
    }
    text_of(out)
}

fn comment_len(rest: &[u8]) -> usize {
    let mut depth = 0usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    at
}

/// A raw string that starts here: where its inside begins and ends, and where it ends itself.
fn raw_string(rest: &[u8]) -> Option<(usize, usize, usize)> {
    let prefix = usize::from(matches!(rest.first(), Some(b'b' | b'c')));
    let marks = rest.get(prefix..)?.strip_prefix(b"r")?;
    let hashes = marks.iter().take_while(|byte| **byte == b'#').count();
    marks.get(hashes).filter(|byte| **byte == b'"')?;
    let open = prefix + 1 + hashes + 1;
    let close = [&b"\""[..], &b"#".repeat(hashes)].concat();
    let inside = rest.get(open..)?;
    let len = inside.windows(close.len()).position(|window| window == close);
    let end = open + len.unwrap_or(inside.len());
    Some((open, end, end + close.len()))
}

/// Bytes before the closing quote.
fn string_len(inside: &[u8]) -> usize {
    let mut at = 0;
    while at < inside.len() && inside[at] != b'"' {
        at += if inside[at] == b'\\' { 2 } else { 1 };
    }
    at.min(inside.len())
}

/// The length of a character literal that starts here; a lifetime is none.
fn char_len(rest: &[u8]) -> Option<usize> {
    let inside = rest.strip_prefix(b"'")?;
    if inside.first() == Some(&b'\\') {
        let close = inside.iter().skip(2).position(|byte| *byte == b'\'')?;
        return Some(close + 4);
    }
    let text = std::str::from_utf8(&inside[..inside.len().min(8)])
        .or_else(|error| std::str::from_utf8(&inside[..error.valid_up_to()]))
        .ok()?;
    let len = text.chars().next()?.len_utf8();
    (inside.get(len) == Some(&b'\'')).then_some(len + 2)
}

/// Blanks every item under `#[cfg(test)]`, `#[cfg(all(test, ...))]` or `#[test]`.
pub fn without_tests(code: &str) -> String {
    let mut out = code.as_bytes().to_vec();
    let mut from = 0;
    while let Some(start) = code[from..].find("#[").map(|at| from + at) {
        let end = start + 1 + group_len(&code.as_bytes()[start + 1..]);
        from = end;
        if is_test_attribute(&code[start..end]) {
            from = item_end(code, end);
            blank(&mut out, start..from);
        }
    }
    text_of(out)
}

fn is_test_attribute(attribute: &str) -> bool {
    let mentions = |word: &str| !words(attribute, word).is_empty();
    let both = mentions("any") || mentions("not");
    attribute == "#[test]" || (mentions("cfg") && mentions("test") && !both)
}

/// The end of the item that follows: its closing brace, or a semicolon before any brace.
fn item_end(code: &str, from: usize) -> usize {
    let bytes = code.as_bytes();
    let mut at = from;
    while at < bytes.len() {
        match bytes[at] {
            b'{' => return at + group_len(&bytes[at..]),
            b'(' | b'[' => at += group_len(&bytes[at..]),
            b';' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

/// The length of the bracketed group that starts here.
fn group_len(rest: &[u8]) -> usize {
    let mut depth = 0usize;
    for (at, byte) in rest.iter().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    rest.len()
}

/// A function with a body.
pub struct Function {
    pub name: String,
    pub line: usize,
    /// Lines from the opening to the closing brace of its body.
    pub lines: usize,
}

/// All functions of some code.
pub fn functions(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    for at in words(code, "fn") {
        let after = code[at + 2..].trim_start();
        let name: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let end = item_end(code, at);
        let body = code[at..end].find('{');
        if let (false, Some(body)) = (name.is_empty(), body.filter(|_| code[..end].ends_with('}')))
        {
            let lines = code[at + body..end].lines().count();
            found.push(Function { name, line: line_at(code, at), lines });
        }
    }
    found
}

/// A path of names, with every group of a `use` spelled out.
#[derive(Debug)]
pub struct NamePath {
    pub names: Vec<String>,
    pub line: usize,
    /// How many inline modules stand around it.
    pub depth: usize,
    /// Whether it calls a macro.
    pub is_macro: bool,
}

/// All paths of some code, `a::{b, c::d}` as `a::b` and `a::c::d`.
pub fn paths(code: &str) -> Vec<NamePath> {
    let tokens = tokens(code);
    let ends: Vec<usize> = code.match_indices('\n').map(|(at, _)| at).collect();
    let line = |place: usize| 1 + ends.partition_point(|end| *end < place);
    let mut found = Vec::new();
    let mut modules = Vec::new();
    let mut braces = 0usize;
    let mut at = 0;
    while let Some((token, place)) = tokens.get(at) {
        let before =
            |steps: usize| at.checked_sub(steps).and_then(|at| tokens.get(at)).map(|t| t.0);
        match *token {
            "{" => {
                braces += 1;
                if before(2) == Some("mod") {
                    modules.push(braces);
                }
            }
            "}" => {
                if modules.last() == Some(&braces) {
                    modules.pop();
                }
                braces = braces.saturating_sub(1);
            }
            name if is_name(name) && !matches!(before(1), Some("::" | ".")) => {
                let first = found.len();
                at = path_at(&tokens, at, &mut Vec::new(), &mut found);
                stamp(&mut found[first..], line(*place), modules.len());
                continue;
            }
            "::" if begins_a_path(before(1))
                && tokens.get(at + 1).is_some_and(|t| is_name(t.0)) =>
            {
                let first = found.len();
                at = path_at(&tokens, at + 1, &mut Vec::new(), &mut found);
                stamp(&mut found[first..], line(*place), modules.len());
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Whether `::` begins a path behind this token: behind a name or a generic it goes on with one.
fn begins_a_path(before: Option<&str>) -> bool {
    !before.is_some_and(|token| is_name(token) || matches!(token, ">" | ")" | "]"))
}

fn stamp(paths: &mut [NamePath], line: usize, depth: usize) {
    for path in paths {
        path.line = line;
        path.depth = depth;
    }
}

type Token<'c> = (&'c str, usize);

/// Words that a path may follow but never holds.
const KEYWORDS: [&str; 12] =
    ["use", "return", "in", "as", "dyn", "impl", "mut", "for", "if", "else", "match", "where"];

fn is_name(token: &str) -> bool {
    let starts_well =
        token.bytes().next().is_some_and(|byte| is_word(byte) && !byte.is_ascii_digit());
    starts_well && !KEYWORDS.contains(&token)
}

/// Reads one path from token `at` on, and answers where it ends.
fn path_at(
    tokens: &[Token<'_>],
    mut at: usize,
    prefix: &mut Vec<String>,
    found: &mut Vec<NamePath>,
) -> usize {
    let length = prefix.len();
    let token = |at: usize| tokens.get(at).map_or("", |token| token.0);
    loop {
        prefix.push(token(at).to_owned());
        at += 1;
        if token(at) != "::" {
            break;
        }
        if token(at + 1) == "{" {
            at = group_at(tokens, at + 2, prefix, found);
            prefix.truncate(length);
            return at;
        }
        if !is_name(token(at + 1)) && token(at + 1) != "*" {
            break;
        }
        at += 1;
    }
    let is_macro = token(at) == "!" && token(at + 1) != "=";
    found.push(NamePath { names: prefix.clone(), line: 0, depth: 0, is_macro });
    prefix.truncate(length);
    at
}

/// Reads the members of a group up to its closing brace.
fn group_at(
    tokens: &[Token<'_>],
    mut at: usize,
    prefix: &mut Vec<String>,
    found: &mut Vec<NamePath>,
) -> usize {
    while let Some((token, _)) = tokens.get(at) {
        match *token {
            "}" => return at + 1,
            "as" => at += 2,
            name if is_name(name) || name == "*" => at = path_at(tokens, at, prefix, found),
            _ => at += 1,
        }
    }
    at
}

fn tokens(code: &str) -> Vec<Token<'_>> {
    let bytes = code.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        if is_word(bytes[at]) {
            at += bytes[at..].iter().take_while(|byte| is_word(**byte)).count();
        } else {
            at += if bytes[at..].starts_with(b"::") { 2 } else { 1 };
        }
        let token = &code[start..at];
        if !token.trim().is_empty() {
            tokens.push((token, start));
        }
    }
    tokens
}
