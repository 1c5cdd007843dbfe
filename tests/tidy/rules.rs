//! The rules. Each takes one file and answers with its sins, as `path:line: what`.

use crate::source::{Function, NamePath, Source, functions, line_at, paths, words};

/// A rule of this repository.
pub type Rule = fn(&Source) -> Vec<String>;

/// Who may import whom. A module imports only lower floors, and neighbours do not meet.
const FLOORS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("batch", &["base"]),
    ("lock", &["base"]),
    ("disk", &["base"]),
    ("stage", &["base", "batch", "disk"]),
    ("log", &["base", "batch", "disk"]),
    ("backend", &["base", "batch"]),
    ("partition", &["base", "batch", "lock", "disk", "stage", "log", "backend"]),
    ("coord", &["base", "batch", "disk", "stage", "log", "backend", "partition"]),
    ("node", &["base", "batch", "disk", "stage", "log", "backend", "partition", "coord"]),
    ("client", &["base", "batch", "lock", "backend"]),
];

/// The top floor, and the doors for tests and fuzz targets: they import all.
const TOP: [&str; 5] = ["lib", "event_log", "admin", "testing", "fuzzing"];

const MAX_FILE_LINES: usize = 600;
const MAX_FUNCTION_LINES: usize = 70;

/// The only files that say so.
const UNSAFE_FILES: [&str; 4] =
    ["src/disk/block.rs", "src/disk/map.rs", "src/lock/biased.rs", "src/lock/tests.rs"];

/// The modules that they are in.
const UNSAFE_MODULES: [&str; 2] = ["disk", "lock"];

/// The only file that reads a clock.
const CLOCK_FILE: &str = "src/base/clock.rs";

/// All that a program gets when it depends on this crate.
const DEPENDENCIES: [&str; 7] =
    ["bytes", "crc32fast", "crossbeam", "memmap2", "parking_lot", "regex-lite", "rustix"];

fn sin(source: &Source, line: usize, what: impl AsRef<str>) -> String {
    format!("{}:{line}: {}", source.path, what.as_ref())
}

/// Imports point down.
pub fn floors(source: &Source) -> Vec<String> {
    let module = source.module();
    let home = module[0];
    if !source.is_src() || TOP.contains(&home) {
        return Vec::new();
    }
    let Some((_, below)) = FLOORS.iter().find(|(name, _)| *name == home) else {
        return vec![sin(source, 1, format!("module {home} has no floor in tests/tidy/rules.rs"))];
    };
    let mut sins = Vec::new();
    for path in paths(&source.code) {
        let Some(target) = from_the_root(&path, module.len()) else { continue };
        let known = FLOORS.iter().any(|(name, _)| *name == target) || TOP.contains(&target);
        if !known && !path.is_macro {
            let what = format!("{target} goes through the crate's root: name its module");
            sins.push(sin(source, path.line, what));
        } else if known && target != home && !below.contains(&target) {
            sins.push(sin(source, path.line, format!("{home} must not import {target}")));
        }
    }
    sins
}

/// The first name below the crate's root, when `path` is told from there.
fn from_the_root(path: &NamePath, file_depth: usize) -> Option<&str> {
    let supers = path.names.iter().take_while(|name| *name == "super").count();
    let skipped = match path.names.first()?.as_str() {
        "crate" => 1,
        "super" if supers >= file_depth + path.depth => supers,
        _ => return None,
    };
    path.names.get(skipped).map(String::as_str)
}

/// No file outgrows a reader.
pub fn file_length(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    let tests_only = source.shipped.is_empty();
    if !source.is_src() || tests_only || lines <= MAX_FILE_LINES {
        return Vec::new();
    }
    vec![sin(source, lines, format!("a file of {lines} lines, the limit is {MAX_FILE_LINES}"))]
}

/// No function outgrows a screen.
pub fn function_length(source: &Source) -> Vec<String> {
    if !source.is_rust() {
        return Vec::new();
    }
    let long = |function: &Function| function.lines > MAX_FUNCTION_LINES;
    let found = functions(&source.shipped).into_iter().filter(long);
    let tell = |Function { name, line, lines }: Function| {
        sin(source, line, format!("{name} has {lines} lines, the limit is {MAX_FUNCTION_LINES}"))
    };
    found.map(tell).collect()
}

/// `unsafe` stands where memory is mapped and lent, and in a lock, and nowhere else. (Other crates that we are
/// measured against may ask their callers for it.)
pub fn unsafe_places(source: &Source) -> Vec<String> {
    let is_peer = source.path.starts_with("benches/compare/src/peers/");
    if !source.is_rust() || is_peer || UNSAFE_FILES.contains(&source.path.as_str()) {
        return Vec::new();
    }
    let found = words(&source.code, "unsafe").into_iter();
    found
        .map(|at| sin(source, line_at(&source.code, at), "unsafe code outside of disk and lock"))
        .collect()
}

/// Only one door leads to the file system; the files that become memory are opened beside it.
pub fn file_system_places(source: &Source) -> Vec<String> {
    let is_door = source.path.starts_with("src/disk/os") || source.path == "src/disk/map.rs";
    if !source.is_src() || is_door {
        return Vec::new();
    }
    let goes_there = |path: &&NamePath| {
        let names: Vec<&str> = path.names.iter().map(String::as_str).collect();
        let constructor = |name: &&str| matches!(*name, "File" | "OpenOptions");
        match names.as_slice() {
            ["std", "fs", ..] | ["fs", _, ..] => true,
            ["std", "os", _, "fs", ..] => true,
            [all @ .., _] => all.iter().any(constructor),
            [] => false,
        }
    };
    tell_paths(source, &source.shipped, goes_there, "opens the file system beside disk/os")
}

/// What stands on a disk is as long on every machine: bytes become numbers of a named length.
pub fn lengths_on_disk(source: &Source) -> Vec<String> {
    if !source.is_src() {
        return Vec::new();
    }
    let is_open = |path: &&NamePath| match path.names.as_slice() {
        [.., of, to] => {
            matches!(to.as_str(), "from_le_bytes" | "to_le_bytes")
                && matches!(of.as_str(), "usize" | "isize")
        }
        _ => false,
    };
    let mut found = tell_paths(source, &source.code, is_open, "has no fixed length on disk");
    let written = ["as usize).to_le_bytes", "as isize).to_le_bytes", ".len().to_le_bytes"];
    for text in written {
        let at = source.code.match_indices(text).map(|(at, _)| line_at(&source.code, at));
        found.extend(at.map(|line| sin(source, line, format!("{text} has no fixed length"))));
    }
    found
}

/// Only the clock knows the time.
pub fn clock_places(source: &Source) -> Vec<String> {
    let is_test = source.path.starts_with("tests/");
    if !(source.is_src() || is_test) || source.path == CLOCK_FILE {
        return Vec::new();
    }
    let reads = |path: &&NamePath| {
        let tail = |a: &str, b: &str| path.names.ends_with(&[a.to_owned(), b.to_owned()]);
        let wall = tail("SystemTime", "now");
        let monotonic = tail("Instant", "now") || tail("time", "clock_gettime");
        wall || (monotonic && !is_test)
    };
    tell_paths(source, &source.code, reads, "reads a clock beside base/clock.rs")
}

/// Nothing waits by sleeping, tests included.
pub fn sleeps(source: &Source) -> Vec<String> {
    if !source.is_src() && !source.path.starts_with("tests/") {
        return Vec::new();
    }
    let sleeps = |path: &&NamePath| {
        path.names.iter().zip(path.names.iter().skip(1)).any(|(a, b)| {
            a == "thread" && matches!(b.as_str(), "sleep" | "sleep_ms" | "sleep_until")
        })
    };
    tell_paths(source, &source.code, sleeps, "sleeps")
}

fn tell_paths(
    source: &Source,
    code: &str,
    wanted: impl Fn(&&NamePath) -> bool,
    what: &str,
) -> Vec<String> {
    let tell =
        |path: &NamePath| sin(source, path.line, format!("{} {what}", path.names.join("::")));
    if source.is_rust() {
        paths(code).iter().filter(wanted).map(tell).collect()
    } else {
        Vec::new()
    }
}

/// What is here is finished.
pub fn unfinished(source: &Source) -> Vec<String> {
    let mut sins = Vec::new();
    for mark in [concat!("FIX", "ME"), concat!("XX", "X")] {
        for at in words(&source.text, mark) {
            sins.push(sin(source, line_at(&source.text, at), mark));
        }
    }
    let stub = |path: &&NamePath| {
        let name = path.names.last().map_or("", String::as_str);
        path.is_macro && matches!(name, "todo" | "unimplemented")
    };
    sins.extend(tell_paths(source, &source.code, stub, "is a stub"));
    sins
}

/// Source is ASCII: no look-alikes, no invisible characters. A test writes others as escapes.
pub fn ascii(source: &Source) -> Vec<String> {
    let lines = source.text.lines().enumerate().filter(|_| source.is_rust());
    let foreign =
        lines.filter_map(|(at, line)| Some((at + 1, line.chars().find(|c| !c.is_ascii())?)));
    foreign
        .map(|(line, c)| sin(source, line, format!("{} is not ASCII", c.escape_unicode())))
        .collect()
}

/// No failed write goes unseen.
pub fn ignored_io(source: &Source) -> Vec<String> {
    if !source.is_src() {
        return Vec::new();
    }
    let code = &source.shipped;
    let mut sins = Vec::new();
    let mut start = 0;
    for end in code.match_indices([';', '{', '}']).map(|(at, _)| at) {
        let statement = &code[start..end];
        let line = line_at(code, start + statement.len() - statement.trim_start().len());
        start = end + 1;
        let words: Vec<&str> = statement.split_whitespace().collect();
        let thrown = words.starts_with(&["let", "_", "="]);
        let swallowed = !words.contains(&"=")
            && !words.contains(&"return")
            && code.as_bytes().get(end) == Some(&b';')
            && statement.trim_end().ends_with(".ok()");
        if (thrown || swallowed) && calls_io(statement) {
            sins.push(sin(source, line, "the result of a write, sync or flush is dropped"));
        }
    }
    sins
}

fn calls_io(statement: &str) -> bool {
    let called = statement.split('(').map(|before| {
        let name = before.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next();
        name.unwrap_or_default()
    });
    let verbs = ["write", "sync", "flush", "set_len", "allocate", "rename"];
    called.into_iter().any(|name| verbs.iter().any(|verb| name.starts_with(verb)))
}

/// Every module of the crate but `disk` and `lock` forbids unsafe code by itself.
pub fn unsafe_is_forbidden(source: &Source) -> Vec<String> {
    if source.path != "src/lib.rs" {
        return Vec::new();
    }
    let code = &source.shipped;
    if code.contains("#![forbid(unsafe_code)]") || code.contains("#![deny(unsafe_code)]") {
        return Vec::new();
    }
    let mut sins = Vec::new();
    let mut forbidden = false;
    for (at, line) in code.lines().enumerate() {
        forbidden |= line.contains("forbid(unsafe_code)");
        if let Some(module) =
            declared_module(line).filter(|name| !UNSAFE_MODULES.contains(name) && !forbidden)
        {
            sins.push(sin(source, at + 1, format!("{module} does not forbid unsafe code")));
        }
        if line.contains([';', '}']) {
            forbidden = false;
        }
    }
    sins
}

fn declared_module(line: &str) -> Option<&str> {
    let names: Vec<&str> = line.split_whitespace().collect();
    let place = names.iter().position(|name| *name == "mod")?;
    names.get(place + 1).map(|name| name.trim_end_matches(';'))
}

/// `allow(unsafe_code)` stands only where unsafe code may.
pub fn unsafe_is_allowed(source: &Source) -> Vec<String> {
    let at_home = UNSAFE_FILES.contains(&source.path.as_str()) || source.path == "src/disk/mod.rs";
    if !source.is_rust() || at_home {
        return Vec::new();
    }
    let found = ["allow(unsafe_code", "expect(unsafe_code"].into_iter();
    let places = found.flat_map(|attribute| source.code.match_indices(attribute));
    places.map(|(at, what)| sin(source, line_at(&source.code, at), what)).collect()
}

/// The repository tells nothing of the machine that it was written on.
pub fn machine_names(source: &Source) -> Vec<String> {
    let homes = [
        concat!("/ho", "me/"),
        concat!("/ro", "ot/"),
        concat!("/Us", "ers/"),
        concat!("\\Us", "ers\\"),
        concat!("/wo", "rk/"),
        concat!("192", ".168."),
    ];
    let mut sins = Vec::new();
    for (at, line) in source.text.lines().enumerate() {
        for home in homes.iter().filter(|home| line.contains(**home)) {
            sins.push(sin(source, at + 1, format!("{home:?} names a machine's own place")));
        }
        for host in hosts(line).filter(|host| !is_public(host)) {
            sins.push(sin(source, at + 1, format!("{host:?} is no public host")));
        }
    }
    sins
}

fn hosts(line: &str) -> impl Iterator<Item = &str> {
    line.split("://").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-'));
        rest[..end.unwrap_or(rest.len())].trim_end_matches('.')
    })
}

fn is_public(host: &str) -> bool {
    let domains = ["com", "org", "net", "io", "rs", "dev", "edu", "gov"];
    host.is_empty() || host.rsplit_once('.').is_some_and(|(_, last)| domains.contains(&last))
}

/// What the crate is built on is a short list.
pub fn dependencies(source: &Source) -> Vec<String> {
    if source.path != "Cargo.toml" {
        return Vec::new();
    }
    let mut sins = Vec::new();
    let mut inside = false;
    for (at, line) in source.text.lines().enumerate() {
        if line.starts_with('[') {
            inside = line.trim() == "[dependencies]";
            continue;
        }
        let Some((name, value)) = line.split_once('=').filter(|_| inside) else { continue };
        let name = name.trim();
        let optional = value.contains("optional = true");
        if !name.starts_with('#') && !optional && !DEPENDENCIES.contains(&name) {
            sins.push(sin(source, at + 1, format!("{name} is no dependency of the core")));
        }
    }
    sins
}
